"""What belongs to the request under way, for log lines and audit events written deep inside it."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")


@dataclass
class RequestContext:
    """`headers` are put on the answer, whatever makes it; `account_id` and `route` are known once they are found."""

    request_id: str
    ip: str
    trace: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    account_id: str = ""
    route: str = ""


REQUEST: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def current() -> RequestContext:
    """The request under way; outside of one, an empty context that nobody reads."""
    return REQUEST.get() or RequestContext("", "")


def request_id(given: str) -> str:
    """The caller's X-Request-Id when it is one, else a new one."""
    return given if _REQUEST_ID.match(given) else uuid.uuid4().hex


def trace_fields(traceparent: str, project: str) -> dict[str, object]:
    """Cloud Logging's fields for a W3C `traceparent`, also for one that is not sampled; empty for a broken one."""
    match = _TRACEPARENT.match(traceparent)
    if match is None or not project:
        return {}
    return {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{match[1]}",
        "logging.googleapis.com/spanId": match[2],
        "logging.googleapis.com/trace_sampled": bool(int(match[3], 16) & 1),
    }
