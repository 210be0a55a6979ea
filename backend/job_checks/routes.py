"""Whether jobs are done: a service enqueues one and looks what became of it. For smoke tests after a deployment."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from backend.database import Connection
from backend.deps import Db, JobChecker
from backend.errors import not_found
from backend.job_checks import queries
from backend.job_checks.models import JobCheck

router = APIRouter(prefix="/service", tags=["service"])
JobId = Annotated[int, Path(ge=1, lt=2**63)]


@router.post("/job-checks", status_code=202)
async def create_job_check(caller: JobChecker, db: Db) -> JobCheck:
    """Enqueues a job that does nothing anybody notices."""
    async with db.transaction() as connection:
        return await queries.insert(connection)


@router.get("/job-checks/{job_id}")
async def read_job_check(job_id: JobId, caller: JobChecker, db: Db) -> JobCheck:
    """How that job fares."""

    async def read(connection: Connection) -> JobCheck:
        found = await queries.fetch(connection, job_id)
        if found is None:
            raise not_found("job")
        return found

    return await db.read(read)
