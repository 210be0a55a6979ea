"""What the journal says about items, runs and the lock: the words that pass from the engine to the views. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """Where an item stands, in the order of the summary."""

    VERIFIED = "verified"
    ATTESTED = "attested"
    RUNNING = "running"
    WAITING = "waiting"
    PENDING = "pending"
    FAILED = "failed"
    BLOCKED = "blocked"
    DRIFTED = "drifted"
    STALE = "stale"
    WAIVED = "waived"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, kw_only=True)
class ItemStatus:
    """One line of the checklist: status, since when, by whom, on which evidence. `note` is for the operator."""

    id: str
    title: str
    phase: str
    group: str
    added: bool = False
    status: Status = Status.PENDING
    since: datetime | None = None
    by: str = ""
    evidence: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    note: str = ""
    has_step: bool = True


@dataclass(frozen=True, kw_only=True)
class StatusReport:
    """The whole checklist of one environment on one target."""

    environment: str
    target: str
    items: tuple[ItemStatus, ...]

    def summary(self, *, added: bool = False) -> dict[str, int]:
        """`total` and one count a status, of the seed's items, or of the added ones."""
        counted = [item for item in self.items if item.added is added]
        return {"total": len(counted)} | {str(word): sum(i.status is word for i in counted) for word in Status}


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run in the journal. `outcome` is empty while it runs; `interrupted` also when its process is gone."""

    id: str
    command: str
    by: str
    host: str
    pid: int
    started: datetime
    finished: datetime | None = None
    outcome: str = ""
    reads: int = 0
    totals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class HistoryLine:
    """One journal entry of an item, for `item show`."""

    seq: int
    run: str
    item: str
    kind: str
    at: datetime
    by: str
    evidence: tuple[str, ...] = ()
    where: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class LockState:
    """Who writes to this plant: `held` is asked of the kernel, the other words are the sidecar file's."""

    held: bool
    by: str = ""
    host: str = ""
    pid: int = 0
    since: str = ""
    what: str = ""

    def words(self) -> str:
        """`ada@host, pid 12, since 2026-11-23T10:11:12Z: phase run all`."""
        return f"{self.by}@{self.host}, pid {self.pid}, since {self.since}: {self.what}" if self.by else "nobody"
