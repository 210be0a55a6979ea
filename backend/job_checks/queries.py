"""SQL of looks at the queue."""

from __future__ import annotations

from backend import outbox
from backend.database import Connection
from backend.job_checks.models import JobCheck

KIND = "job-check"
"""A kind of cached answers that there are none of: making them old counts up one number in Redis."""

_ONE = """
SELECT o.id, coalesce(r.status, 'open') AS status, coalesce(r.attempts, 0) AS attempts, r.error
FROM outbox o LEFT JOIN job_run r ON r.name = o.topic AND r.scheduled_for = coalesce(o.key, o.id::text)
WHERE o.id = $1 AND o.topic = $2 AND o.payload ->> 'kind' = $3
"""


async def insert(connection: Connection) -> JobCheck:
    """Enqueues a job that leaves nothing behind; its rows go with those of all done jobs."""
    return JobCheck(id=await outbox.put(connection, outbox.CACHE_BUMP, kind=KIND), status="open")


async def fetch(connection: Connection, job_id: int) -> JobCheck | None:
    """How it fares; None for a job that is none of these."""
    row = await connection.fetchrow(_ONE, job_id, outbox.CACHE_BUMP, KIND)
    return JobCheck(**row) if row else None
