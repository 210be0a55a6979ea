"""A kept-alive HTTP/1.1 connection from the front door to an instance; one exchange at a time."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

Headers = list[tuple[bytes, bytes]]


class Sink(Protocol):
    """Where an answer goes as it comes in."""

    def head(self, status: int, headers: Headers) -> None:
        """The status line and headers."""

    def body(self, data: bytes) -> None:
        """A piece of the body."""


class LostError(Exception):
    """The instance closed the connection; `untouched`: before it answered a byte."""

    def __init__(self, words: str, *, untouched: bool) -> None:
        super().__init__(words)
        self.untouched = untouched


class Upstream(asyncio.Protocol):
    """Made by `dial`; `rests_since` (monotonic) tells how long it has been idle, and may have gone stale."""

    def __init__(self) -> None:
        self.rests_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._sink: Sink | None = None
        self._done: asyncio.Future[bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)

    async def exchange(self, request: bytes, sink: Sink, *, is_head: bool) -> bool:
        """Send a request and hand its answer on; True when the connection can be used again. LostError otherwise."""
        if self._transport is None or self._transport.is_closing():
            raise LostError("the connection is closed", untouched=True)
        self._sink, self._is_head = sink, is_head
        self._touched = self._headed = self._until_close = False
        self._status, self._headers = 0, cast("Headers", [])
        self._parser = httptools.HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            again = await self._done
        finally:
            self._sink = self._done = None
        return again and not self._transport.is_closing()

    def pause(self) -> None:
        """The reader is slow: take no more for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    # -- called by asyncio

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._done is None or self._done.done():
            self.close()  # an answer that nobody asked for
            return
        self._touched = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"malformed answer: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if self._done is not None and not self._done.done():
            if self._headed and self._until_close and exc is None:
                self._done.set_result(False)
            else:
                self._fail("the connection to the instance had an error")

    # -- called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        names = {name for name, _ in self._headers}
        framed = b"content-length" in names or b"transfer-encoding" in names
        self._until_close = not framed and self._status not in (204, 304)
        self._headed = True
        if self._sink is not None:
            self._sink.head(self._status, self._headers)
        if self._is_head:  # the parser would wait for a body that never comes
            self._end(again=False)

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        if self._sink is not None:
            self._sink.body(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._status < 200:
            self._headers = []
            return
        self._end(again=self._parser.should_keep_alive())

    def _end(self, *, again: bool) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(again)

    def _fail(self, words: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(LostError(words, untouched=not self._touched))
        self.close()


async def dial(port: int) -> Upstream:
    """A new connection to an instance. OSError when nothing listens."""
    loop = asyncio.get_running_loop()
    # 127.0.0.2 where there are aliases would be truer, but costs macOS; the startup probe has looked at that already
    _, protocol = await loop.create_connection(Upstream, "127.0.0.1", port)
    return protocol
