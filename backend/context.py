"""What belongs to the request under way, for log lines and audit events written deep inside it."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field

# W3C Trace Context: version ff is none, and neither id is all zeros.
_TRACEPARENT = re.compile(r"^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")


@dataclass(frozen=True)
class Parent:
    """The span that caused something: its trace, itself, and whether it is kept. Ids are hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool


@dataclass
class RequestContext:
    """`headers` are put on the answer, whatever makes it; `account_id` and `route` are known once they are found."""

    request_id: str
    ip: str
    trace: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    account_id: str = ""
    route: str = ""
    method: str = ""
    path: str = ""
    agent: str = ""


REQUEST: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def current() -> RequestContext:
    """The request under way; outside of one, an empty context that nobody reads."""
    return REQUEST.get() or RequestContext("", "")


def request_id(given: str) -> str:
    """The caller's X-Request-Id when it is one, else a new one."""
    return given if _REQUEST_ID.match(given) else uuid.uuid4().hex


def parent_of(traceparent: str) -> Parent | None:
    """The caller's span by the header `traceparent`; None for a missing or broken one."""
    match = _TRACEPARENT.match(traceparent)
    return Parent(match[1], match[2], bool(int(match[3], 16) & 1)) if match else None


def trace_fields(parent: Parent | None, project: str) -> dict[str, object]:
    """Cloud Logging's fields for a span, also for one that is not sampled; empty without one, or a project."""
    if parent is None or not project:
        return {}
    return {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{parent.trace_id}",
        "logging.googleapis.com/spanId": parent.span_id,
        "logging.googleapis.com/trace_sampled": parent.sampled,
    }
