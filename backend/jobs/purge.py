"""Rows that nobody needs any more go: kept answers after their day, done jobs after a week, dead ones after a month."""

from __future__ import annotations

from backend.database import Connection

_ANSWERS = """
DELETE FROM idempotency_key WHERE (account_id, key) IN (
    SELECT account_id, key FROM idempotency_key WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
    FOR UPDATE SKIP LOCKED) RETURNING 1
"""
_JOBS = """
WITH old AS (
    SELECT o.id AS job, r.id AS run FROM outbox o
    JOIN job_run r ON r.name = o.topic AND r.scheduled_for = coalesce(o.key, o.id::text)
    WHERE o.done_at < now() - interval '7 days'
       OR o.done_at IS NULL AND r.status = 'dead' AND r.finished_at < now() - interval '30 days'
    ORDER BY o.id LIMIT $1 FOR UPDATE SKIP LOCKED),
runs AS (DELETE FROM job_run USING old WHERE job_run.id = old.run)
DELETE FROM outbox USING old WHERE outbox.id = old.job RETURNING outbox.id
"""


async def purge(connection: Connection, limit: int) -> int:
    """Deletes at most `limit` rows of each kind; gives the larger count."""
    answers = await connection.fetch(_ANSWERS, limit)
    jobs = await connection.fetch(_JOBS, limit)
    return max(len(answers), len(jobs))
