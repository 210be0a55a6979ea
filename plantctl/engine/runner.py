"""A run: the selected items through the scheduler, totals, outcome and exit code. One item's loop is in `item.py`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from plantctl.engine.catalog import Selection
from plantctl.engine.graph import Graph, critical_path
from plantctl.engine.item import ItemRunner, RunOptions
from plantctl.engine.recorder import RunRecorder
from plantctl.engine.records import Kind
from plantctl.engine.session import Session
from plantctl.errors import GateFailed, JournalError, PlantctlError
from plantctl.model.events import RunFinished, RunStarted
from plantctl.model.step import Outcome

C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended. `errors` keeps the errors of failed and blocked items, tracebacks included, for `--debug`.

    `finished` has the totals; `critical_path` the items behind `critical_path_s`.
    """

    outcomes: dict[str, Outcome]
    errors: dict[str, PlantctlError]
    finished: RunFinished
    critical_path: tuple[str, ...]
    exit_code: int


def run(session: Session[C], selection: Selection, recorder: RunRecorder, options: RunOptions) -> RunResult:
    """Bring the selected items into place (or, with `options.renew`, only look at them anew).

    Ends normally whatever happens to single items. JournalError when the journal can no longer be written to: nothing
    is sent without a record, so everything stops. After a second stop request it returns while threads still run.
    """
    catalog, clock = session.catalog, session.clock
    begun = clock.monotonic()
    members = catalog.in_page_order((*selection.items, *selection.checked_only))
    needs = {item: catalog.needs(item) for item in members}
    lanes = {item: catalog.lanes(item) for item in members}
    runner = ItemRunner(session, recorder, options, checked_only=frozenset(selection.checked_only))
    pulled_in = catalog.in_page_order(selection.pulled_in)
    recorder.emit(
        RunStarted(at=clock.now(), run=recorder.run, items=selection.items, pulled_in=pulled_in, target=options.target)
    )
    for item in catalog.in_page_order(options.recreate):
        recorder.record(item, Kind.FORGOTTEN, note="ordered to be made again")
    failure: JournalError | None = None
    try:
        Graph(members, needs=needs, lanes=lanes).run(
            runner.work,
            skip=runner.skip,
            parallel=session.parallel,
            stopped=lambda: session.stop.requested,
            abandoned=lambda: session.stop.aborted,
        )
    except JournalError as error:
        failure = error
    path = critical_path(runner.started, needs=needs, lanes=lanes, spans=recorder.spans)
    outcomes = dict(runner.outcomes)
    outcome = "failed" if failure else _outcome(outcomes, interrupted=_left_over(session, selection, outcomes))
    finished = _totals(session, recorder, outcome, outcomes, clock.monotonic() - begun, path.seconds)
    recorder.emit(finished)
    if failure is not None:
        raise failure
    return RunResult(
        outcomes=outcomes,
        errors=dict(runner.errors),
        finished=finished,
        critical_path=path.items,
        exit_code=session.stop.exit_code if outcome == "interrupted" else exit_code(outcomes, runner.errors),
    )


def exit_code(outcomes: dict[str, Outcome], errors: dict[str, PlantctlError]) -> int:
    """0 all in place; 1 something failed (6 when only gates did); 4 blocked, or waiting for a person."""
    failed = [errors.get(item) for item, outcome in outcomes.items() if outcome is Outcome.FAILED]
    if failed:
        return GateFailed.exit_code if all(isinstance(error, GateFailed) for error in failed) else 1
    stopped = any(outcome in (Outcome.BLOCKED, Outcome.WAITING) for outcome in outcomes.values())
    return 4 if stopped else 0


def _left_over(session: Session[C], selection: Selection, outcomes: dict[str, Outcome]) -> bool:
    """A stop that came when everything had ended anyway did not interrupt anything."""
    return session.stop.requested and any(item not in outcomes for item in selection.items)


def _outcome(outcomes: dict[str, Outcome], *, interrupted: bool) -> str:
    if interrupted:
        return "interrupted"
    for outcome in (Outcome.FAILED, Outcome.BLOCKED, Outcome.WAITING):
        if outcome in outcomes.values():
            return str(outcome)
    return "succeeded"


def _totals(
    session: Session[C],
    recorder: RunRecorder,
    outcome: str,
    outcomes: dict[str, Outcome],
    duration_s: float,
    critical_path_s: float,
) -> RunFinished:
    counts = {str(word): sum(ended is word for ended in outcomes.values()) for word in Outcome}
    writes = requests = 0
    with suppress(JournalError):  # a full disk: the totals are told all the same
        writes, requests = recorder.counts()
        recorder.finish(
            outcome,
            counts
            | {"writes": writes, "requests": requests}
            | {"duration_s": round(duration_s, 3), "critical_path_s": round(critical_path_s, 3)},
        )
    return RunFinished(
        at=session.clock.now(),
        run=recorder.run,
        outcome=outcome,
        changed=counts["changed"],
        unchanged=counts["unchanged"],
        failed=counts["failed"],
        blocked=counts["blocked"],
        waiting=counts["waiting"],
        writes=writes,
        requests=requests,
        duration_s=duration_s,
        critical_path_s=critical_path_s,
    )
