"""Spans of a request and of its calls to the stores; in a request that is not sampled they cost next to nothing.

FastAPI's own telemetry is off: it gathers attributes before it knows whether they are wanted, and puts the query,
which may hold a person's words, into the span.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from backend.context import Parent
from backend.errors import Problem

_NOTHING = nullcontext()


@dataclass(frozen=True)
class Open:
    """A span under way that is recorded, and what makes its children."""

    tracer: Tracer
    span: Span

    @property
    def parent(self) -> Parent:
        """What names this span to log lines."""
        context = self.span.get_span_context()
        return Parent(format_trace_id(context.trace_id), format_span_id(context.span_id), True)


OPEN: ContextVar[Open | None] = ContextVar("open", default=None)


def begin(tracer: Tracer | None, method: str, path: str, parent: Parent | None) -> Open | None:
    """Starts a request's span; None when the sampler does not want it, or nobody collects traces."""
    if tracer is None:
        return None
    context = Context()
    if parent is not None:
        flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
        remote = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, flags)
        context = set_span_in_context(NonRecordingSpan(remote), context)
    started = tracer.start_span(method, context, SpanKind.SERVER)
    if not started.is_recording():
        return None
    started.set_attributes({"http.request.method": method, "url.path": path})
    return Open(tracer, started)


def end(opened: Open, route: str, status: int, account_id: str) -> None:
    """Ends a request's span. `route` is METHOD:/template, as the rate limit names it, empty when none matched."""
    method, _, template = route.partition(":")
    if template:
        opened.span.update_name(f"{method} {template}")
        opened.span.set_attribute("http.route", template)
    opened.span.set_attribute("http.response.status_code", status)
    if account_id:
        opened.span.set_attribute("enduser.id", account_id)
    if status >= 500:
        opened.span.set_status(StatusCode.ERROR)
    opened.span.end()


def span(name: str, system: str, operation: str) -> AbstractContextManager[None]:
    """A span around a call to a store, in a request that is recorded; else nothing at all."""
    parent = OPEN.get()
    return _NOTHING if parent is None else _recorded(parent, name, system, operation)


@contextmanager
def _recorded(parent: Open, name: str, system: str, operation: str) -> Iterator[None]:
    attributes = {"db.system.name": system, "db.operation.name": operation}
    context = set_span_in_context(parent.span, Context())
    started = parent.tracer.start_span(name, context, SpanKind.CLIENT, attributes)
    token = OPEN.set(Open(parent.tracer, started))
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, Problem) and error.status < 500):  # "there is no such agent" is an answer
            started.set_attribute("error.type", type(error).__name__)  # never its words: they may quote a value
            started.set_status(StatusCode.ERROR)
        raise
    finally:
        OPEN.reset(token)
        started.end()
