"""A run takes what its critical path takes, and anybody can compute that path again from the sandbox's operations."""

from __future__ import annotations

from collections import defaultdict

import pytest

from plantctl.steps import STEPS
from tests.e2e.conftest import FOUR_PHASES, Maker
from tests.e2e.operator import Done, Operator

FACTOR = 1.15
TOGETHER = (
    "redis.projects.locations.instances.create",
    "sql.instances.insert",
    "cloudbuild.projects.locations.builds.create",
)
BY_ID = {step.id: step for step in STEPS}


def spans(operator: Operator, run: Done) -> dict[str, float]:
    """Seconds by item: the sum of its operations' own durations, as the sandbox has them."""
    own = {str(op["name"]).rsplit("/", 1)[-1]: float(op["seconds"]) for op in operator.operations()}
    begun = {e["operation"].rsplit("/", 1)[-1]: e["item"] for e in run.events if e["event"] == "operation-started"}
    found: dict[str, float] = defaultdict(float)
    for operation, item in begun.items():
        found[item] += own[operation]
    return found


def longest_chain(run: Done, seconds: dict[str, float]) -> float:
    """By needs, and by lanes in the order in which items had them (design section 5)."""
    until: dict[str, float] = {}
    held: dict[str, str] = {}
    for item in [e["item"] for e in run.events if e["event"] == "item-started"]:
        step = BY_ID[item]
        lanes = getattr(step, "lanes", ())
        after = [need for need in step.needs if need in until] + [held[lane] for lane in lanes if lane in held]
        until[item] = seconds.get(item, 0.0) + max((until[one] for one in after), default=0.0)
        held |= dict.fromkeys(lanes, item)
    return max(until.values())


def measured(operator: Operator, *phases: str) -> tuple[float, float]:
    """Duration of a run on an empty project, and its critical path computed anew; both in seconds."""
    operator.up()
    run = operator.run(*phases, limit_s=550)
    assert run.code == 0, run.failures
    path = longest_chain(run, spans(operator, run))
    told, duration = run.finished["critical_path_s"], run.finished["duration_s"]
    print(f"speed {operator.speed}: {duration:.1f} s, critical path {path:.1f} s, or {told:.1f} s as the run tells it")
    # an operation that tells no times of its own counts as it was observed, which is a poll longer
    assert path - 0.1 <= told <= 1.05 * path + 0.5
    return float(duration), path


@pytest.mark.timeout(400)
def test_the_path_that_a_run_tells_is_that_of_the_operations(fresh: Maker) -> None:
    duration, path = measured(fresh(speed="600"), "predeploy", "database")
    assert 1.0 < path <= duration


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_a_rehearsal_takes_little_more_than_its_critical_path(fresh: Maker) -> None:
    duration, path = measured(fresh(speed="60"), "predeploy", "database")
    assert duration <= FACTOR * path + 3


@pytest.mark.acceptance
@pytest.mark.timeout(900)
def test_four_phases_take_little_more_than_their_critical_path(fresh: Maker) -> None:
    operator = fresh(speed="60")
    duration, path = measured(operator, *FOUR_PHASES)
    assert duration <= FACTOR * path + 5
    spans = {str(op["method_id"]): (op["insert_time"], op["end_time"]) for op in operator.operations()}
    kept = [spans[method] for method in TOGETHER]
    assert max(begun for begun, _ in kept) < min(ended for _, ended in kept), "Redis, SQL and build overlap"
