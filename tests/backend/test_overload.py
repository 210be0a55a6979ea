"""More requests under way than a process carries: a problem that says when to come again, and probes go on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from backend.middleware import MAX_UNDER_WAY, Edge
from backend.settings import Settings
from backend.trace_export import Traces

SETTINGS = {"environment": "test", "db_host": "127.0.0.1", "database_password": "x", "db_sslmode": "disable"}


def test_the_next_one_is_told_to_come_again() -> None:
    async def run() -> tuple[list[Message], list[Message], list[Message]]:
        freed = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/slow":
                await freed.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        edge = Edge(slow, project="", hops=0, traces=Traces(Settings.model_validate(SETTINGS)))
        under_way = [asyncio.create_task(ask(edge, "/slow")) for _ in range(MAX_UNDER_WAY)]
        await asyncio.sleep(0)
        refused, probe = await ask(edge, "/slow"), await ask(edge, "/health")
        freed.set()
        assert {(await task)[0]["status"] for task in under_way} == {200}
        return refused, probe, await ask(edge, "/slow")

    refused, probe, after = asyncio.run(run())
    headers = dict(refused[0]["headers"])
    assert (refused[0]["status"], headers[b"content-type"]) == (503, b"application/problem+json")
    assert int(headers[b"retry-after"]) > 0
    assert json.loads(refused[1]["body"])["type"] == "urn:plant:problem:overloaded"
    assert (probe[0]["status"], after[0]["status"]) == (200, 200)


async def ask(edge: Edge, path: str) -> list[Message]:
    """What is sent for a GET."""
    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "GET", "path": path, "headers": []}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await edge(scope, receive, send)
    return sent
