"""A recorder and a memory in lists, a clock that does not wait, and a server of raw sockets that counts requests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from plantctl.gcp.bundle import Gcp
from plantctl.gcp.target import sandbox_target
from plantctl.model.events import Event
from plantctl.model.recorder import Attempt


class Recorder:
    """Keeps everything; `log` holds `attempt`, `answer` and `read` in the order in which they came."""

    run = "r1"

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.events: list[Event] = []
        self.intents: list[tuple[str, str, str]] = []

    def intent(self, *, item: str, method_id: str, resource: str) -> str:
        """A uuid-like word for each call."""
        self.intents.append((item, method_id, resource))
        return f"00000000-0000-4000-8000-{len(self.intents):012d}"

    def attempt(self, **fields: Any) -> str:
        """Numbered."""
        self.log.append(("attempt", fields))
        return f"a{sum(kind == 'attempt' for kind, _ in self.log)}"

    def answer(self, attempt: str, *, status: int, operation: str = "", error: str = "") -> None:
        """Kept."""
        self.log.append(("answer", (attempt, status, operation, error)))

    def read(self) -> None:
        """Counted."""
        self.log.append(("read", None))

    def emit(self, event: Event) -> None:
        """Kept."""
        self.events.append(event)

    def kinds(self) -> list[str]:
        """What came, in order."""
        return [kind for kind, _ in self.log]

    def answers(self) -> list[int]:
        """The statuses that were recorded."""
        return [fields[1] for kind, fields in self.log if kind == "answer"]


class Memory:
    """A past in which nothing happened."""

    def attempts(self, **_: Any) -> list[Attempt]:
        """None."""
        return []

    def was_in_place(self, item: str) -> bool:
        """Never."""
        return False

    def adopted(self, item: str) -> bool:
        """Never."""
        return False

    def adopt(self, item: str, resource: str) -> None:
        """Not kept."""

    def forgotten(self, item: str) -> None:
        """Not kept."""


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        """A fixed day, plus what was slept."""
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Seconds slept."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Lets time pass at once."""
        self.passed += seconds


Answering = Callable[[int, bytes], bytes | None]
"""From the number of a request (1, 2, ...) and its bytes to the raw answer; None: close without a word."""


@contextmanager
def wire(answering: Answering) -> Iterator[tuple[str, list[bytes]]]:
    """A server on a free loopback port: its base URL, and the raw requests as they came in."""
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                request = _whole(connection)
                if request:
                    seen.append(request)
                    answer = answering(len(seen), request)
                    if answer is not None:
                        connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


def _whole(connection: socket.socket) -> bytes:
    """One request: its head, and as many bytes of body as it announces."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = connection.recv(65536)
        if not part:
            return got
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A raw HTTP answer that ends its connection; `length` may lie."""
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", "Connection: close", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def bundle(base: str, recorder: Recorder, clock: Clock | None = None) -> Gcp:
    """The seam to Google, pointed at a server of this test."""
    target = sandbox_target({"rest": base}, project="p", region="us-central1")
    return Gcp(target, recorder, Memory(), clock or Clock())
