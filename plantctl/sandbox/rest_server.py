"""The REST port: a raw ASGI callable on uvicorn; the API by path prefix or by Host, the gateway on threads."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from plantctl.sandbox.catalog import Catalog
from plantctl.sandbox.console import Console
from plantctl.sandbox.gateway import Gateway, Reply, Request

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

GOOGLE = re.compile(r"^([a-z0-9-]+)\.googleapis\.com(:\d+)?$")
OWN_NAME = re.compile(r"^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$")
# `www.googleapis.com` and the bare upload paths name the API in their first folder
FIRST_FOLDER = {"storage": "storage", "compute": "compute", "dns": "dns", "sql": "sqladmin"}
TRANSPORT = "plantctl.transport"


class KeepingProtocol(HttpToolsProtocol):
    """uvicorn's protocol that leaves the connection in the scope, so that a planned fault can break it."""

    def on_message_begin(self) -> None:
        """Called by the parser for every request."""
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"connection": self.transport}}


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: the app has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are left alone."""
        yield


class RestApp:
    """The ASGI callable."""

    def __init__(self, gateway: Gateway, console: Console, catalog: Catalog) -> None:
        self._gateway = gateway
        self._console = console
        self._catalog = catalog
        # waiting calls (operations.wait, hanging faults) hold a thread each
        self._pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="rest")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        body = await _read(receive)
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(self._pool, self._handle, scope, body)
        connection = scope.get("extensions", {}).get(TRANSPORT, {}).get("connection")
        if reply.cut == -1 and connection is not None:
            _break(connection)
            return
        await _answer(send, reply, connection)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _handle(self, scope: Scope, body: bytes) -> Reply:
        path = bytes(scope["raw_path"]).decode("latin-1")
        headers = {bytes(k).decode("latin-1").lower(): bytes(v).decode("latin-1") for k, v in scope["headers"]}
        query = bytes(scope["query_string"]).decode("latin-1")
        host = headers.get("host", "")
        # only under its own name: a web page must not reach the console by a name that it made resolve to loopback
        if path.startswith("/_sandbox/") and OWN_NAME.match(host):
            return self._console.handle(scope["method"], path.removeprefix("/_sandbox/"), query, body)
        api, rest, origin = self._address(path, host)
        proxied = GOOGLE.match(host) is not None
        return self._gateway.handle(
            Request(
                transport="proxy" if proxied else "rest",
                api=api,
                verb=scope["method"],
                path=rest,
                query=query,
                headers=headers,
                body=body,
                origin=origin,
            )
        )

    def _address(self, path: str, host: str) -> tuple[str, str, str]:
        path = path.lstrip("/")
        found = GOOGLE.match(host)
        if found:
            word = found.group(1)
            if word == "www":
                folders = path.removeprefix("upload/").removeprefix("resumable/").removeprefix("download/")
                first = folders.split("/", 1)[0]
                api = FIRST_FOLDER.get(first, first)
            else:
                # regional hosts: us-central1-run.googleapis.com
                api = word if self._catalog.knows(word) else word.rsplit("-", 1)[-1]
            return api, path, f"https://{host}/"
        api, _, rest = path.partition("/")
        return api, rest, f"http://{host}/{api}/"


def listen(port: int) -> socket.socket:
    """A listening loopback socket; port 0 takes a free one. OSError when the port is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen(256)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def server_for(app: RestApp) -> QuietServer:
    """A uvicorn server that keeps idle connections: one closed under a client would look like a lost answer."""
    config = uvicorn.Config(
        app,
        http=KeepingProtocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    return QuietServer(config)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


async def _answer(send: Send, reply: Reply, connection: Any) -> None:
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in reply.headers.items()]
    if reply.status not in (204, 304):
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.cut is not None and connection is not None and reply.cut < len(reply.body):
        await send({"type": "http.response.body", "body": reply.body[: reply.cut], "more_body": True})
        await asyncio.sleep(0.05)  # let the bytes leave before the connection breaks
        connection.abort()
        return
    await send({"type": "http.response.body", "body": reply.body})


def _break(connection: Any) -> None:
    raw = connection.get_extra_info("socket")
    if raw is not None:
        # no lingering: the client sees a reset, not an orderly end
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.abort()
