"""Traffic of Cloud Run services: percent, tags, roll-out and rollback under load, instances that go and come."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from plantctl.sandbox.app import App
from tests.sandbox import plane_kit as kit
from tests.sandbox import run_kit
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.dataplane
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
NAMED = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


@pytest.fixture(scope="module")
def box(plane_app: App) -> Iterator[Sandbox]:
    """One world for all tests of this file."""
    box = Sandbox(plane_app)
    box.reset()
    yield box
    box.close()


@pytest.fixture(scope="module")
def images(box: Sandbox) -> dict[str, str]:
    """Two versions of the toy server, told apart by their code."""
    kit.prepare(box)
    return {version: run_kit.image(box, version) for version in ("one", "two")}


def short(name: str) -> str:
    """A revision's own name."""
    return name.rsplit("/", 1)[-1]


def named(revision: str, percent: int, tag: str = "") -> dict[str, Any]:
    """A target."""
    return {"type": NAMED, "revision": revision, "percent": percent, **({"tag": tag} if tag else {})}


def test_a_revision_without_traffic_answers_by_its_tag_alone(box: Sandbox, images: dict[str, str]) -> None:
    first = run_kit.made(box, "tagged", run_kit.template(images["one"]))
    old = short(first["latestReadyRevision"])
    held = [named(old, 100), {"type": LATEST, "percent": 0, "tag": "candidate"}]
    second = run_kit.made(box, "tagged", run_kit.template(images["two"]), traffic=held)
    assert second["latestReadyRevision"] != first["latestReadyRevision"]
    (tagged,) = [status for status in second["trafficStatuses"] if status.get("tag")]
    assert tagged["uri"].startswith("https://candidate---tagged-")
    with run_kit.caller(box) as session:
        assert session.get(tagged["uri"], timeout=30).json()["version"] == "two"
        assert {session.get(first["uri"], timeout=30).json()["version"] for _ in range(10)} == {"one"}
    after = run_kit.shift(box, "tagged", {"type": LATEST, "percent": 100})
    assert after["latestCreatedRevision"] == second["latestCreatedRevision"]
    with run_kit.caller(box) as session:
        assert session.get(first["uri"], timeout=30).json()["version"] == "two"
        assert session.get(tagged["uri"], timeout=30).status_code == 404
    run_kit.until(
        lambda: {i["revision"] for i in run_kit.instances(box, "tagged")} == {short(after["latestReadyRevision"])}
    )


def test_traffic_is_split_by_percent(box: Sandbox, images: dict[str, str]) -> None:
    first = run_kit.made(box, "split", run_kit.template(images["one"]))
    second = run_kit.made(box, "split", run_kit.template(images["two"]))
    old, new = short(first["latestReadyRevision"]), short(second["latestReadyRevision"])
    after = run_kit.shift(box, "split", named(old, 75), named(new, 25))
    assert [(s["revision"], s["percent"]) for s in after["trafficStatuses"]] == [(old, 75), (new, 25)]
    with run_kit.caller(box) as session:
        seen = Counter(session.get(first["uri"], timeout=30).json()["version"] for _ in range(400))
    assert 60 <= seen["two"] <= 140  # 100 +- 4.6 standard deviations
    for wrong in (
        [named(old, 60)],
        [named(old, 50), named("split-99999-xyz", 50)],
        [named(old, 50, "a"), named(new, 50, "a")],
    ):
        refused = box.call("PATCH", f"{run_kit.SERVICES}/split?updateMask=traffic", {"traffic": wrong})
        assert refused.status_code == 400, refused.text


def test_roll_out_and_rollback_under_load_without_an_error(box: Sandbox, images: dict[str, str]) -> None:
    first = run_kit.made(box, "steady", run_kit.template(images["one"]))
    old = short(first["latestReadyRevision"])
    with run_kit.Load(box, f"{first['uri']}/slow?0.02") as load:
        load.seen("one")
        run_kit.made(box, "steady", run_kit.template(images["two"]))
        load.seen("two")
        broken = run_kit.deploy(
            box, "steady", run_kit.template(images["two"], env=[{"name": "MODE", "value": "crash"}])
        )
        assert "error" in broken
        load.seen("two")
        run_kit.shift(box, "steady", named(old, 100))
        load.seen("one")  # an older digest runs the older code
    assert set(load.statuses) == {200}, load.statuses
    drained = 'resource.labels.service_name="steady" AND textPayload="drained"'
    assert run_kit.until(lambda: run_kit.logged(box, drained))


def test_a_rollback_waits_until_the_older_revision_is_warm(box: Sandbox, images: dict[str, str]) -> None:
    takes_long = run_kit.template(images["one"], env=[{"name": "START_S", "value": "6"}])
    first = run_kit.made(box, "warm", takes_long)
    run_kit.made(box, "warm", run_kit.template(images["two"]))
    with run_kit.Load(box, first["uri"], workers=1) as load:
        load.seen("two")
        run_kit.shift(box, "warm", named(short(first["latestReadyRevision"]), 100))
        load.seen("one")
    assert set(load.statuses) == {200}
    assert load.slowest_s < 5


def test_a_request_under_way_ends_before_its_instance(box: Sandbox, images: dict[str, str]) -> None:
    # this one dies at once of SIGTERM: it must not get it before it has answered
    first = run_kit.made(box, "slow", run_kit.template(images["one"], env=[{"name": "MODE", "value": "abrupt"}]))
    with ThreadPoolExecutor(1) as pool, run_kit.caller(box) as session:
        slow = pool.submit(session.get, f"{first['uri']}/slow?3", timeout=30)
        run_kit.until(lambda: any(i["requests_under_way"] for i in run_kit.instances(box, "slow")))
        run_kit.made(box, "slow", run_kit.template(images["two"]))
        answer = slow.result(30)
    assert (answer.status_code, answer.json()["version"]) == (200, "one")


def test_an_instance_that_is_killed_comes_again(box: Sandbox, images: dict[str, str]) -> None:
    made = run_kit.made(box, "killed", run_kit.template(images["one"]))
    with run_kit.caller(box) as session:
        pid = session.get(made["uri"], timeout=30).json()["pid"]
        os.kill(pid, signal.SIGKILL)
        run_kit.until(lambda: session.get(made["uri"], timeout=30).status_code == 200)
        assert session.get(made["uri"], timeout=30).json()["pid"] != pid
        assert session.get(f"{made['uri']}/exit", timeout=30).status_code == 503
        run_kit.until(lambda: session.get(made["uri"], timeout=30).status_code == 200)
    wanted = 'resource.labels.service_name="killed" AND logName:"varlog" AND severity>=ERROR'
    found = run_kit.until(lambda: len(run_kit.logged(box, wanted)) == 2 and run_kit.logged(box, wanted))
    assert {entry["textPayload"] for entry in found} == {"Container called exit(137).", "Container called exit(9)."}


def test_an_unwell_instance_is_replaced(box: Sandbox, images: dict[str, str]) -> None:
    probe = {**run_kit.PROBE, "failureThreshold": 2}
    made = run_kit.made(box, "unwell", run_kit.template(images["one"], livenessProbe=probe))
    with run_kit.caller(box) as session:
        pid = session.get(f"{made['uri']}/unwell", timeout=30).json()["pid"]

        def replaced() -> bool:
            answer = session.get(made["uri"], timeout=30)
            return answer.status_code == 200 and answer.json()["pid"] != pid

        run_kit.until(replaced)
    wanted = 'resource.labels.service_name="unwell" AND logName:"varlog"'
    (entry,) = run_kit.until(lambda: run_kit.logged(box, wanted))
    assert "liveness probe failed: GET /health answered 503" in entry["textPayload"]


def test_instances_follow_the_load_up_to_the_cores(box: Sandbox, images: dict[str, str]) -> None:
    cores = os.cpu_count() or 1
    template = run_kit.template(images["one"], maxInstanceRequestConcurrency=1, scaling={"maxInstanceCount": 50})
    made = run_kit.made(box, "scaled", template)
    calls = cores * 3
    with ThreadPoolExecutor(calls) as pool, run_kit.caller(box) as session:
        begun = time.monotonic()
        answers = list(pool.map(lambda _: session.get(f"{made['uri']}/slow?0.5", timeout=60), range(calls)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["pid"] for answer in answers}) == cores
    assert time.monotonic() - begun >= 1.5  # never two at once in one instance
    (found,) = [r for r in box.ok("GET", "_sandbox/dataplane")["run"]["revisions"] if "/scaled/" in r["name"]]
    assert (found["max"], found["limit"]) == (50, cores)
    assert f"this machine has {cores} cores" in found["note"]
    path = f"{run_kit.SERVICES}/scaled?updateMask=scaling"
    kit.wait(box, "run", box.ok("PATCH", path, {"scaling": {"minInstanceCount": 1, "maxInstanceCount": 1}}))
    (after,) = [r for r in box.ok("GET", "_sandbox/dataplane")["run"]["revisions"] if "/scaled/" in r["name"]]
    assert (after["min"], after["max"], after["revision"]) == (1, 1, found["revision"])
    run_kit.until(lambda: len(run_kit.instances(box, "scaled")) == 1)


def test_the_request_timeout_is_kept(box: Sandbox, images: dict[str, str]) -> None:
    made = run_kit.made(box, "timed", run_kit.template(images["one"], timeout="1s"))
    with run_kit.caller(box) as session:
        answer = session.get(f"{made['uri']}/slow?5", timeout=30)
        assert (answer.status_code, answer.text) == (504, "upstream request timeout")
        assert session.get(made["uri"], timeout=30).status_code == 200


def test_requests_are_told_to_who_counts_them(box: Sandbox, images: dict[str, str]) -> None:
    made = run_kit.made(box, "counted", run_kit.template(images["one"]))
    facts: list[dict[str, Any]] = []
    listeners = box.app.world.listeners.setdefault("request-served", [])

    def note(_world: object, **given: Any) -> None:
        facts.append(given)

    listeners.append(note)
    try:
        with run_kit.caller(box) as session:
            for _ in range(20):
                session.get(f"{made['uri']}/slow?0.01", timeout=30)
        run_kit.until(lambda: sum(one["service"] == "counted" for one in facts) >= 20)
    finally:
        listeners.remove(note)
    mine = [one for one in facts if one["service"] == "counted"]
    assert {(one["status"], one["location"]) for one in mine} == {(200, "us-central1")}
    assert {one["revision"] for one in mine} == {short(made["latestReadyRevision"])}
    assert all(0.01 <= one["latency_s"] < 10 for one in mine)


def test_a_revision_keeps_the_digest_that_its_tag_had(box: Sandbox, images: dict[str, str]) -> None:
    made = run_kit.made(box, "pinned", run_kit.template(f"{kit.IMAGE}:server-one"))
    revision = box.ok("GET", f"run/v2/{made['latestReadyRevision']}")
    assert revision["containerStatuses"] == [{"imageDigest": images["one"]}]
    assert run_kit.image(box, "two", tag="server-one") == images["two"]  # the tag moves on
    with run_kit.caller(box) as session:
        os.kill(session.get(made["uri"], timeout=30).json()["pid"], signal.SIGKILL)
        run_kit.until(lambda: session.get(made["uri"], timeout=30).status_code == 200)
        assert session.get(made["uri"], timeout=30).json()["version"] == "one"
