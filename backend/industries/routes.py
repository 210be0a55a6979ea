"""Industries: everybody reads, operators add."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from backend import audit, outbox
from backend.answers import CATALOGUE, public
from backend.database import Connection
from backend.deps import Cached, Db, Operator
from backend.industries import queries
from backend.industries.models import Industry, NewIndustry
from backend.schema import Page

router = APIRouter(tags=["catalogue"])
admin = APIRouter(tags=["operator"])


@router.get("/industries", response_model=Page[Industry])
async def list_industries(request: Request, db: Db, cache: Cached) -> Response:
    """Every industry, with how many agents it has."""

    async def build(connection: Connection) -> Page[Industry]:
        return Page[Industry](items=await queries.fetch_all(connection))

    return await public(request, cache, "industries", lambda: db.read(build))


@admin.post("/industries", status_code=201)
async def create_industry(new: NewIndustry, caller: Operator, db: Db, cache: Cached) -> Industry:
    """Adds an industry."""
    async with db.transaction() as connection:
        made = await queries.insert(connection, new)
        await audit.record(connection, caller, "industry.create", "industry", new.slug)
        await outbox.bump(connection, CATALOGUE)
    await cache.bump(CATALOGUE)
    return made
