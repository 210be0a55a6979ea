"""The front door's side of a connection: HTTP/1.1 requests in, answers out, one after the other, kept alive."""

from __future__ import annotations

import asyncio
import http
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    from plantctl.sandbox.dataplane.upstream import Headers, Upstream

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The largest request over HTTP/1 (Cloud Run quotas)."""
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"trailer"}
)
HTML = "text/html; charset=UTF-8"


@dataclass(eq=False, slots=True)
class Request:
    """One request, read to its end; header names are in small letters."""

    method: bytes = b""
    target: bytes = b""
    version: str = "1.1"
    headers: Headers = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    keep_alive: bool = True
    too_large: bool = False

    def header(self, name: bytes) -> str:
        """The first value of a header; empty when there is none."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


Handler = Callable[[Request, "Answer"], Awaitable[None]]


class Answer:
    """Writes one answer to the client; a Sink for what an instance sends."""

    def __init__(self, connection: Front, request: Request) -> None:
        self.status = 0
        self.size = 0
        self.remote = connection.remote
        self.upstream: Upstream | None = None
        self.added: Headers = []
        self._connection, self._request = connection, request
        self._chunked = False
        self._close = not request.keep_alive

    def head(self, status: int, headers: Headers) -> None:
        """Status line and headers; hop-by-hop ones are this connection's own."""
        self.status = status
        bodiless = status in (204, 304) or self._request.method == b"HEAD"
        kept = [(name, value) for name, value in headers if name not in HOP_BY_HOP and name != b"server"]
        kept += [(b"server", b"Google Frontend"), *self.added]
        if not bodiless and not any(name == b"content-length" for name, _ in kept):
            self._chunked = self._request.version == "1.1"
            self._close = self._close or not self._chunked
            if self._chunked:
                kept.append((b"transfer-encoding", b"chunked"))
        if self._close:
            kept.append((b"connection", b"close"))
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {status} {phrase}\r\n".encode()]
        lines += [name + b": " + value + b"\r\n" for name, value in kept]
        self._connection.write(b"".join(lines) + b"\r\n")

    def body(self, data: bytes) -> None:
        """A piece of the body."""
        self.size += len(data)
        self._connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if self._connection.full and self.upstream is not None:
            self.upstream.pause()
            self._connection.waiting = self.upstream

    def end(self) -> None:
        """The answer is whole."""
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        if self._close:
            self._connection.close()

    def cut(self) -> None:
        """It cannot be finished: the client must see that."""
        self._connection.abort()

    def send(self, status: int, text: str, *, kind: str = HTML, headers: Headers | None = None) -> None:
        """A whole answer of the front door's own."""
        content = text.encode()
        own = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
        self.head(status, [*own, *(headers or [])])
        if self._request.method != b"HEAD":
            self.body(content)
        self.end()


class Front(asyncio.Protocol):
    """One client connection."""

    def __init__(self, handler: Handler) -> None:
        self.full = False
        self.waiting: Upstream | None = None
        self.remote = ""
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._queue: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> None:
        """Send, unless the client has gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close when all is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.remote = str(peer[0]) if peer else ""

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(b"501 Not Implemented")
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")

    def _refuse(self, line: bytes) -> None:
        self.write(b"HTTP/1.1 " + line + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.close()

    def pause_writing(self) -> None:
        """Called by asyncio: the client is slow."""
        self.full = True

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self.full = False
        if self.waiting is not None:
            self.waiting.resume()
            self.waiting = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if self._task is not None:
            self._task.cancel()

    # -- called by the parser

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._request = Request()

    def on_url(self, url: bytes) -> None:
        """Called by the parser, perhaps in pieces."""
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._request.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        request = self._request
        request.method = self._parser.get_method()
        request.version = self._parser.get_http_version()
        request.keep_alive = self._parser.should_keep_alive()
        if request.header(b"expect").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        if len(self._request.body) + len(data) > MAX_BODY_BYTES:
            self._request.too_large = True
        else:
            self._request.body += data

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._queue.append(self._request)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        while self._queue:
            request = self._queue.popleft()
            await self._handler(request, Answer(self, request))
