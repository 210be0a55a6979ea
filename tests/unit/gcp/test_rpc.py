"""What leaves by gRPC: once, on record before it is sent, named; and errors as REST would have told them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from plantctl.errors import ApiFailure, TargetError, UnknownOutcome
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.target import GapError, Target, sandbox_target
from tests.unit.gcp.fakes import Clock, Memory, Recorder

POLICIES = "monitoring.projects.alertPolicies"
CREATE = f"{POLICIES}.create"
BODY = {"displayName": "memory", "combiner": "OR", "enabled": False, "userLabels": {"plantctl-item": "i"}}
Answering = Callable[[Any, Any], bytes]


class Seen:
    """The calls that came in: RPC, request bytes, metadata."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes, dict[str, Any]]] = []


class _AnyRpc(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, seen: Seen, answering: Answering) -> None:
        self._seen, self._answering = seen, answering

    def service(self, handler_call_details: Any) -> Any:
        """Takes every RPC as bytes."""

        def serve(request: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata())
            self._seen.calls.append((handler_call_details.method, request, metadata))
            return self._answering(request, context)

        return grpc.unary_unary_rpc_method_handler(serve)


@contextmanager
def server(answering: Answering) -> Iterator[tuple[str, Seen]]:
    """A gRPC server on a free loopback port, and what it saw."""
    seen = Seen()
    pool = ThreadPoolExecutor(4)
    made = grpc.server(pool, handlers=[_AnyRpc(seen, answering)])
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    try:
        yield f"127.0.0.1:{port}", seen
    finally:
        made.stop(None).wait(5)
        pool.shutdown()


def target(address: str) -> Target:
    """A local target whose gRPC is there."""
    return sandbox_target({"rest": "http://127.0.0.1:9", "grpc": address}, project="p", region="r")


def bundle(address: str, recorder: Recorder) -> Gcp:
    """The seam to Google, pointed at a gRPC server of this test."""
    return Gcp(target(address), recorder, Memory(), Clock())


def refuse(code: grpc.StatusCode, message: str, *details: Any, bare: bool = False) -> Answering:
    """An answer that is an error, with google.rpc.Status unless it is bare."""

    def answering(_: Any, context: Any) -> bytes:
        packed = []
        for detail in details:
            one = any_pb2.Any()
            one.Pack(detail)
            packed.append(one)
        status = status_pb2.Status(code=code.value[0], message=message, details=packed)
        if not bare:
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, message)
        raise AssertionError

    return answering


def policy(name: str = "projects/p/alertPolicies/1") -> bytes:
    """An answer."""
    from google.cloud.monitoring_v3 import AlertPolicy

    return bytes(AlertPolicy.serialize(AlertPolicy(name=name, enabled=False)))


def test_a_write_is_on_record_before_it_leaves_and_names_itself() -> None:
    recorder = Recorder()
    at_arrival: list[list[str]] = []

    def answering(*_: Any) -> bytes:
        at_arrival.append(recorder.kinds())
        return policy()

    with server(answering) as (address, seen):
        made = bundle(address, recorder).call(CREATE, BODY, name="projects/p")
    # REST's names, and false is not lost
    assert made == {"name": "projects/p/alertPolicies/1", "enabled": False}
    assert at_arrival == [["attempt"]]
    assert recorder.log[-1] == ("answer", ("a1", 200, "", ""))
    ((rpc, request, metadata),) = seen.calls
    assert rpc == "/google.monitoring.v3.AlertPolicyService/CreateAlertPolicy"
    assert b"plantctl-item" in request
    assert metadata["x-goog-request-reason"] == "plantctl/r1/a1"
    assert metadata["x-goog-request-params"] == "name=projects/p"
    assert metadata["authorization"] == "Bearer plantctl"
    assert metadata["user-agent"].startswith("plantctl/")
    assert recorder.log[0][1]["resource"] == "projects/p/memory"


def test_an_update_names_its_resource_in_the_body() -> None:
    from google.cloud.monitoring_v3 import UpdateAlertPolicyRequest

    with server(lambda *_: policy()) as (address, seen):
        bundle(address, Recorder()).call(
            f"{POLICIES}.patch", {"enabled": True}, name="projects/p/alertPolicies/1", updateMask="enabled,userLabels"
        )
    given = UpdateAlertPolicyRequest.deserialize(seen.calls[0][1])
    assert given.alert_policy.name == "projects/p/alertPolicies/1"
    assert list(given.update_mask.paths) == ["enabled", "user_labels"]
    assert seen.calls[0][2]["x-goog-request-params"] == "alert_policy.name=projects/p/alertPolicies/1"


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED]
)
def test_a_call_without_an_answer_is_sent_once_and_its_outcome_open(code: grpc.StatusCode) -> None:
    recorder = Recorder()
    with server(refuse(code, "Socket closed", bare=True)) as (address, seen), pytest.raises(UnknownOutcome):
        bundle(address, recorder).call(CREATE, BODY, name="projects/p")
    assert len(seen.calls) == 1
    assert recorder.log[-1] == ("answer", ("a1", 0, "", "no-answer"))


def test_reading_back_settles_it() -> None:
    recorder = Recorder()
    with server(refuse(grpc.StatusCode.UNAVAILABLE, "Socket closed", bare=True)) as (address, seen):
        found = bundle(address, recorder).call(CREATE, BODY, name="projects/p", read_back=lambda: {"name": "there"})
    assert (found, len(seen.calls)) == ({"name": "there"}, 1)


def test_an_answer_that_cannot_be_read_is_no_answer() -> None:
    recorder = Recorder()
    with server(lambda *_: b"\xff\xff") as (address, _), pytest.raises(UnknownOutcome):
        bundle(address, recorder).call(CREATE, BODY, name="projects/p")
    assert recorder.answers() == [0]


def test_a_server_that_says_unavailable_has_answered() -> None:
    recorder = Recorder()
    with server(refuse(grpc.StatusCode.UNAVAILABLE, "try later")) as (address, _), pytest.raises(UnknownOutcome):
        bundle(address, recorder).call(CREATE, BODY, name="projects/p")
    assert recorder.answers() == [503]


def test_an_error_has_the_shape_that_rest_gives_it() -> None:
    info = error_details_pb2.ErrorInfo(reason="SERVICE_DISABLED", metadata={"consumer": "projects/1"})
    answering = refuse(grpc.StatusCode.PERMISSION_DENIED, "it is off", info)
    recorder = Recorder()
    with server(answering) as (address, seen), pytest.raises(ApiFailure) as caught:
        bundle(address, recorder).call(CREATE, BODY, name="projects/p")
    failure = caught.value
    assert (failure.code, failure.status, failure.reason) == (403, "PERMISSION_DENIED", "SERVICE_DISABLED")
    assert recorder.log[-1] == ("answer", ("a1", 403, "", "PERMISSION_DENIED SERVICE_DISABLED"))
    assert len(seen.calls) == 1


def test_a_rate_limit_is_waited_for_as_long_as_it_says() -> None:
    limit = error_details_pb2.ErrorInfo(reason="RATE_LIMIT_EXCEEDED")
    later = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=7))
    refusing = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", limit, later)
    calls: list[int] = []

    def answering(request: Any, context: Any) -> bytes:
        calls.append(1)
        return refusing(request, context) if len(calls) == 1 else policy()

    recorder, clock = Recorder(), Clock()
    with server(answering) as (address, _):
        Gcp(target(address), recorder, Memory(), clock).call(CREATE, BODY, name="projects/p")
    assert clock.passed == 7
    assert recorder.answers() == [429, 200]


def test_a_method_that_is_not_there_stops_the_run() -> None:
    with server(refuse(grpc.StatusCode.UNIMPLEMENTED, "no such method")) as (address, seen), pytest.raises(GapError):
        bundle(address, Recorder()).call(CREATE, BODY, name="projects/p")
    assert len(seen.calls) == 1


def test_nobody_listening_is_the_target_s_fault() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        recorder = Recorder()
        with pytest.raises(TargetError):
            bundle(address, recorder).call(CREATE, BODY, name="projects/p")
    assert recorder.answers()
    assert set(recorder.answers()) == {0}


def test_a_proxy_of_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with server(lambda *_: policy()) as (address, seen):
        bundle(address, Recorder()).call(CREATE, BODY, name="projects/p")
    assert len(seen.calls) == 1


def test_calls_of_several_threads_are_kept_apart() -> None:
    recorder = Recorder()
    with server(lambda *_: policy()) as (address, seen):
        gcp = bundle(address, recorder)
        threads = [
            threading.Thread(target=lambda i=i: gcp.call(CREATE, {**BODY, "displayName": f"p{i}"}, name="projects/p"))
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 30
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    reasons = {metadata["x-goog-request-reason"] for _, _, metadata in seen.calls}
    assert reasons == {f"plantctl/r1/a{number}" for number in range(1, 9)}
    assert recorder.answers() == [200] * 8
