"""An instance of two real Redis servers behind one TLS address, as Memorystore shows them, that can be failed over.

The address is a thread of this process: it ends TLS (Valkey's wheel has none) and leads to the present primary.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.backend.postgres import certificates
from tests.backend.redis_server import PASSWORD, RedisServer


class Instance:
    """`port` speaks TLS and leads to `primary`, which its replica follows."""

    def __init__(self, folder: Path) -> None:
        self.ca = certificates(folder)
        self.servers = (RedisServer(), RedisServer())
        self.primary = self.servers[0]
        self.port = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.crt", folder / "server.key")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None

    def start(self) -> None:
        """Both servers, the second following the first; then the address."""
        for server in self.servers:
            server.start()
        second = self.servers[1]
        second.ask("CONFIG", "SET", "masterauth", PASSWORD)
        self.servers[0].ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        second.ask("REPLICAOF", "127.0.0.1", str(self.servers[0].port))
        self.servers[0].ask("SET", "plant", "seen")
        deadline = time.monotonic() + 20
        while second.ask("GET", "plant") != b"$4\r\nseen\r\n":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.servers[0].ask("DEL", "plant")
        self._thread.start()
        self.port = self._do(self._listen())

    def stop(self) -> None:
        """Everything ends."""
        self._do(self._cut())
        self._do(self._unlisten())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        for server in self.servers:
            server.kill()

    def fail_over(self, *, forget: bool = False) -> None:
        """The first server dies and the second takes over; `forget`: what it had replicated is gone."""
        first, second = self.servers
        self._do(self._cut())
        first.kill()
        second.ask("REPLICAOF", "NO", "ONE")
        if forget:
            second.ask("FLUSHALL")
        self.primary = second
        first.start()  # so that `stop` finds both; nothing leads to it any more

    def _do(self, work: object) -> int:
        assert asyncio.iscoroutine(work)
        return int(asyncio.run_coroutine_threadsafe(work, self._loop).result(10) or 0)

    async def _listen(self) -> int:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return int(self._listener.sockets[0].getsockname()[1])

    async def _unlisten(self) -> None:
        assert self._listener is not None
        self._listener.close()

    async def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", self.primary.port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, outer}
        await asyncio.gather(_hand_on(reader, outer), _hand_on(inner, writer))
        self._open -= {writer, outer}


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def instance(folder: Path) -> Iterator[Instance]:
    """An instance for one test."""
    made = Instance(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()
