"""What the front door does with a request: find the service, let the caller in or not, choose a revision, hand it on.

Answers of its own are in Google's words (Cloud Run documentation, "troubleshooting"; unverified to the letter).
"""

from __future__ import annotations

import asyncio
import html
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plantctl.sandbox.dataplane.front import HOP_BY_HOP, HTML, Answer, Request
from plantctl.sandbox.dataplane.upstream import LostError, Upstream, dial

if TYPE_CHECKING:
    from plantctl.sandbox.dataplane.instance import Instance
    from plantctl.sandbox.dataplane.pool import Pool
    from plantctl.sandbox.dataplane.upstream import Headers

PAGE = (
    '<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n<title>{title}</title>\n'
    "</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>{head}</h1>\n<h2>{words}</h2>\n<h2></h2>\n</body></html>\n"
)
NO_LEAVE = "Your client does not have permission to get URL <code>{path}</code> from this server."
PAGES = {
    401: ("401 Unauthorized", "Error: Unauthorized", "Your client does not have permission to the requested URL."),
    403: ("403 Forbidden", "Error: Forbidden", NO_LEAVE),
    404: ("404 Page not found", "Error: Page not found", "The requested URL was not found on this server."),
}
CHALLENGE = b'Bearer error="invalid_token" error_description="The access token could not be verified"'
IDLE_CONNECTIONS = 128
RESTED_S = 30.0
TWICE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""Methods that may be sent again (RFC 9110, idempotent methods); others go only over connections just used."""
_LOTS = random.SystemRandom()
TRACE_EVERY_S = 10.0
"""Cloud Run samples at most 0.1 requests a second (documentation, "distributed tracing")."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where requests to a host go: `targets` are (store key of a revision, weight).

    `admit(credential, audience)` answers 0, or the HTTP status of the refusal; it must be quick.
    """

    service: str
    targets: tuple[tuple[str, int], ...]
    admit: Callable[[str, str], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One request that was answered. `service` and `revision` are store keys, `at` seconds since the epoch."""

    service: str
    revision: str
    method: str
    url: str
    status: int
    latency_s: float
    request_size: int
    response_size: int
    user_agent: str
    remote_ip: str
    protocol: str
    trace: str
    span: str
    sampled: bool
    at: float


class Edge:
    """The handler of all connections. `pools` and `routes` are changed on the loop alone."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.pools: dict[str, Pool] = {}
        self.served: deque[Served] = deque()  # filled on the loop, emptied on another thread
        self._sampled_at = 0.0

    async def __call__(self, request: Request, answer: Answer) -> None:
        """One request, from its last byte to the answer's."""
        started = time.monotonic()
        host = request.header(b"host").split(":")[0].lower()
        route = self.routes.get(host)
        refused = self._refusal(route, request, host)
        if route is None or refused:
            _send_page(answer, refused, request)
            if route is not None:
                self._note(route, "", request, answer, started, _Trace.of(request, sampled=False))
            return
        key = _choose(route.targets)
        trace = _Trace.of(request, sampled=self._sample())
        answer.added = trace.headers()[1:]
        try:
            await self._pass_on(self.pools.get(key), request, answer, trace)
        finally:
            self._note(route, key, request, answer, started, trace)

    def _refusal(self, route: Route | None, request: Request, host: str) -> int:
        if route is None:
            return 404
        if request.too_large:
            return 413
        given = request.header(b"x-serverless-authorization") or request.header(b"authorization")
        refused = route.admit(given, f"https://{host}")
        return refused or (0 if route.targets else 404)

    def _sample(self) -> bool:
        now = time.monotonic()
        if now - self._sampled_at < TRACE_EVERY_S:
            return False
        self._sampled_at = now
        return True

    async def _pass_on(self, pool: Pool | None, request: Request, answer: Answer, trace: _Trace) -> None:
        instance = await pool.acquire() if pool is not None else None
        if pool is None or instance is None:
            none = pool is None or not pool.instances
            words = "Service Unavailable" if none else "Rate exceeded."
            answer.send(503 if none else 429, words, kind="text/plain")
            return
        try:
            async with asyncio.timeout(pool.plan.timeout_s):
                await _exchange(instance, request, answer, trace)
        except TimeoutError:
            _give_up(answer, 504, "upstream request timeout")
        except (LostError, OSError):
            # the words of the log entry that Cloud Run writes for it begin "The request failed because ..."
            _give_up(answer, 503, "Service Unavailable")
        finally:
            pool.release(instance)

    def _note(self, route: Route, key: str, request: Request, answer: Answer, started: float, trace: _Trace) -> None:
        host = request.header(b"host")
        self.served.append(
            Served(
                service=route.service,
                revision=key,
                method=request.method.decode("latin-1"),
                url=f"https://{host}{request.target.decode('latin-1')}",
                status=answer.status or 499,  # the client went away before there was an answer
                latency_s=time.monotonic() - started,
                request_size=len(request.body),
                response_size=answer.size,
                user_agent=request.header(b"user-agent"),
                remote_ip=answer.remote,
                protocol=f"HTTP/{request.version}",
                trace=trace.trace,
                span=trace.span,
                sampled=trace.sampled,
                at=time.time(),
            )
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Trace:
    trace: str
    span: str
    sampled: bool

    @classmethod
    def of(cls, request: Request, *, sampled: bool) -> _Trace:
        """The caller's trace goes on (W3C trace context), with a span of the front door's own; else a new one."""
        parts = request.header(b"traceparent").split("-")
        if len(parts) == 4 and len(parts[1]) == 32:
            return cls(trace=parts[1], span=secrets.token_hex(8), sampled=parts[3].endswith("1"))
        older = request.header(b"x-cloud-trace-context")
        if len(older.split("/")[0]) == 32:
            return cls(trace=older.split("/")[0], span=secrets.token_hex(8), sampled=older.endswith("o=1"))
        return cls(trace=secrets.token_hex(16), span=secrets.token_hex(8), sampled=sampled)

    def headers(self) -> Headers:
        """Both forms, as Cloud Run adds them."""
        flag = int(self.sampled)
        return [
            (b"traceparent", f"00-{self.trace}-{self.span}-0{flag}".encode()),
            (b"x-cloud-trace-context", f"{self.trace}/{int(self.span, 16)};o={flag}".encode()),
        ]


def _choose(targets: tuple[tuple[str, int], ...]) -> str:
    if len(targets) == 1:
        return targets[0][0]
    return _LOTS.choices([key for key, _ in targets], [weight for _, weight in targets])[0]


def _send_page(answer: Answer, status: int, request: Request) -> None:
    if status not in PAGES:
        answer.send(status, "Request Entity Too Large", kind="text/plain")
        return
    title, head, words = PAGES[status]
    path = html.escape(request.target.decode("latin-1").split("?")[0])
    text = PAGE.format(title=title, head=head, words=words.format(path=path))
    challenge: Headers = [(b"www-authenticate", CHALLENGE)] if status == 401 else []
    answer.send(status, text, kind=HTML, headers=challenge)


def _give_up(answer: Answer, status: int, words: str) -> None:
    if answer.status:
        answer.cut()
    else:
        answer.send(status, words, kind="text/plain")


async def _exchange(instance: Instance, request: Request, answer: Answer, trace: _Trace) -> None:
    raw = _raw(request, answer.remote, trace)
    while True:
        connection, reused = await _connection(instance, rested_s=RESTED_S if request.method in TWICE else 0.5)
        answer.upstream = connection
        again = False
        try:
            again = await connection.exchange(raw, answer, is_head=request.method == b"HEAD")
        except LostError as error:
            # most likely the instance closed an idle connection just then; but a POST may have been seen
            if reused and error.untouched and request.method in TWICE:
                continue
            raise
        finally:
            answer.upstream = None
            _give_back(instance, connection, again=again)
        answer.end()
        return


async def _connection(instance: Instance, *, rested_s: float) -> tuple[Upstream, bool]:
    while instance.connections:
        connection = instance.connections.pop()
        if time.monotonic() - connection.rests_since < rested_s:
            return connection, True
        connection.close()
    return await dial(instance.port), False


def _give_back(instance: Instance, connection: Upstream, *, again: bool) -> None:
    if again and len(instance.connections) < IDLE_CONNECTIONS and instance.state == "ready":
        connection.rests_since = time.monotonic()
        instance.connections.append(connection)
    else:
        connection.close()


OURS = HOP_BY_HOP | {
    b"expect", b"content-length", b"traceparent", b"x-cloud-trace-context", b"x-forwarded-for", b"x-forwarded-proto",
    b"forwarded", b"x-serverless-authorization",
}  # fmt: skip


def _raw(request: Request, remote: str, trace: _Trace) -> bytes:
    before = request.header(b"x-forwarded-for")
    forwarded = f"{before},{remote}" if before else remote
    added: Headers = [
        (b"x-forwarded-for", forwarded.encode("latin-1")),
        (b"x-forwarded-proto", b"https"),
        (b"forwarded", f'for="{remote}";proto=https'.encode()),
        *trace.headers(),
    ]
    if request.body or request.method in (b"POST", b"PUT", b"PATCH"):
        added.append((b"content-length", str(len(request.body)).encode()))
    lines = [request.method + b" " + request.target + b" HTTP/1.1\r\n"]
    lines += [name + b": " + value + b"\r\n" for name, value in request.headers if name not in OURS]
    lines += [name + b": " + value + b"\r\n" for name, value in added]
    return b"".join(lines) + b"\r\n" + bytes(request.body)
