"""SQL of the operators' list of jobs: rows of the outbox with their runs."""

from __future__ import annotations

from typing import Any

from backend import paging
from backend.database import Connection
from backend.errors import conflict, not_found
from backend.jobs.models import JobStatus
from backend.schema import Page

_SELECT = """
SELECT o.id, o.topic AS name, o.key AS slot, o.request_id, o.payload, coalesce(r.status, 'queued') AS status,
       coalesce(r.attempts, 0) AS attempts, o.created_at, o.published_at, r.started_at, r.finished_at, r.retry_at,
       r.error, r.result
FROM outbox o LEFT JOIN job_run r ON r.name = o.topic AND r.scheduled_for = coalesce(o.key, o.id::text)
"""
_FILTERED = """
WHERE ($1::text IS NULL OR o.topic = $1) AND ($2::text IS NULL OR coalesce(r.status, 'queued') = $2)
  AND ($3::text IS NULL OR o.request_id = $3) AND ($4::bigint IS NULL OR o.id < $4)
"""
_ORDER = "ORDER BY o.id DESC LIMIT $5"
# Whatever is not done has a small index of its own.
_OPEN = "AND o.done_at IS NULL"
# The run goes, and with it the count of attempts; the row goes to the relay again.
_AGAIN = """
WITH forgotten AS (
    DELETE FROM job_run r USING outbox o
    WHERE o.id = $1 AND r.name = o.topic AND r.scheduled_for = coalesce(o.key, o.id::text))
UPDATE outbox SET published_at = NULL WHERE id = $1
"""


async def fetch_page(
    connection: Connection, filters: tuple[str | None, str | None, str | None], limit: int, cursor: str | None
) -> Page[JobStatus]:
    """Jobs, newest first. `filters` are name, status and request id; None for any."""
    digest = paging.digest("jobs", *filters)
    (last,) = paging.typed(paging.unpack(cursor, 1, digest), paging.bigint)
    is_open = filters[1] not in (None, "done")
    query = f"{_SELECT}{_FILTERED}{_OPEN if is_open else ''} {_ORDER}"
    rows = await connection.fetch(query, *filters, last, limit + 1)
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = paging.pack([rows[-1]["id"]], digest)
    return Page[JobStatus](items=[JobStatus(**row) for row in rows], next_cursor=following)


async def fetch(connection: Connection, job_id: int) -> JobStatus:
    """One job. Raises Problem 404."""
    return JobStatus(**await _row(connection, job_id, ""))


async def retry(connection: Connection, job_id: int) -> JobStatus:
    """Has a dead job done again, with all its attempts; gives what it was. Raises Problem 404, 409 unless dead."""
    before = JobStatus(**await _row(connection, job_id, "FOR UPDATE OF o"))
    if before.status != "dead":
        raise conflict("job-not-dead", f"the job is {before.status}: only a dead one can be tried again")
    await connection.execute(_AGAIN, job_id)
    return before


async def _row(connection: Connection, job_id: int, lock: str) -> Any:
    row = await connection.fetchrow(f"{_SELECT} WHERE o.id = $1 {lock}", job_id)
    if row is None:
        raise not_found("job")
    return row
