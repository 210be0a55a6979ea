"""One gRPC call as the transport sees it: on record before it leaves, named, sent once, its error in REST's shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

from plantctl.gcp import failures
from plantctl.gcp.failures import CREDENTIALS, NO_ANSWER, NOT_SENT, Failure
from plantctl.gcp.target import Target
from plantctl.gcp.transport import SENDING, announce, reason
from plantctl.model.recorder import Recorder

HTTP_STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 404,  # as REST answers for what is not there: a 5xx would be tried again
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""What google.rpc.Code says of itself (google/rpc/code.proto): both ways of a call are classified alike."""
UNDECIDED = frozenset({"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that gRPC also makes by itself, when no answer comes or half of one; a server's own carry google.rpc.Status."""
UNCONNECTED = ("failed to connect to all addresses", "DNS resolution failed", "no children to pick from")
TOKENLESS = ("Getting metadata from plugin failed", "AuthMetadataPlugin callback")
STATUS_TRAILER = "grpc-status-details-bin"


class _Details(NamedTuple):
    """grpc.ClientCallDetails, which is an interface only."""

    method: str
    timeout: float | None
    metadata: list[tuple[str, str | bytes]]
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class Recording(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Lies on a channel beneath Google's client; raises Failure where the call does not succeed.

    JournalError when the intent cannot be recorded: then nothing was sent.
    """

    def __init__(self, target: Target, recorder: Recorder) -> None:
        self._target = target
        self._recorder = recorder

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """One call, on the calling thread."""
        sending = SENDING.get()
        attempt = announce(self._recorder, sending, type(request).serialize(request))
        own = {
            "X-Goog-Request-Reason": reason(self._recorder, attempt),
            **self._target.headers(sending.method_id),
            **self._target.credentials_header(),
        }
        call = continuation(
            _Details(
                method=client_call_details.method,
                timeout=client_call_details.timeout,
                metadata=[*(client_call_details.metadata or ()), *((k.lower(), v) for k, v in own.items())],
                credentials=client_call_details.credentials,
                wait_for_ready=client_call_details.wait_for_ready,
                compression=client_call_details.compression,
            ),
            request,
        )
        error = call.exception()
        if error is None:
            if attempt:
                self._recorder.answer(attempt, status=200)
            return call
        if not isinstance(error, grpc.RpcError):
            raise error
        failure, words = failure_of(sending.method_id, error)
        if attempt:
            self._recorder.answer(attempt, status=failure.code, error=words)
        raise failure


def failure_of(method_id: str, error: Any) -> tuple[Failure, str]:
    """The Failure that REST would have given, and its words for the journal.

    `error` is a grpc.RpcError with the call's code, details and trailers. Without a google.rpc.Status among these, a
    code that gRPC makes by itself is no answer.
    """
    word, message = str(error.code().name), str(error.details() or "")
    status = _status(error)
    if status is None and word in UNDECIDED:
        trouble = NO_ANSWER
        if message.startswith(UNCONNECTED):
            trouble = NOT_SENT
        elif message.startswith(TOKENLESS):
            trouble = CREDENTIALS
        said = "the connection broke" if trouble == NO_ANSWER and word != "DEADLINE_EXCEEDED" else message
        return Failure(method_id=method_id, code=0, message=said[:300], trouble=trouble), trouble
    shape = {"status": word, "message": message, "details": status or []}
    content = json.dumps({"error": shape}).encode()
    return failures.parse(method_id, HTTP_STATUS.get(word, 500), {}, content), failures.words_for_journal(content)


def _status(error: Any) -> list[dict[str, Any]] | None:
    """The details of google.rpc.Status in the trailers, as JSON; None where there is none."""
    from google.protobuf import json_format
    from google.rpc import error_details_pb2, status_pb2

    for key, value in error.trailing_metadata() or ():
        if key == STATUS_TRAILER:
            status = status_pb2.Status.FromString(value)
            known = (error_details_pb2.DESCRIPTOR.package, "google.protobuf")
            return [
                json_format.MessageToDict(one)
                for one in status.details
                if one.type_url.rsplit("/", 1)[-1].rpartition(".")[0] in known
            ]
    return None
