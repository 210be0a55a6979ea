"""How the queue fares, by the outbox: also while Redis is away."""

from __future__ import annotations

from dataclasses import dataclass

from backend.database import Connection

_STATS = """
WITH open AS (
    SELECT o.created_at, coalesce(r.status, '') AS status FROM outbox o
    LEFT JOIN job_run r ON r.name = o.topic AND r.scheduled_for = coalesce(o.key, o.id::text)
    WHERE o.done_at IS NULL)
SELECT count(*) FILTER (WHERE status <> 'dead') AS depth,
       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE status <> 'dead')), 0)::float8 AS oldest_age_s,
       count(*) FILTER (WHERE status = 'failed') AS delayed,
       count(*) FILTER (WHERE status = 'dead') AS dead
FROM open
"""


@dataclass(frozen=True)
class QueueStats:
    """Jobs that are neither done nor dead, the age of the oldest in seconds, those that wait for a retry, the dead."""

    depth: int
    oldest_age_s: float
    delayed: int
    dead: int


async def queue_stats(connection: Connection) -> QueueStats:
    """Reads them in one query over the open rows."""
    return QueueStats(**await connection.fetchrow(_STATS))
