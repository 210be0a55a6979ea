"""Releases: what gets traffic and what never does, what a second call writes, where a rollback goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plantctl.errors import GateFailed, OperationFailed, PlantctlError, ProbeFailed
from plantctl.model.facts import Facts
from plantctl.model.plant import Plant
from plantctl.steps import promotion, release, service, traffic
from plantctl.steps.context import Context
from plantctl.steps.promotion import promote, rollback
from plantctl.steps.release import deploy, listed
from tests.steps.run_world import Run, digest

OLD, NEW, NEXT = "plant-backend-00001", "plant-backend-00002", "plant-backend-00003"
WATCH_S = 0.05


def context(run: Run, version: str = "v1.1.0") -> Context:
    """What a release command works with."""
    plant = Plant(backend=replace(Plant().backend, version=version))
    return Context(plant=plant, gcp=run, facts=Facts(), memory=run.memory, clock=run.clock, base=Path())


@pytest.fixture
def run() -> Run:
    """v1.0.0 serves; v1.1.0 and v1.2.0 are pushed and scanned."""
    found = Run("v1.0.0", "v1.1.0", "v1.2.0")
    found.begin("v1.0.0")
    return found


def serving(run: Run) -> dict[str, int]:
    """Percent by revision."""
    return traffic.shares(run.service)


def test_a_deployed_version_gets_no_traffic_and_is_tried_by_its_own_address(run: Run) -> None:
    done = deploy(context(run))
    assert serving(run) == {OLD: 100}
    assert (done.revision, done.digest, done.tag, done.percent) == (NEW, digest("v1.1.0"), "v1-1-0", 0)
    assert done.uri == "https://v1-1-0---x.a.run.app"
    assert done.words == (
        "scan: 0 critical, 0 high, 0 medium, 0 low",
        f"{NEW} is alive and ready at https://v1-1-0---x.a.run.app",
        "schema at 0010, the image wants 0010",
        "/version says 0.1.0",
    )
    made = run.revisions[-1]
    assert made["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    assert made["serviceAccount"] == "s"


def test_a_second_deploy_writes_nothing(run: Run) -> None:
    first = deploy(context(run))
    before = list(run.writes)
    second = deploy(context(run))
    assert run.writes == before == ["template,traffic", "traffic"]
    assert (first.changed, second.changed) == (True, False)
    promote(context(run), 100, watch_s=WATCH_S)
    writes = len(run.writes)
    assert deploy(context(run)).percent == 100
    assert len(run.writes) == writes


def test_a_deploy_goes_on_where_a_killed_one_stood(run: Run) -> None:
    ctx = context(run)
    service.write(ctx, lambda live: release._with_candidate(ctx, live, digest("v1.1.0")))
    assert run.writes == ["template,traffic"]
    assert deploy(ctx).tag == "v1-1-0"
    assert run.writes == ["template,traffic", "traffic"]
    assert len(run.revisions) == 2


def test_a_version_that_does_not_start_is_told_and_gets_nothing(run: Run) -> None:
    run.broken.add("v1.1.0")
    run.errors.append("DB_HOST: set it")
    with pytest.raises(OperationFailed) as caught:
        deploy(context(run))
    assert caught.value.message == f"the new revision of plant-backend is not ready; {OLD} keeps serving"
    assert "DB_HOST: set it" in caught.value.cause
    assert caught.value.reference == "container-not-ready"
    assert serving(run) == {OLD: 100}
    with pytest.raises(PlantctlError, match=f"{NEW} is not ready, so it gets no traffic"):
        promote(context(run), 100, watch_s=WATCH_S)
    run.broken.clear()
    assert deploy(context(run)).revision == NEXT


def test_a_version_that_answers_badly_is_never_promoted_by_deploy(run: Run) -> None:
    run.sick.add("v1.1.0")
    with pytest.raises(ProbeFailed, match="/health answered 503"):
        deploy(context(run))
    assert serving(run) == {OLD: 100}


def test_a_version_that_waits_for_its_migrations_is_not_tried_on(run: Run) -> None:
    run.schema = "0009"
    with pytest.raises(ProbeFailed, match="the schema is at 0009, and the image wants 0010"):
        deploy(context(run))
    assert serving(run) == {OLD: 100}
    run.schema = "0011"
    assert deploy(context(run)).revision == NEW


def test_the_scans_gate_stops_a_release_before_it_is_made(run: Run) -> None:
    run.critical.add("v1.1.0")
    with pytest.raises(GateFailed, match="1 critical vulnerabilities with a fix: CVE-2026-0001") as caught:
        deploy(context(run))
    assert caught.value.exit_code == 6
    assert (run.writes, len(run.revisions)) == ([], 1)


def test_a_version_that_was_not_built_is_told(run: Run) -> None:
    with pytest.raises(PlantctlError, match="no image plant-backend:v9") as caught:
        deploy(context(run, "v9"))
    assert caught.value.hint == "plantctl release build --version v9"


def test_traffic_moves_in_steps_and_follows_the_newest_in_the_end(run: Run) -> None:
    deploy(context(run))
    done = promote(context(run), 50, watch_s=WATCH_S)
    assert serving(run) == {OLD: 50, NEW: 50}
    assert len(done.words) == 2
    assert promote(context(run), 50, watch_s=WATCH_S).changed is False
    done = promote(context(run), 100, watch_s=WATCH_S)
    assert serving(run) == {NEW: 100}
    assert not traffic.pinned(run.service)
    assert done.words[-2:] == (f"{NEW} serves {digest('v1.1.0')}", f"/version says 0.1.0, from {NEW}")
    writes = len(run.writes)
    assert promote(context(run), 100, watch_s=WATCH_S).changed is False
    assert len(run.writes) == writes


@pytest.mark.parametrize("wrong", ["answers", "lines"])
def test_errors_take_the_traffic_back(run: Run, wrong: str) -> None:
    deploy(context(run))
    before = run.service["traffic"]
    if wrong == "lines":
        run.errors.append("boom")
    else:
        run.sick.add("v1.0.0")
        run.sick.add("v1.1.0")
    with pytest.raises(GateFailed, match=r"at 10 % .*the traffic is back where it was"):
        promote(context(run), 100, watch_s=WATCH_S)
    assert run.service["traffic"] == before
    assert serving(run) == {OLD: 100}


def test_a_rollback_goes_to_what_served_before_and_twice_is_once(run: Run) -> None:
    deploy(context(run))
    promote(context(run), 100, watch_s=WATCH_S)
    done = rollback(context(run))
    assert (done.revision, done.digest, done.changed) == (OLD, digest("v1.0.0"), True)
    assert serving(run) == {OLD: 100}
    writes = len(run.writes)
    again = rollback(context(run))
    assert (again.revision, again.changed) == (OLD, False)
    assert len(run.writes) == writes
    promote(context(run), 100, watch_s=WATCH_S)
    assert serving(run) == {NEW: 100}
    assert rollback(context(run)).revision == OLD


def test_a_rollback_in_the_middle_of_a_promotion_gives_all_back(run: Run) -> None:
    deploy(context(run))
    promote(context(run), 10, watch_s=WATCH_S)
    assert rollback(context(run)).revision == OLD
    assert serving(run) == {OLD: 100}


def test_a_rollback_without_a_note_finds_another_image(run: Run) -> None:
    run.begin("v1.1.0")
    run._patch({"template": {**run.service["template"], "annotations": {"plantctl-after": NEW}}})
    assert serving(run) == {NEXT: 100}
    assert rollback(context(run)).revision == OLD


def test_a_rollback_to_a_version_or_to_nothing(run: Run) -> None:
    with pytest.raises(PlantctlError, match=f"nothing else has served before {OLD}"):
        rollback(context(run))
    for version in ("v1.1.0", "v1.2.0"):
        deploy(context(run, version))
        promote(context(run), 100, watch_s=WATCH_S)
    assert rollback(context(run), "v1.0.0").revision == OLD
    assert rollback(context(run), NEW).revision == NEW
    with pytest.raises(PlantctlError, match="no ready revision v9"):
        rollback(context(run), "v9")


def test_a_lost_race_is_looked_at_anew(run: Run) -> None:
    run.races = 2
    assert deploy(context(run)).revision == NEW
    assert len(run.revisions) == 2


def test_revisions_are_listed_with_version_and_traffic(run: Run) -> None:
    deploy(context(run))
    rows = [(row["revision"], row["version"], row["percent"], row["tag"], row["state"]) for row in listed(context(run))]
    assert rows == [(NEW, "v1.1.0", 0, "v1-1-0", "ready"), (OLD, "v1.0.0", 100, "", "ready")]


@pytest.mark.parametrize(
    ("shares", "left", "found"),
    [
        ({"a": 100}, 90, {"a": 90}),
        ({"a": 50, "b": 50}, 49, {"a": 25, "b": 24}),
        ({"a": 90, "b": 10}, 50, {"a": 45, "b": 5}),
    ],
)
def test_what_is_left_is_shared_as_before(shares: dict[str, int], left: int, found: dict[str, int]) -> None:
    assert promotion._rest(shares, left) == found


@pytest.mark.parametrize(("version", "tag"), [("v1.1.0", "v1-1-0"), ("2026_11", "v2026-11"), ("RC.1", "rc-1")])
def test_a_version_as_a_tag_of_an_address(version: str, tag: str) -> None:
    assert release.tag_of(version) == tag
