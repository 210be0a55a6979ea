"""A resource by its row: made once, taken over only when ours, changed against races, attached to what was begun."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from plantctl.errors import ApiFailure
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.resource import RestResource, Row, laid_over
from plantctl.gcp.target import sandbox_target
from plantctl.model.recorder import Attempt
from tests.unit.gcp.fakes import Clock, Memory, Recorder, answer, wire

OURS = {"managed-by": "plantctl"}
BODY = {"name": "i", "settings": {"tier": "t", "userLabels": OURS}}
ROW = Row(
    name="i",
    get=("sql.instances.get", {"project": "p", "instance": "i"}),
    create=("sql.instances.insert", {"project": "p"}),
    update=("sql.instances.patch", {"project": "p", "instance": "i"}),
    echo=("settings.settingsVersion",),
    marker="settings.userLabels",
    state="state",
    waiting=frozenset({"PENDING_CREATE"}),
)


class Cloud:
    """Answers like Cloud SQL: one instance at most, and a script of answers to writes (None: made, answer lost)."""

    def __init__(self, live: dict[str, Any] | None = None, **script: list[Any]) -> None:
        self.live = live
        self.script = script
        self.writes: list[tuple[str, dict[str, Any]]] = []
        self.polled: list[str] = []

    def __call__(self, number: int, request: bytes) -> bytes | None:
        """One request."""
        head, _, body = request.partition(b"\r\n\r\n")
        verb, path = head.decode().split(" ")[:2]
        if "/operations" in path:
            self.polled.append(path.split("?")[0].rsplit("/", 1)[-1])
            return answer(200, b'{"name": "o", "kind": "sql#operation", "status": "DONE"}')
        if verb == "GET":
            missing = b'{"error": {"code": 404, "status": "NOT_FOUND"}}'
            return answer(404, missing) if self.live is None else answer(200, json.dumps(self.live).encode())
        self.writes.append((verb, json.loads(body)))
        todo = self.script.get(verb, [])
        code = todo.pop(0) if todo else 200
        if code == 409:
            return answer(409, b'{"error": {"code": 409, "errors": [{"reason": "instanceAlreadyExists"}]}}')
        if code == 412:
            return answer(412, b'{"error": {"code": 412, "errors": [{"reason": "staleData"}]}}')
        version = str(int((self.live or {}).get("settings", {}).get("settingsVersion", 0)) + 1)
        sent = json.loads(body)
        self.live = {**(self.live or {}), **sent, "state": "RUNNABLE"}
        self.live["settings"] = {**self.live["settings"], "settingsVersion": version}
        return None if code is None else answer(200, b'{"name": "o", "kind": "sql#operation", "status": "RUNNING"}')


class Past(Memory):
    """One attempt in the journal."""

    def __init__(self, operation: str = "", status: int = 200) -> None:
        self.found = Attempt(
            id="a", run="r", item="", method_id="sql.instances.insert", resource="p/i", idempotency="N",
            purpose="apply", intent="u", sent_at=datetime(2026, 11, 23, tzinfo=UTC), status=status, operation=operation,
        )  # fmt: skip

    def attempts(self, *, method_id: str = "", resource: str = "", **_: Any) -> list[Attempt]:
        """That one, when it is asked for."""
        return [self.found] if (method_id, resource) == (self.found.method_id, self.found.resource) else []


def resource(base: str, memory: Memory | None = None) -> RestResource:
    """The instance, on this test's server."""
    target = sandbox_target({"rest": base}, project="p", region="r")
    return RestResource(Gcp(target, Recorder(), memory or Memory(), Clock()), ROW, labels=OURS, description="d")


@pytest.mark.parametrize("lost", [200, None], ids=["answered", "lost"])
def test_it_is_made_once_whether_or_not_the_answer_comes(lost: int | None) -> None:
    cloud = Cloud(POST=[lost])
    with wire(cloud) as (base, _):
        resource(base).create(BODY)
    assert cloud.writes == [("POST", BODY)]


def test_what_is_there_already_is_taken_only_when_it_is_ours() -> None:
    for labels, ours in ((OURS, True), ({}, False)):
        cloud = Cloud({"name": "i", "state": "RUNNABLE", "settings": {"userLabels": labels}}, POST=[409])
        with wire(cloud) as (base, _):
            made = resource(base)
            if ours:
                made.create(BODY)
            else:
                with pytest.raises(ApiFailure) as caught:
                    made.create(BODY)
                assert caught.value.reference == "already-exists"
                assert "--adopt" in caught.value.hint
        assert len(cloud.writes) == 1


def test_a_lost_answer_does_not_make_somebody_else_s_ours() -> None:
    theirs = {"name": "i", "state": "RUNNABLE", "settings": {"userLabels": {}}}
    cloud = Cloud(theirs, POST=[409])

    def answering(number: int, request: bytes) -> bytes | None:
        # the first request is the insert; its answer is lost, and it made nothing
        return None if number == 1 else cloud(number, request)

    with wire(answering) as (base, _), pytest.raises(ApiFailure) as caught:
        resource(base).create(BODY)
    assert caught.value.reference == "already-exists"


def test_what_an_earlier_run_began_is_waited_for_and_not_made_again() -> None:
    cloud = Cloud()

    def answering(number: int, request: bytes) -> bytes | None:
        if b"/operations/" in request.split(b"\r\n")[0]:
            cloud.live = {**BODY, "state": "RUNNABLE"}
        return cloud(number, request)

    with wire(answering) as (base, _):
        resource(base, Past("projects/p/operations/op-7")).create(BODY)
    assert (cloud.writes, cloud.polled) == ([], ["op-7"])


@pytest.mark.parametrize("past", [Past("projects/p/operations/op-7"), Past(""), Past("projects/p/operations/x", 503)])
def test_what_an_earlier_run_did_not_bring_about_is_made(past: Past) -> None:
    cloud = Cloud()
    with wire(cloud) as (base, _):
        resource(base, past).create(BODY)
    assert [verb for verb, _ in cloud.writes] == ["POST"]


def test_a_change_sends_what_was_read_and_reads_again_after_a_lost_race() -> None:
    live = {"name": "i", "state": "RUNNABLE", "settings": {"tier": "old", "settingsVersion": "4"}}
    cloud = Cloud(live, PATCH=[412, 200])
    with wire(cloud) as (base, _):
        instance = resource(base)
        stale = instance.live()
        assert stale is not None
        cloud.live = {**live, "settings": {"tier": "old", "settingsVersion": "9"}}
        instance.update(stale, BODY, ("settings.tier",))
    sent = [body["settings"] for _, body in cloud.writes]
    assert sent == [{"tier": "t", "settingsVersion": "4"}, {"tier": "t", "settingsVersion": "9"}]


def test_a_change_whose_answer_is_lost_is_seen_and_not_repeated() -> None:
    cloud = Cloud({"name": "i", "state": "RUNNABLE", "settings": {"tier": "old", "settingsVersion": "4"}}, PATCH=[None])
    with wire(cloud) as (base, _):
        instance = resource(base)
        instance.update(instance.live() or {}, BODY, ("settings.tier",))
    assert len(cloud.writes) == 1


def test_parts_are_laid_over_the_outermost_live_field() -> None:
    live = {
        "labels": {"a": "1"},
        "scaling": {"minInstanceCount": 0, "scalingMode": "AUTOMATIC"},
        "template": {
            "revision": "s-1",
            "timeout": "5s",
            "containers": [{"image": "i", "env": [{"name": "A"}], "x": 1}],
        },
    }
    body = {"template": {"containers": [{"env": [{"name": "B"}, {"name": "C"}]}]}, "scaling": {"minInstanceCount": 1}}
    found = laid_over(live, body, ("template.containers", "scaling.minInstanceCount"), unsent=("template.revision",))
    assert found == {
        "template": {"timeout": "5s", "containers": [{"image": "i", "env": [{"name": "B"}, {"name": "C"}], "x": 1}]},
        "scaling": {"minInstanceCount": 1, "scalingMode": "AUTOMATIC"},
    }
    assert live["template"]["revision"] == "s-1", "the live body is left as it is"  # type: ignore[index]
    assert laid_over({}, {"labels": {"b": "2"}}, ("labels",)) == {"labels": {"b": "2"}}
