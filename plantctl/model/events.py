"""What the engine tells a view while it works: frozen records, one class an event. Views print; the engine does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from plantctl.model.step import Change, Evidence, Finding, Outcome


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events: when, and (for most) which item."""

    at: datetime
    item: str = ""


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins: its id, the items in page order, which of them were pulled in as needs, and the target's words."""

    run: str
    items: tuple[str, ...]
    pulled_in: tuple[str, ...]
    target: str


@dataclass(frozen=True, kw_only=True)
class ItemStarted(Event):
    """An item is being checked."""

    title: str
    expect_s: int


@dataclass(frozen=True, kw_only=True)
class ItemChecked(Event):
    """The first check of an item is back."""

    finding: Finding


@dataclass(frozen=True, kw_only=True)
class ApplyStarted(Event):
    """The intent is in the journal; writing begins."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class OperationStarted(Event):
    """A long-running operation was accepted; `expect_s` is its usual duration in seconds."""

    operation: str
    method_id: str
    expect_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class OperationPolled(Event):
    """Still waiting: elapsed and expected seconds."""

    operation: str
    elapsed_s: float
    expect_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class OperationFinished(Event):
    """The operation ended; `seconds` is its own duration where it says so (start to end), else as observed."""

    operation: str
    method_id: str
    seconds: float
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Retried(Event):
    """A call is sent again, or read back first: why, and after how many seconds."""

    method_id: str
    why: str
    delay_s: float


@dataclass(frozen=True, kw_only=True)
class VerifyStarted(Event):
    """The second look begins."""


@dataclass(frozen=True, kw_only=True)
class ItemFinished(Event):
    """An item ended."""

    outcome: Outcome
    seconds: float
    evidence: Evidence | None = None
    message: str = ""
    cause: str = ""
    hint: str = ""
    reference: str = ""


@dataclass(frozen=True, kw_only=True)
class Note(Event):
    """Something an operator should read that is no failure."""

    text: str


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """Totals of a run. `writes` counts mutating attempts of purpose `apply`; `requests` counts every request sent."""

    run: str
    outcome: str
    changed: int
    unchanged: int
    failed: int
    blocked: int
    waiting: int
    writes: int
    requests: int
    duration_s: float
    critical_path_s: float
