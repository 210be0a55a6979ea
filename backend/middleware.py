"""The outermost layer, as plain ASGI: request id, body limit, access line, security headers, problems for what escapes.

The framework's own body limit would answer further out, in plain text and without these headers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend import logs, tracing
from backend.context import REQUEST, RequestContext, parent_of, request_id, trace_fields
from backend.errors import Problem, problem_of, respond, unavailable
from backend.failures import message_of, reason_of
from backend.trace_export import Traces

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cross-Origin-Resource-Policy": "same-origin",
}
MAX_BODY = 256 * 1024
MAX_UNDER_WAY = 200  # a process; Cloud Run sends 100 at most to an instance, unless answers are late
_RAW_HEADERS = [
    (name.lower().encode(), value.encode())
    for name, value in (SECURITY_HEADERS | {"Cache-Control": "private, no-store"}).items()
]
_QUIET = frozenset({"/health", "/health/ready"})  # probes ask every few seconds; told only when they fail, never traced


class Edge:
    """Wraps the application. `project` names the traces; `hops` is how many proxies append to X-Forwarded-For."""

    def __init__(self, app: ASGIApp, project: str, hops: int, traces: Traces) -> None:
        self.app, self.project, self.hops, self.traces = app, project, hops, traces
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; other scopes pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        context, span = self._begin(scope, headers)
        tokens = REQUEST.set(context), tracing.OPEN.set(span)
        answer = _Answer(send, context)
        started = time.perf_counter()
        self._under_way += 1
        try:
            await self._serve(scope, _limited(headers.get("content-length", ""), receive), answer)
        finally:
            self._under_way -= 1
            _access(scope, context, answer, time.perf_counter() - started)
            REQUEST.reset(tokens[0])
            tracing.OPEN.reset(tokens[1])
            if span is not None:
                tracing.end(span, context.route, answer.status or 499, context.account_id)

    def _begin(self, scope: Scope, headers: Headers) -> tuple[RequestContext, tracing.Open | None]:
        parent = parent_of(headers.get("traceparent", ""))
        tracer = None if scope["path"] in _QUIET else self.traces.tracer
        span = tracing.begin(tracer, scope["method"], scope["path"], parent)
        context = RequestContext(
            request_id(headers.get("x-request-id", "")),
            client_ip(headers.get("x-forwarded-for", ""), scope.get("client"), self.hops),
            trace_fields(span.parent if span else parent, self.project),
            method=scope["method"],
            path=scope["path"],
            agent=headers.get("user-agent", "")[:200],
        )
        return context, span

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            if self._under_way > MAX_UNDER_WAY and scope["path"] not in _QUIET:
                raise unavailable("overloaded")
            await self.app(scope, receive, answer)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                words = f"{type(error).__name__} in {scope['method']} {scope['path']}"
                logs.emit("ERROR", words, **logs.error_fields(error, status=500))
                problem = Problem(500, "internal", "an unexpected error; it has been reported")
            elif problem.status >= 500:
                logs.emit("WARNING", message_of(error), reason=reason_of(error), problem=problem.kind)
            if answer.status:
                raise  # the head is out: only cutting the connection tells the client
            await respond(problem)(scope, receive, answer)


def _limited(declared: str, receive: Receive) -> Receive:
    """Refuses a body that is too large by its declaration, or once it has grown so."""
    size = int(declared) if declared.isascii() and declared.isdigit() else 0

    async def limited() -> Message:
        nonlocal size
        message = await receive() if size <= MAX_BODY else {}
        if message and not declared:
            size += len(message.get("body", b""))
        if size > MAX_BODY:
            raise HTTPException(413, f"a body has {MAX_BODY} bytes at most")  # FastAPI passes its own kind on
        return message

    return limited


class _Answer:
    """Passes messages on, with the headers that every answer carries unless it says otherwise itself."""

    def __init__(self, send: Send, context: RequestContext) -> None:
        self.send, self.context = send, context
        self.status = self.size = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*self._completed(message["headers"])]
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
        await self.send(message)

    def _completed(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        given = set()
        for name, value in headers:
            given.add(name.lower())
            yield name, value
        ours = [(name.lower().encode(), value.encode()) for name, value in self.context.headers.items()]
        yield from (header for header in ours if header[0] not in given)
        given.update(name for name, _ in ours)
        yield from (header for header in _RAW_HEADERS if header[0] not in given)
        yield b"x-request-id", self.context.request_id.encode()


def client_ip(forwarded: str, peer: tuple[str, int] | None, hops: int) -> str:
    """The address that the nearest trusted proxy saw: `hops` entries from the right (the load balancer adds two)."""
    entries = [entry.strip() for entry in forwarded.split(",") if entry.strip()]
    if entries and hops:
        return entries[-min(hops, len(entries))][:45]
    return peer[0] if peer else ""


def _access(scope: Scope, context: RequestContext, answer: _Answer, seconds: float) -> None:
    """The line that Cloud Logging shows as a request (LogEntry.httpRequest). The query stays out: it may hold words."""
    status = answer.status or 499
    if context.path in _QUIET and status < 500:
        return
    request: dict[str, Any] = {
        "requestMethod": context.method,
        "requestUrl": context.path,
        "status": status,
        "responseSize": str(answer.size),
        "latency": f"{seconds:.6f}s",
        "userAgent": context.agent,
        "remoteIp": context.ip,
        "protocol": f"HTTP/{scope['http_version']}",
    }
    severity = "ERROR" if status == 500 else "WARNING" if status > 500 else "INFO"
    fields = {"route": context.route} | ({"account_id": context.account_id} if context.account_id else {})
    logs.emit(severity, f"{context.method} {context.path} {status}", httpRequest=request, **fields)
