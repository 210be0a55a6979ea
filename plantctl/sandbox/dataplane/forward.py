"""TCP forwarders on loopback addresses of a process's own: how a program reaches Cloud SQL or Redis by "private IP".

Called for each process of the run data plane. The API shows 10.x addresses; nothing here ever dials one.
"""

import asyncio
import contextlib
import random
import re
import socket
import ssl
import threading
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")
_CLAIM_PORT = 61999  # above Linux's ephemeral range; bound and never listened on, it marks an address as taken
_ATTEMPTS = 64
_CALL_DEADLINE_S = 10.0
_CONNECT_DEADLINE_S = 5.0
_CHUNK = 65536


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Where a process finds what it knows under `name`; not `exact` when the port, or the refusal, is not as asked.

    That happens where 127.0.0.0/8 has no aliases (macOS), or when a server on this machine holds the port on all
    addresses.
    """

    name: str
    host: str
    port: int
    exact: bool


class ForwardLoop:
    """One thread that carries the bytes of all forwarders of a sandbox."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="forwarders", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run on the thread and wait for the answer. TimeoutError after 10 s."""
        future: Future[_T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(_CALL_DEADLINE_S)

    def close(self) -> None:
        """End the thread; forwarders still open are cut."""
        if self._thread.is_alive():
            self.call(_cancel_others())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CALL_DEADLINE_S)


async def _cancel_others() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Forwarder:
    """Listens on `listener` and pipes every connection to `target` (host, port), which is dialled per connection.

    With `tls` the clients' side is encrypted, and ends here.
    """

    def __init__(
        self,
        loop: ForwardLoop,
        listener: socket.socket,
        target: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.target = target
        self.tls = tls
        self._loop = loop
        self._listener = listener
        self._tasks: set[asyncio.Task[None]] = set()
        loop.call(self._start())

    async def _start(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        # Neither asyncio.start_server nor sock_accept: both lose a connection that comes in while they are ended.
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:  # no descriptor left: wait for one
            loop.remove_reader(self._listener)
            loop.call_later(0.1, self._listen_again)
            return
        connection.setblocking(False)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            connection.close()  # also when the task was cancelled before it began

        task = loop.create_task(self._connected(connection))
        self._tasks.add(task)
        task.add_done_callback(done)

    def _listen_again(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def _connected(self, connection: socket.socket) -> None:
        try:
            reader, writer = await self._opened(connection)
        except (OSError, TimeoutError):  # a handshake that failed; ssl.SSLError is an OSError
            return
        try:
            await self._pipe_both(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()  # a reset, as from a server that went away
        finally:
            writer.close()

    async def _opened(self, connection: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.tls is None:
            return await asyncio.open_connection(sock=connection)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=self.tls, ssl_handshake_timeout=_CONNECT_DEADLINE_S
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _pipe_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # not wait_for: on Python 3.11 it loses a cancellation that comes in the moment in which it is done
        async with asyncio.timeout(_CONNECT_DEADLINE_S):
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        try:
            pipes = [asyncio.ensure_future(pipe) for pipe in (_pipe(reader, far_writer), _pipe(far_reader, writer))]
            try:
                await asyncio.gather(*pipes)
            finally:
                for pipe in pipes:
                    pipe.cancel()
        finally:
            far_writer.transport.abort()

    def close(self) -> None:
        """Stop listening and cut the connections that are open."""
        self._loop.call(self._stop())

    async def _stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()  # half-closed, as TCP has it: the other direction goes on
        await writer.drain()
    else:
        writer.close()  # TLS knows no half


class ForwardSet:
    """The forwarders of one process: reserved addresses on one side, loopback addresses on the other. Thread-safe."""

    def __init__(self, loop: ForwardLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._claims: dict[str, tuple[str, socket.socket | None]] = {}
        self._forwarders: list[Forwarder] = []
        self._closed = False

    def open(self, name: str, port: int, target: tuple[str, int]) -> Opened:
        """Forward `port` on the address that stands for `name` (a reserved address, 10.20.0.3) to `target`."""
        with self._lock:
            host = self._address(name)
            listener = listen(host, port) or listen("127.0.0.1", 0)
            if listener is None:
                raise OSError("no free port on loopback")
            found_host, found_port = listener.getsockname()[:2]
            self._forwarders.append(Forwarder(self._loop, listener, target))
            if found_host != host:
                self._claims[name] = (found_host, self._claims[name][1])
            return Opened(name=name, host=found_host, port=found_port, exact=(found_host, found_port) == (host, port))

    def unreachable(self, name: str, ports: Iterable[int] = (5432, 6378, 6379)) -> Opened:
        """An address where nothing listens, to stand for `name`; not `exact` when one of the ports answers after all.

        The port of the answer is 0.
        """
        with self._lock:
            host = self._address(name)
            answers = any(_answers(host, port) for port in ports)
            return Opened(name=name, host=host, port=0, exact=not answers)

    def substitute(self, text: str) -> str:
        """The text with every name given to open() or unreachable() replaced by the address that stands for it."""
        with self._lock:
            for name, (host, _) in self._claims.items():
                text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w]|\.\d)", host, text)
        return text

    def close(self) -> None:
        """Stop all forwarders and give the addresses back. May be called twice."""
        with self._lock:
            forwarders, self._forwarders, self._closed = self._forwarders, [], True
            claims, self._claims = self._claims, {}
        for forwarder in forwarders:
            forwarder.close()
        for _, claim in claims.values():
            if claim is not None:
                claim.close()

    def _address(self, name: str) -> str:
        if self._closed:
            raise RuntimeError("the forwarders of this process are closed")
        if name not in self._claims:
            self._claims[name] = _claim()
        return self._claims[name][0]


def _claim() -> tuple[str, socket.socket | None]:
    """An address of 127.64.0.0/10 that no other process has, and the socket that holds it; 127.0.0.1 without aliases.

    Sandboxes side by side draw from the same range: the bound socket is what keeps them apart.
    """
    source = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        address = f"127.{source.randrange(64, 128)}.{source.randrange(256)}.{source.randrange(1, 255)}"
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind((address, _CLAIM_PORT))
        except OSError:
            claim.close()
            continue
        return address, claim
    return "127.0.0.1", None


def listen(host: str, port: int) -> socket.socket | None:
    """A listening socket for a Forwarder, or None when the address is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not hold the port
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        return None
    listener.setblocking(False)
    return listener


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.5):
        return True
    return False
