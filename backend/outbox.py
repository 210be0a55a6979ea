"""The transactional outbox: what has to happen after a commit is a row of that commit; workers carry it out."""

from __future__ import annotations

from typing import Any

from backend.database import Connection

CACHE_BUMP = "cache.bump"
NOTIFY = "notification.send"


async def put(connection: Connection, topic: str, **payload: Any) -> int:
    """Adds a message and gives its id, by which handlers know that they have seen it."""
    row: int = await connection.fetchval(
        "INSERT INTO outbox (topic, payload) VALUES ($1, $2) RETURNING id", topic, payload
    )
    return row


async def bump(connection: Connection, kind: str) -> None:
    """Has a cache's kind made old after the commit, also when the process that commits dies before it does so."""
    await put(connection, CACHE_BUMP, kind=kind)
