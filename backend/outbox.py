"""The transactional outbox: what has to happen after a commit is a row of that commit; workers carry it out."""

from __future__ import annotations

from typing import Any

from backend.context import current
from backend.database import Connection

CACHE_BUMP = "cache.bump"
NOTIFY = "notification.send"

URGENT_TOPICS = (CACHE_BUMP,)
"""They have a queue of their own: readers see an edit within two seconds, whatever else there is to do."""

_PUT = "INSERT INTO outbox (topic, payload, request_id) VALUES ($1, $2, $3) RETURNING id"
_PUT_ONCE = """
INSERT INTO outbox (topic, key, payload) VALUES ($1, $2, '{}') ON CONFLICT (topic, key) DO NOTHING RETURNING true
"""


async def put(connection: Connection, topic: str, **payload: Any) -> int:
    """Adds a job and gives its id. The request's id goes with it: operators and smoke tests find the job by it."""
    row: int = await connection.fetchval(_PUT, topic, payload, current().request_id)
    return row


async def put_once(connection: Connection, topic: str, key: str) -> bool:
    """Adds a job unless one with this topic and key was ever added; says whether it did."""
    return bool(await connection.fetchval(_PUT_ONCE, topic, key))


async def bump(connection: Connection, kind: str) -> None:
    """Has a cache's kind made old after the commit, also when the process that commits dies before it does so."""
    await put(connection, CACHE_BUMP, kind=kind)
