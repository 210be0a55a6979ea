"""The catalogue: published agents for everybody."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from backend.agents import queries
from backend.agents.models import Agent, AgentCard, Availability, Sort, Summary
from backend.answers import public
from backend.database import Connection
from backend.deps import Cached, Db
from backend.paging import Cursor, Limit
from backend.schema import Page, Slug, Storable

router = APIRouter(tags=["catalogue"])
Words = Annotated[str | None, Query(max_length=200, description="Words to look for"), Storable]
Price = Annotated[int | None, Query(ge=0, le=2_000_000_000)]


@router.get("/agents", response_model=Page[AgentCard])
async def list_agents(
    request: Request,
    db: Db,
    cache: Cached,
    q: Words = None,
    industry: Slug | None = None,
    role: Slug | None = None,
    skill: Slug | None = None,
    availability: Availability | None = None,
    max_price: Price = None,
    sort: Sort = "newest",
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """Agents that can be hired, a page at a time."""
    words = q.strip() if q else None
    filters = queries.Filters(words or None, industry, role, skill, availability, max_price, sort)

    async def build(connection: Connection) -> Page[AgentCard]:
        return await queries.fetch_page(connection, filters, limit, cursor)

    return await public(request, cache, f"agents?{filters}&{limit}&{cursor}", lambda: db.read(build))


@router.get("/agents/{slug}", response_model=Agent)
async def read_agent(request: Request, slug: Slug, db: Db, cache: Cached) -> Response:
    """One agent."""

    async def build(connection: Connection) -> Agent:
        return await queries.fetch(connection, slug)

    return await public(request, cache, f"agents/{slug}", lambda: db.read(build))


@router.get("/marketplace/summary", response_model=Summary)
async def read_summary(request: Request, db: Db, cache: Cached) -> Response:
    """The marketplace on one page: counts by industry, the newest and the best rated agents."""
    return await public(request, cache, "summary", lambda: db.read(queries.summarise))
