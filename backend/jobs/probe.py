"""Liveness of a worker: `GET /health` on $PORT, since a Cloud Run worker pool's liveness probe is HTTP or gRPC.

(Its page "Configure container health checks for worker pools".) An outage of a store is no reason to restart a worker,
so 200 only says that every loop still turns.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from backend import logs
from backend.failures import message_of

_STUCK_S = 30.0
_READ_S = 5.0


class Pulse:
    """When each loop turned last, by `now` in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """The loop turns."""
        self._at[loop] = self._now()

    def stop(self, loop: str) -> None:
        """The loop has ended, on purpose."""
        self._at.pop(loop, None)

    def stuck(self) -> list[str]:
        """Loops that have not turned for half a minute."""
        now = self._now()
        return sorted(loop for loop, at in self._at.items() if now - at > _STUCK_S)


@asynccontextmanager
async def answering(port: int, pulse: Pulse) -> AsyncIterator[None]:
    """Answers while the block runs. A port that is taken is told and no more: the work does not need it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_READ_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, pulse))
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, "0.0.0.0", port)
    except OSError as error:
        logs.emit("WARNING", f"no /health on port {port}: {message_of(error)}", port=port)
        yield
        return
    try:
        yield
    finally:
        server.close()


def _response(head: bytes, pulse: Pulse) -> bytes:
    method, path, *_ = (*head.split(b"\r\n", 1)[0].split(b" "), b"", b"")
    stuck = pulse.stuck()
    status, body = ("503 Service Unavailable", {"status": "stuck", "loops": stuck}) if stuck else ("200 OK", {})
    if (method, path.partition(b"?")[0]) != (b"GET", b"/health"):
        status, body = "404 Not Found", {"status": "not found"}
    text = json.dumps(body or {"status": "ok"}).encode()
    fields = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + text
