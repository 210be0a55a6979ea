"""Waiting: three shapes, errors in answers that are 200, operations that vanish, and names that find them again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plantctl.errors import DeadlineExceeded, OperationFailed, UnknownOutcome
from plantctl.gcp import operations
from plantctl.gcp.target import sandbox_target
from plantctl.gcp.transport import operation_name
from plantctl.model.events import OperationFinished, OperationPolled, OperationStarted
from tests.unit.gcp.fakes import Clock, Recorder, answer, bundle, wire

COMPUTE = "https://www.googleapis.com/compute/v1/"
REGION = f"{COMPUTE}projects/p/regions/r"
SHAPES: dict[str, tuple[dict[str, Any], str, bytes]] = {
    "compute.routers.insert": (
        {"kind": "compute#operation", "name": "o", "region": REGION, "selfLink": f"{REGION}/operations/o"},
        "projects/p/regions/r/operations/o",
        b"/projects/p/regions/r/operations/o?",
    ),
    "compute.networks.insert": (
        {"kind": "compute#operation", "name": "o", "selfLink": f"{COMPUTE}projects/p/global/operations/o"},
        "projects/p/global/operations/o",
        b"/projects/p/global/operations/o?",
    ),
    "sql.instances.insert": (
        {
            "kind": "sql#operation",
            "name": "o",
            "selfLink": "https://sqladmin.googleapis.com/v1/projects/p/operations/o",
        },
        "projects/p/operations/o",
        b"/v1/projects/p/operations/o?",
    ),
    "vpcaccess.projects.locations.connectors.create": (
        {"name": "projects/p/locations/r/operations/o", "metadata": {}},
        "projects/p/locations/r/operations/o",
        b"/v1/projects/p/locations/r/operations/o?",
    ),
    "serviceusage.services.batchEnable": ({"name": "operations/o"}, "operations/o", b"/v1/operations/o?"),
}


@pytest.mark.parametrize("method", SHAPES)
def test_the_journalled_name_leads_back_to_the_same_operation(method: str) -> None:
    operation, name, path = SHAPES[method]
    assert operation_name(json.dumps(operation).encode()) == name
    for given in (operation, operations.journalled(method, name)):
        with wire(lambda number, request: answer(200, b'{"name": "o", "status": "DONE", "done": true}')) as (
            base,
            seen,
        ):
            operations.wait(bundle(base, Recorder()), method, given, deadline_s=60)
        assert path in seen[0].split(b"\r\n")[0]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": "projects/p/secrets/s"}', b'{"name": ', b'["name"]'])
def test_what_is_no_operation_has_no_name(content: bytes) -> None:
    assert operation_name(content) == ""


@pytest.mark.parametrize(
    ("ended", "code", "words"),
    [
        ({"done": True, "error": {"code": 9, "message": "Cannot modify"}}, "FAILED_PRECONDITION", "Cannot modify"),
        ({"done": True, "error": {"code": 99, "message": "odd"}}, "99", "odd"),
        ({"status": "DONE", "error": {"errors": [{"code": "RESOURCE_NOT_READY", "message": "no"}]}},
         "RESOURCE_NOT_READY", "no"),
        ({"done": True, "metadata": {"build": {"status": "FAILURE", "failureInfo": {"detail": "step 2"}}}},
         "FAILURE", "step 2"),
        ({"done": True, "metadata": {"build": {"status": "TIMEOUT", "statusDetail": "slow"}}}, "TIMEOUT", "slow"),
        ({"done": True, "metadata": {"build": {"status": "EXPIRED"}}}, "EXPIRED", "the build ended EXPIRED"),
        ({"done": True, "error": {"message": "no code"}}, "UNKNOWN", "no code"),
    ],
)  # fmt: skip
def test_an_end_can_be_a_failure_even_in_the_first_answer(ended: dict[str, Any], code: str, words: str) -> None:
    recorder = Recorder()
    gcp = bundle("http://127.0.0.1:9", recorder)
    with pytest.raises(OperationFailed) as caught:
        operations.wait(gcp, "m", {"name": "operations/o", **ended}, deadline_s=60)
    assert caught.value.reason == code
    assert words in caught.value.message
    assert [type(event) for event in recorder.events] == [OperationStarted, OperationFinished]
    found = operations.wait(gcp, "m", {"name": "operations/o", **ended}, deadline_s=60, must_succeed=False)
    assert operations.error_of(found) == (code, words)


def test_a_good_build_is_no_failure() -> None:
    good = {"name": "operations/o", "done": True, "metadata": {"build": {"status": "SUCCESS"}}}
    assert operations.error_of(good) == ("", "")


GONE = answer(404, b'{"error": {"code": 404, "status": "NOT_FOUND", "message": "no operation"}}')
OPERATION = {"kind": "sql#operation", "name": "o"}


def test_a_fresh_operation_may_stay_unseen_for_a_while() -> None:
    done = answer(200, b'{"name": "o", "status": "DONE"}')
    recorder = Recorder()
    with wire(lambda number, request: GONE if number < 4 else done) as (base, seen):
        operations.wait(bundle(base, recorder), "sql.instances.insert", OPERATION, deadline_s=60)
    assert len(seen) == 4
    assert sum(isinstance(event, OperationPolled) for event in recorder.events) == 4


def test_a_stale_operation_is_settled_by_the_resource() -> None:
    looks: list[dict[str, str] | None] = [None, None, {"name": "i"}]
    with wire(lambda number, request: GONE) as (base, _):
        found = operations.wait(
            bundle(base, Recorder()), "sql.instances.insert", OPERATION, deadline_s=600, resource=lambda: looks.pop(0)
        )
    assert found["response"] == {"name": "i"}
    assert looks == []


@pytest.mark.parametrize("resource", [None, lambda: None])
def test_a_stale_operation_without_its_resource_is_an_open_question(resource: Any) -> None:
    clock = Clock()
    with wire(lambda number, request: GONE) as (base, _), pytest.raises(UnknownOutcome):
        operations.wait(
            bundle(base, Recorder(), clock), "sql.instances.insert", OPERATION, deadline_s=600, resource=resource
        )
    assert operations.NOT_VISIBLE_YET_S <= clock.passed < 2 * operations.NOT_VISIBLE_YET_S


def test_a_deadline_ends_the_wait_only_and_the_resource_may_be_ready_by_then() -> None:
    running = answer(200, b'{"name": "o", "status": "RUNNING"}')
    with wire(lambda number, request: running) as (base, _):
        with pytest.raises(DeadlineExceeded) as caught:
            operations.wait(bundle(base, Recorder()), "sql.instances.insert", OPERATION, deadline_s=3)
        found = operations.wait(
            bundle(base, Recorder()), "sql.instances.insert", OPERATION, deadline_s=3, resource=lambda: {"name": "i"}
        )
    assert "gcloud sql operations describe o" in caught.value.hint
    assert found["response"] == {"name": "i"}


def test_the_duration_is_the_operation_s_own() -> None:
    timed = {"insertTime": "2026-11-23T00:00:00.5Z", "endTime": "2026-11-23T00:10:00.5Z"}
    assert operations.own_seconds(timed, 3.0) == 600
    assert operations.own_seconds({"metadata": {"createTime": "2026-11-23T00:00:00Z"}}, 3.0) == 3
    execution = {"createTime": "2026-11-23T00:00:00Z", "completionTime": "2026-11-23T00:00:07.5Z"}
    job = {"createTime": "2026-11-20T00:00:00Z"}
    assert operations.own_seconds({"metadata": job, "response": execution}, 9.0) == 7.5
    build = {"createTime": "2026-11-23T00:00:00Z", "finishTime": "2026-11-23T00:04:00Z"}
    assert operations.own_seconds({"metadata": {"build": build}}, 9.0) == 240


@pytest.mark.parametrize(("speed", "shown"), [(None, 900.0), (60, 15.0), ("max", 0.0)])
def test_a_faster_target_is_expected_to_end_sooner(speed: object, shown: float) -> None:
    with wire(lambda number, request: answer(200, b'{"name": "o", "status": "DONE"}')) as (base, _):
        gcp = bundle(base, recorder := Recorder())
        gcp.target = sandbox_target({"rest": base, "speed": speed}, project="p", region="r")
        operations.wait(gcp, "sql.instances.insert", SHAPES["sql.instances.insert"][0], deadline_s=60)
    assert next(e.expect_s for e in recorder.events if isinstance(e, OperationStarted)) == shown
