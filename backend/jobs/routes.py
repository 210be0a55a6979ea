"""The operators' list of jobs, and one more chance for a dead one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from backend import audit
from backend.deps import Db, Operator
from backend.jobs import queries
from backend.jobs.models import JobStatus, Status
from backend.paging import Cursor, Limit
from backend.schema import Page, Storable

admin = APIRouter(prefix="/jobs", tags=["operator"])
JobId = Annotated[int, Path(ge=1, lt=2**63)]
Name = Annotated[str | None, Query(max_length=80, description="A topic, for example `notification.send`"), Storable]
RequestId = Annotated[
    str | None, Query(max_length=64, description="The X-Request-Id of the request that enqueued the jobs"), Storable
]


@admin.get("")
async def list_jobs(
    caller: Operator,
    db: Db,
    name: Name = None,
    status: Status | None = None,
    request_id: RequestId = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[JobStatus]:
    """Jobs, newest first; done ones are kept for a week."""
    return await db.read(lambda c: queries.fetch_page(c, (name, status, request_id), limit, cursor))


@admin.get("/{job_id}")
async def read_job(job_id: JobId, caller: Operator, db: Db) -> JobStatus:
    """One job."""
    return await db.read(lambda connection: queries.fetch(connection, job_id))


@admin.post("/{job_id}/retry", status_code=202)
async def retry_job(job_id: JobId, caller: Operator, db: Db) -> JobStatus:
    """Has a dead job done again; a worker takes it within a second."""
    async with db.transaction() as connection:
        dead = await queries.retry(connection, job_id)
        await audit.record(connection, caller, "job.retry", "job", job_id, name=dead.name, attempts=dead.attempts)
        return await queries.fetch(connection, job_id)
