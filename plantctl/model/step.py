"""The vocabulary of one checklist item: Step, Finding, Change, Evidence, Outcome, Later. Pure words, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

Body = dict[str, Any]
"""A Google resource in REST JSON names (camelCase), as the discovery documents and `gcloud --format=json` show it."""

C = TypeVar("C")


class Verdict(StrEnum):
    """What a check found. PENDING: there, but an operation is in flight (AIP-151): wait, do not make it again."""

    IN_PLACE = "in-place"
    MISSING = "missing"
    PENDING = "pending"
    DRIFTED = "drifted"
    CONFLICT = "conflict"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """How an item ended; completes the sentence "the item is ..."."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"
    BLOCKED = "blocked"
    WAITING = "waiting"


@dataclass(frozen=True)
class Later:
    """A value that another item will make (a project number, a private IP, a digest). Never sent to an API."""

    item: str
    key: str

    def __str__(self) -> str:
        return f"(known after {self.item}: {self.key})"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field that differs. `restarts`: applying it interrupts service; `sensitive`: values are not shown."""

    field: str
    live: object = None
    desired: object = None
    restarts: bool = False
    sensitive: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check saw.

    `facts` are what later items build on (project number, createTime, digest, secret version, last restore):
    evidence is bound to the facts of an item and of all that it needs. `operation` names work in flight.
    """

    verdict: Verdict
    changes: tuple[Change, ...] = ()
    reason: str = ""
    hint: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    operation: str = ""

    @property
    def in_place(self) -> bool:
        """True when nothing is to be done."""
        return self.verdict is Verdict.IN_PLACE


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a verify saw, in words an auditor can read, and where it looked from ("from inside job plant-ops")."""

    words: tuple[str, ...]
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Step(Generic[C]):
    """The code of one checklist item.

    `needs`: ids that must be in place first (true needs, in any phase). `lanes`: names of things that take one
    writer at a time. `expect_s`: usual duration on Google Cloud; `deadline_s`: when waiting ends.
    `check` reads only; `apply` makes the fewest writes that remove the finding and returns when the cloud says it is
    done; `verify` looks from another side.
    """

    id: str
    title: str
    check: Callable[[C], Finding]
    apply: Callable[[C, Finding], None]
    verify: Callable[[C], Evidence]
    needs: tuple[str, ...] = ()
    lanes: tuple[str, ...] = ()
    deadline_s: int = 600
    expect_s: int = 5

    @property
    def phase(self) -> str:
        """First word of the id: `database` of `database.instance.tier`."""
        return self.id.split(".", 1)[0]


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """An item that only a person can vouch for; the word expires after `valid_days`."""

    id: str
    title: str
    question: str
    valid_days: int
    needs: tuple[str, ...] = ()


def holds_later(body: object) -> Later | None:
    """The first Later inside a body (dicts, lists, tuples), or None."""
    if isinstance(body, Later):
        return body
    parts = body.values() if isinstance(body, dict) else body if isinstance(body, list | tuple) else ()
    return next((found for part in parts if (found := holds_later(part)) is not None), None)
