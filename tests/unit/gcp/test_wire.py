"""What really leaves: once, on record before it is sent, named, and never again by a library's own wish."""

from __future__ import annotations

from typing import Any

import pytest

from plantctl.errors import ApiFailure, PlantctlError, TargetError, UnknownOutcome
from plantctl.model.step import Later
from tests.unit.gcp.fakes import Recorder, answer, bundle, wire

CREATES: dict[str, dict[str, Any]] = {
    "sql.instances.insert": {"project": "p"},
    "storage.buckets.insert": {"project": "p"},
    "secretmanager.projects.secrets.create": {"parent": "projects/p", "secretId": "s"},
    "run.projects.locations.jobs.create": {"parent": "projects/p/locations/r", "jobId": "j"},
    "run.projects.locations.jobs.run": {"name": "projects/p/locations/r/jobs/j"},
    "sql.backupRuns.insert": {"project": "p", "instance": "i"},
}
"""Writes by discovery-built and by typed clients, of classes N and X: none may be sent twice unasked."""


@pytest.mark.parametrize("method", CREATES)
def test_a_write_without_an_answer_is_on_the_wire_once(method: str) -> None:
    recorder = Recorder()
    with wire(lambda number, request: None) as (base, seen), pytest.raises(UnknownOutcome):
        bundle(base, recorder).call(method, {}, **CREATES[method])
    assert len(seen) == 1
    assert recorder.kinds() == ["attempt", "answer"]
    assert recorder.answers() == [0]


@pytest.mark.parametrize("method", ["sql.instances.insert", "run.projects.locations.jobs.create"])
def test_a_write_is_on_record_before_its_bytes_leave(method: str) -> None:
    recorder = Recorder()
    at_arrival: list[list[str]] = []

    def answering(number: int, request: bytes) -> bytes:
        at_arrival.append(recorder.kinds())
        return answer(200, b'{"name": "projects/p/locations/r/operations/o"}')

    with wire(answering) as (base, seen):
        bundle(base, recorder).call(method, {}, **CREATES[method])
    assert at_arrival == [["attempt"]]
    head = seen[0].lower()
    assert b"x-goog-request-reason: plantctl/r1/a1" in head
    assert b"user-agent: plantctl/" in head
    assert head.count(b"user-agent:") == 1
    assert recorder.log[-1] == ("answer", ("a1", 200, "projects/p/locations/r/operations/o", ""))


def test_reads_are_counted_and_say_so() -> None:
    recorder = Recorder()
    with wire(lambda number, request: answer(200, b'{"bindings": []}')) as (base, seen):
        gcp = bundle(base, recorder)
        gcp.call("cloudresourcemanager.projects.getIamPolicy", {}, resource="projects/p")
        gcp.get("run.projects.locations.jobs.get", name="projects/p/locations/r/jobs/j")
    assert recorder.kinds() == ["read", "read"]
    assert all(b"x-goog-request-reason: plantctl/r1/read" in request.lower() for request in seen)


def test_a_read_without_an_answer_is_sent_again_and_each_sending_counted() -> None:
    recorder = Recorder()
    with wire(lambda number, request: answer(200, b'{"name": "i"}') if number == 3 else None) as (base, seen):
        found = bundle(base, recorder).get("sql.instances.get", project="p", instance="i")
    assert found == {"name": "i"}
    assert len(seen) == len(recorder.log) == 3


def test_an_answer_cut_short_is_no_answer() -> None:
    recorder = Recorder()
    cut = answer(200, b'{"name": ', length=500)
    with wire(lambda number, request: cut) as (base, seen), pytest.raises(UnknownOutcome):
        bundle(base, recorder).call("sql.instances.insert", {}, project="p")
    assert (len(seen), recorder.answers()) == (1, [0])


def test_compute_writes_carry_the_intent_and_are_safe_to_send_again() -> None:
    recorder = Recorder()
    with wire(lambda number, request: answer(200, b'{"name": "o"}') if number == 2 else None) as (base, seen):
        bundle(base, recorder).call("compute.networks.insert", {"name": "n"}, project="p")
    assert len(seen) == 2
    assert all(b"requestId=00000000-0000-4000-8000-000000000001" in request for request in seen)
    assert recorder.kinds() == ["attempt", "answer"] * 2


def test_reading_back_settles_a_write_without_an_answer() -> None:
    recorder = Recorder()
    looks = iter([None, {"name": "found"}])
    with wire(lambda number, request: None) as (base, seen):
        gcp = bundle(base, recorder)
        assert gcp.call("sql.instances.insert", {}, project="p", read_back=lambda: next(looks)) == {"name": "found"}
    assert len(seen) == 1


def test_a_write_that_left_nothing_is_sent_a_second_time_and_no_third() -> None:
    recorder = Recorder()
    with wire(lambda number, request: None) as (base, seen), pytest.raises(UnknownOutcome):
        bundle(base, recorder).call("sql.instances.insert", {}, project="p", read_back=lambda: None)
    assert (len(seen), recorder.answers()) == (2, [0, 0])


def test_a_missing_resource_is_none_and_a_gap_stops_the_run() -> None:
    missing = b'{"error": {"code": 404, "status": "NOT_FOUND", "message": "no"}}'
    gap = b'{"error": {"code": 404, "status": "UNIMPLEMENTED", "message": "no handler for sql.instances.get"}}'
    with wire(lambda number, request: answer(404, missing if number == 1 else gap)) as (base, _):
        gcp = bundle(base, Recorder())
        assert gcp.get("sql.instances.get", project="p", instance="i") is None
        with pytest.raises(PlantctlError) as caught:
            gcp.get("sql.instances.get", project="p", instance="i")
    assert not isinstance(caught.value, ApiFailure)


def test_nobody_listening_is_the_target_s_fault() -> None:
    with wire(lambda number, request: None) as (base, _):
        pass
    with pytest.raises(TargetError) as caught:
        bundle(base, Recorder()).get("sql.instances.get", project="p", instance="i")
    assert caught.value.reference == "sandbox-down"


def test_a_value_to_come_and_a_method_without_a_class_are_never_sent() -> None:
    with wire(lambda number, request: answer(200, b"{}")) as (base, seen):
        gcp = bundle(base, Recorder())
        with pytest.raises(LookupError):
            gcp.call("sql.instances.insert", {"a": [{"b": Later("x", "y")}]}, project="p")
        with pytest.raises(PlantctlError):
            gcp.call("sql.instances.delete", project="p", instance="i")
    assert seen == []


def test_lists_drain_their_pages() -> None:
    pages = {1: b'{"items": [{"name": "a"}], "nextPageToken": "t"}', 2: b'{"items": [{"name": "b"}]}'}
    with wire(lambda number, request: answer(200, pages[number])) as (base, seen):
        found = bundle(base, Recorder()).list("sql.instances.list", "items", project="p")
    assert [part["name"] for part in found] == ["a", "b"]
    assert b"pageToken=t" in seen[1]


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with wire(lambda number, request: answer(200, b'{"name": "i"}')) as (base, seen):
        assert bundle(base, Recorder()).get("sql.instances.get", project="p", instance="i") == {"name": "i"}
    assert len(seen) == 1
