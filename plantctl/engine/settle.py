"""From a finding to a place: what may be applied at all, and how often the cloud is asked until it agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from plantctl.engine.session import Session
from plantctl.engine.stop import StoppingClock
from plantctl.errors import DeadlineExceeded, PlantctlError, ProbeFailed, StepBlocked, StepConflict
from plantctl.model.plan import difference
from plantctl.model.step import Change, Finding, Step, Verdict

C = TypeVar("C")

STALE_READS_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Pauses before each look after a write: Google's reads may be stale for some seconds (hazards section 4, I01)."""

ROUNDS = 4
"""Rounds of apply and look: wait for work in flight, adopt, write, wait for what the write started."""

_ANSWERS = (Verdict.MISSING, Verdict.DRIFTED)


def require_applicable(item: str, finding: Finding, *, adopt: bool, allow_restart: bool) -> None:
    """StepConflict, StepBlocked or ProbeFailed when a person has to decide; else nothing.

    CONFLICT is an error: it can not be applied at all. FOREIGN and changes that interrupt service are blocked until
    their flag is typed (design section 4). UNKNOWN means that the check could not look.
    """
    fields = "; ".join(difference(change) for change in finding.changes)
    words = finding.reason or f"it is {finding.verdict}"
    if finding.verdict is Verdict.CONFLICT:
        raise StepConflict(f"{item}: {words}", cause=fields, hint=finding.hint)
    if finding.verdict is Verdict.UNKNOWN:
        raise ProbeFailed(f"{item}: cannot tell how it is: {words}", hint=finding.hint, reference="check-unsure")
    if finding.verdict is Verdict.FOREIGN and not adopt:
        raise StepBlocked(
            f"{item}: {finding.reason or 'it is there, and plantctl did not make it'}",
            cause=fields,
            hint=finding.hint or "look at the difference; --adopt takes it over",
            reference="foreign",
        )
    restarts = [change for change in finding.changes if change.restarts]
    if restarts and finding.verdict is not Verdict.PENDING and not allow_restart:
        raise StepBlocked(
            f"{item}: changing {_names(restarts)} interrupts service",
            cause=fields,
            hint="run it again with --allow-restart, in a quiet hour",
            reference="restart-needed",
        )


class Settler(Generic[C]):
    """Applies a finding and looks again, bounded by rounds, by stale reads and by the step's deadline."""

    def __init__(self, session: Session[C], *, apply: Callable[[Finding], None]) -> None:
        self._session = session
        self._apply = apply
        self._clock = StoppingClock(session.clock, session.stop)

    def bring(self, step: Step[C], finding: Finding) -> Finding:
        """Apply until the check says IN_PLACE, and give that finding.

        PENDING only waits, so that what is found after it may be applied. A difference that is still seen after it was
        applied and looked at `len(STALE_READS_S)` times is PlantctlError `still-differs` with the changes that remain.
        """
        until = self._session.clock.monotonic() + step.deadline_s
        for _ in range(ROUNDS):
            applied = finding
            self._apply(finding)
            finding = self._look_again(step, until)
            if finding.in_place:
                return finding
            if applied.verdict in _ANSWERS and finding.verdict in _ANSWERS:
                raise _still_differs(step, finding)
            if self._session.clock.monotonic() > until:
                break
        raise DeadlineExceeded(
            f"{step.id} is still {finding.verdict} after {step.deadline_s} s",
            cause=finding.reason or finding.operation,
            hint="the work goes on in the cloud: run the same command again to wait for it",
        )

    def _look_again(self, step: Step[C], until: float) -> Finding:
        finding = self._session.check(step)
        for pause in STALE_READS_S[1:]:
            if finding.verdict not in _ANSWERS or self._session.clock.monotonic() + pause > until:
                break
            self._clock.sleep(pause)
            finding = self._session.check(step)
        return finding


def _still_differs(step: Step[C], finding: Finding) -> PlantctlError:
    return PlantctlError(
        f"{step.id} is still {finding.verdict} after it was applied",
        cause="; ".join(difference(change) for change in finding.changes) or finding.reason,
        hint=finding.hint or f"plantctl phase plan --only {step.id}",
        reference="still-differs",
    )


def _names(changes: list[Change]) -> str:
    return ", ".join(change.field for change in changes)
