"""A second run is silent: no write, no mutating request, and quick; also after the sandbox was down."""

from __future__ import annotations

import os

from tests.e2e.conftest import Finished
from tests.e2e.operator import Operator

USUAL_S, BUSY_S = 3.0, 20.0


def bound_s() -> float:
    """Three seconds on an idle machine; more where the cores have other work too."""
    return USUAL_S if os.getloadavg()[0] < (os.cpu_count() or 1) * 0.8 else BUSY_S


def assert_silent(operator: Operator, since: int, *, label: str) -> None:
    """One run that finds everything in place, writes nothing and is quick."""
    done = operator.run("predeploy", "database")
    totals = done.finished
    print(f"{label}: {done.seconds:.2f} s, {totals['requests']} requests, load {os.getloadavg()[0]:.1f}")
    assert done.code == 0, done.failures
    assert (totals["writes"], totals["changed"], totals["outcome"]) == (0, 0, "succeeded")
    assert operator.writes(since) == []
    assert len(operator.wire(since)) == totals["requests"]
    assert done.seconds < bound_s()


def test_a_second_run_writes_nothing(still: Operator) -> None:
    assert_silent(still, still.mark(), label="second run")


def test_a_run_after_the_sandbox_was_down_writes_nothing(finished: Finished, still: Operator) -> None:
    since = still.mark()
    still.down()
    still.up()
    assert still.mark() == since, "the wire log survives a restart"
    assert_silent(still, since, label="second run after down and up")


def test_a_plan_of_a_finished_plant_is_quick_and_empty(still: Operator) -> None:
    since = still.mark()
    done = still.do("phase", "plan", "database", "--detailed-exitcode")
    print(f"plan of a finished plant: {done.seconds:.2f} s, load {os.getloadavg()[0]:.1f}")
    assert done.code == 0, done.out
    assert still.writes(since) == []
    assert done.seconds < (1.5 if bound_s() == USUAL_S else BUSY_S)


def test_a_verify_looks_anew_and_applies_nothing(still: Operator) -> None:
    since = still.mark()
    done = still.do("phase", "verify", "database", "--format", "json")
    assert done.code == 0, done.failures
    assert done.finished["writes"] == 0
    # it looks from inside the network again: those are probes
    assert {entry["method_id"] for entry in still.writes(since)} == {"run.projects.locations.jobs.run"}
