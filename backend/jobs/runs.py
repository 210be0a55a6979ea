"""SQL of a job's life: open, running, failed (and waiting for its next try), done or dead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backend.database import Connection
from backend.outbox import URGENT_TOPICS

_LOCK_CLASS = 0x6A6F62  # "job"; locks of two integers never meet those of one (migrate, Idempotency-Key)

_BEGIN = """
WITH begun AS (
    INSERT INTO job_run AS run (name, scheduled_for)
    SELECT topic, coalesce(key, id::text) FROM outbox WHERE id = $1
    ON CONFLICT (name, scheduled_for) DO UPDATE SET status = 'running', attempts = run.attempts + 1,
        started_at = now(), finished_at = NULL, retry_at = NULL
    WHERE run.status NOT IN ('done', 'dead')
    RETURNING id, attempts)
SELECT o.id, o.topic, o.key, o.payload, o.request_id, begun.id AS run_id, begun.attempts
FROM begun, outbox o WHERE o.id = $1
"""
_FINISH = """
WITH done AS (
    UPDATE job_run SET status = 'done', finished_at = now(), error = NULL, result = $3 WHERE id = $2)
UPDATE outbox SET done_at = now() WHERE id = $1
"""
_FAIL = """
UPDATE job_run SET status = CASE WHEN $4::float8 IS NULL THEN 'dead' ELSE 'failed' END, finished_at = now(),
    error = $3, retry_at = now() + make_interval(secs => $4)
WHERE id = $1 AND attempts = $2 AND status = 'running' RETURNING coalesce(extract(epoch FROM retry_at), 0)::float8
"""
_UNPUBLISH = """
UPDATE outbox SET published_at = NULL WHERE id IN (
    SELECT o.id FROM outbox o LEFT JOIN job_run r ON r.name = o.topic AND r.scheduled_for = coalesce(o.key, o.id::text)
    WHERE o.done_at IS NULL AND o.published_at IS NOT NULL AND (o.topic = ANY($1)) = $2
      AND r.status IS DISTINCT FROM 'dead'
      AND greatest(o.published_at, r.started_at, r.retry_at) < now() - make_interval(secs => $3)
    ORDER BY o.id LIMIT $4 FOR UPDATE OF o SKIP LOCKED)
RETURNING id
"""


@dataclass(frozen=True)
class Job:
    """One attempt at a job. `key` is a schedule's slot, None for what a request enqueued."""

    id: int
    topic: str
    key: str | None
    payload: dict[str, Any]
    request_id: str
    run_id: UUID
    attempts: int


@asynccontextmanager
async def alone(connection: Connection, job_id: int) -> AsyncIterator[bool]:
    """Holds the job's lock while the block runs; gives False when another worker has it.

    The lock belongs to the session: the server frees it the moment a killed worker's connection closes, and a worker
    that was only slow cannot commit beside the one that took over.
    """
    names = (_LOCK_CLASS, job_id % 2**31)
    mine = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", *names)
    try:
        yield mine
    finally:
        if mine and not connection.is_closed():
            try:
                await connection.execute("SELECT pg_advisory_unlock($1, $2)", *names)
            except Exception:
                connection.terminate()  # a pooled session must not keep it
                raise


async def begin(connection: Connection, job_id: int) -> Job | None:
    """Counts an attempt, at once and for good: also one that kills its worker counts. None for a job that is over."""
    row = await connection.fetchrow(_BEGIN, job_id)
    return Job(**row) if row else None


async def finish(connection: Connection, job: Job, result: dict[str, Any]) -> None:
    """Marks it done, in the transaction of its effects: both happen, or neither."""
    await connection.execute(_FINISH, job.id, job.run_id, result)


async def fail(connection: Connection, job: Job, words: str, wait_s: float | None) -> float | None:
    """Marks the attempt failed, or the job dead without `wait_s`. Gives when it is due again, seconds since 1970.

    None when a later attempt has begun meanwhile: then that one tells what comes of the job.
    """
    due: float | None = await connection.fetchval(_FAIL, job.run_id, job.attempts, words, wait_s)
    return due


async def unpublish(connection: Connection, *, urgent: bool, quiet_s: float, limit: int) -> int:
    """Has jobs published again of which nothing was heard for `quiet_s`: Redis has lost them. Gives how many."""
    return len(await connection.fetch(_UNPUBLISH, list(URGENT_TOPICS), urgent, quiet_s, limit))
