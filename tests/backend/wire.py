"""A small HTTP client for many requests: keep-alive connections, one request at a time on each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Answer:
    """An answer; status 0 when the connection broke before there was one. `at` and `done` are monotonic seconds."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    at: float = 0.0
    done: float = 0.0

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Connections to one port on loopback. A broken one is replaced with the next request."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for _reader, writer in self._idle:
            writer.close()
            await writer.wait_closed()

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        """One request; `body` goes as JSON. Never raises for a connection that breaks or refuses."""
        payload = b"" if body is None else json.dumps(body).encode()
        lines = {"Host": "plant.test", "Content-Length": str(len(payload))} | dict(headers or {})
        lines |= {"Content-Type": "application/json"} if payload else {}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        started = time.monotonic()
        connection = None
        try:
            connection = self._reused() or await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = connection
            writer.write(head.encode("latin-1") + b"\r\n" + payload)
            status, found, content = await asyncio.wait_for(_read(reader), 30)
        except (OSError, asyncio.IncompleteReadError):
            if connection is not None:
                connection[1].close()
            return Answer(0, {}, b"", started, time.monotonic())
        if found.get("connection") == "close":
            writer.close()
        else:
            self._idle.append(connection)
        return Answer(status, found, content, started, time.monotonic())

    def _reused(self) -> Connection | None:
        """The connection used last, unless the server has closed it for being idle."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(first.split(" ")[1]), headers, body
