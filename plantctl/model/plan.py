"""What `phase plan` found, item by item: the words that pass from the engine to the views. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from plantctl.errors import PlantctlError
from plantctl.model.step import Change, Finding, Verdict


@dataclass(frozen=True, kw_only=True)
class PlannedItem:
    """One item of a plan.

    `form`: `step`, `attestation`, `no-step`, `waived` or `not-applicable`. `finding` is None when there was nothing to
    check or the check raised (`error`). `evidence`: valid evidence is in the journal, so a run would not look again.
    `expect_s`: usual seconds that applying it takes on Google Cloud. `pulled_in`: only because another needs it.
    """

    id: str
    title: str
    form: str = "step"
    finding: Finding | None = None
    error: PlantctlError | None = None
    evidence: bool = False
    pulled_in: bool = False
    expect_s: int = 0
    question: str = ""

    @property
    def verdict(self) -> Verdict:
        """The finding's verdict; UNKNOWN where no check was made."""
        return self.finding.verdict if self.finding else Verdict.UNKNOWN

    @property
    def pending(self) -> bool:
        """True when a run would write, wait, or stop here: what `--detailed-exitcode` calls a change."""
        return self.form == "step" and self.error is None and self.verdict is not Verdict.IN_PLACE

    @property
    def restarts(self) -> bool:
        """True when a change interrupts service and so needs `--allow-restart`."""
        return self.finding is not None and any(change.restarts for change in self.finding.changes)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All findings, in page order. `expect_s` and `critical_path_s`: usual seconds of the pending items, summed and by
    the longest chain of needs and lanes; `critical_path` names that chain."""

    items: tuple[PlannedItem, ...]
    requests: int = 0
    expect_s: float = 0.0
    critical_path_s: float = 0.0
    critical_path: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[PlannedItem, ...]:
        """Items whose check raised."""
        return tuple(item for item in self.items if item.error is not None)

    @property
    def pending(self) -> tuple[PlannedItem, ...]:
        """Items that are not in place, those that come after others included."""
        return tuple(item for item in self.items if item.pending)

    def exit_code(self, *, detailed: bool = False) -> int:
        """1 when a check raised; 3 when `detailed` and something is pending; else 0 (design section 9)."""
        if self.errors:
            return 1
        return 3 if detailed and self.pending else 0


def shown(value: object, *, sensitive: bool = False) -> str:
    """A value as plan and errors show it: never a sensitive one, strings bare, nothing as `(none)`, Later as itself."""
    if sensitive:
        return "(sensitive)"
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(part) for part in value) + "]"
    return str(value)


def difference(change: Change) -> str:
    """`settings.tier: db-f1-micro -> db-custom-2-8192`."""
    live, desired = (shown(value, sensitive=change.sensitive) for value in (change.live, change.desired))
    return f"{change.field}: {live} -> {desired}"
