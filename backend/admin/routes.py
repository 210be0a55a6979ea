"""The operators' desk: what waits for review, the audit trail, and emptying the cache."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from backend import audit, outbox
from backend.admin import queries
from backend.admin.models import AuditEvent, ReviewQueue
from backend.answers import CATALOGUE
from backend.database import Connection
from backend.deps import Cached, Db, Operator
from backend.job_roles import queries as job_roles
from backend.listings import queries as listings
from backend.paging import Cursor, Limit
from backend.schema import Page, Storable
from backend.skills import queries as skills

router = APIRouter(tags=["operator"])
Word = Annotated[str | None, Query(max_length=80), Storable]


@router.get("/review-queue")
async def read_review_queue(caller: Operator, db: Db, cursor: Cursor = None, limit: Limit = 20) -> ReviewQueue:
    """Submitted agents, and drafts of skills and job roles."""

    async def read(connection: Connection) -> ReviewQueue:
        agents = await listings.fetch_page(connection, None, "in_review", limit, cursor)
        return ReviewQueue(
            agents=agents.items,
            next_cursor=agents.next_cursor,
            skills=await skills.fetch_drafts(connection),
            job_roles=await job_roles.fetch_drafts(connection),
        )

    return await db.read(read)


@router.get("/audit-events")
async def list_audit_events(
    caller: Operator,
    db: Db,
    entity: Word = None,
    entity_id: Word = None,
    action: Word = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[AuditEvent]:
    """Audit events, newest first."""
    return await db.read(lambda c: queries.fetch_events(c, entity, entity_id, action, limit, cursor))


@router.post("/cache/purge", status_code=204)
async def purge_cache(caller: Operator, db: Db, cache: Cached) -> None:
    """Makes every cached answer of the catalogue old."""
    async with db.transaction() as connection:
        await audit.record(connection, caller, "cache.purge", "cache", CATALOGUE)
        await outbox.bump(connection, CATALOGUE)
    await cache.bump(CATALOGUE)
