"""SQL of the catalogue: published agents, searched, filtered and paged by key."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend import paging
from backend.agents.models import Agent, AgentCard, IndustrySummary, Summary
from backend.database import Connection
from backend.errors import not_found
from backend.schema import Page

_CARD = """
SELECT a.id, a.slug, a.name, a.tagline, a.availability, a.monthly_price_minor, a.currency, a.trial_days, a.rating_avg,
       a.rating_count, a.hires_total, a.published_at,
       i.slug AS industry_slug, i.name AS industry_name, r.slug AS role_slug, r.name AS role_name
FROM agent a JOIN industry i ON i.id = a.industry_id JOIN job_role r ON r.id = a.job_role_id
"""
_DETAIL = """
SELECT a.slug, a.name, a.tagline, a.availability, a.monthly_price_minor, a.currency, a.trial_days, a.rating_avg,
       a.rating_count, a.hires_total, a.published_at, a.description, r.seniority, p.name AS partner,
       i.slug AS industry_slug, i.name AS industry_name, r.slug AS role_slug, r.name AS role_name,
       CASE WHEN t.id IS NOT NULL THEN jsonb_build_object('slug', t.slug, 'name', t.name) END AS team,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('slug', s.slug, 'name', s.name, 'is_primary', l.is_primary)
                                  ORDER BY l.is_primary DESC, s.name), '[]')
        FROM agent_skill l JOIN skill s ON s.id = l.skill_id WHERE l.agent_id = a.id) AS skills
FROM agent a JOIN industry i ON i.id = a.industry_id JOIN job_role r ON r.id = a.job_role_id
LEFT JOIN team t ON t.id = a.team_id LEFT JOIN partner p ON p.id = a.partner_id
WHERE a.slug = $1 AND a.listing = 'published'
"""
_COUNTS = """
SELECT i.slug, i.name, count(*) AS agents, count(*) FILTER (WHERE a.availability <> 'offline') AS available
FROM agent a JOIN industry i ON i.id = a.industry_id WHERE a.listing = 'published' GROUP BY i.id ORDER BY i.name
"""

# sort -> ORDER BY, comparison with the last row of the page before, its column, and the type of that
_SORTS: dict[str, tuple[str, str, str, Any]] = {
    "newest": ("a.published_at DESC, a.id DESC", "(a.published_at, a.id) < ({}, {})", "published_at", datetime),
    "rating": (
        "coalesce(a.rating_avg, 0) DESC, a.id DESC",
        "(coalesce(a.rating_avg, 0), a.id) < ({}, {})",
        "rating_avg",
        Decimal,
    ),
    "price": ("a.monthly_price_minor, a.id", "(a.monthly_price_minor, a.id) > ({}, {})", "monthly_price_minor", int),
}


@dataclass(frozen=True)
class Filters:
    """What a reader asks of the catalogue; None means any."""

    q: str | None = None
    industry: str | None = None
    role: str | None = None
    skill: str | None = None
    availability: str | None = None
    max_price: int | None = None
    sort: str = "newest"

    def digest(self) -> str:
        """Names the filters in a cursor."""
        return paging.digest(*vars(self).values())


def _where(filters: Filters, values: list[Any]) -> str:
    """The conditions; their values are appended to `values`, never written into the text."""

    def put(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    found = ["a.listing = 'published'"]
    if filters.q:
        words, part = put(filters.q), put(_like(filters.q))
        found.append(f"(a.search @@ websearch_to_tsquery('english', {words}) OR a.name ILIKE {part})")
    if filters.industry:
        found.append(f"a.industry_id = (SELECT id FROM industry WHERE slug = {put(filters.industry)})")
    if filters.role:
        found.append(f"a.job_role_id = (SELECT id FROM job_role WHERE slug = {put(filters.role)})")
    if filters.skill:
        has = "SELECT FROM agent_skill l JOIN skill s ON s.id = l.skill_id WHERE l.agent_id = a.id AND s.slug = "
        found.append(f"EXISTS ({has}{put(filters.skill)})")
    if filters.availability:
        found.append(f"a.availability = {put(filters.availability)}")
    if filters.max_price is not None:
        found.append(f"a.monthly_price_minor <= {put(filters.max_price)}")
    return " AND ".join(found)


def _like(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


async def fetch_page(connection: Connection, filters: Filters, limit: int, cursor: str | None) -> Page[AgentCard]:
    """A page of cards. Raises Problem 400 for a cursor of other filters."""
    order, after, column, kind = _SORTS[filters.sort]
    digest = filters.digest()
    read = datetime.fromisoformat if kind is datetime else kind
    last = paging.typed(paging.unpack(cursor, 2, digest), read, uuid.UUID)
    values: list[Any] = []
    where = _where(filters, values)
    if cursor is not None:
        values += last
        where += " AND " + after.format(f"${len(values) - 1}", f"${len(values)}")
    values.append(limit + 1)
    query = f"{_CARD} WHERE {where} ORDER BY {order} LIMIT ${len(values)}"
    rows = await connection.fetch(query, *values)
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        value = rows[-1][column]
        following = paging.pack([0 if value is None else value, rows[-1]["id"]], digest)
    return Page[AgentCard](items=[AgentCard(**_nested(row)) for row in rows], next_cursor=following)


async def fetch(connection: Connection, slug: str) -> Agent:
    """A published agent. Raises Problem 404."""
    row = await connection.fetchrow(_DETAIL, slug)
    if row is None:
        raise not_found("agent")
    return Agent(**_nested(row))


async def summarise(connection: Connection) -> Summary:
    """Counts, and the first cards of two orders."""
    counts = await connection.fetch(_COUNTS)
    newest = await fetch_page(connection, Filters(), 6, None)
    rated = await fetch_page(connection, Filters(sort="rating"), 6, None)
    return Summary(
        agents=sum(row["agents"] for row in counts),
        available=sum(row["available"] for row in counts),
        industries=[IndustrySummary(**row) for row in counts],
        newest=newest.items,
        top_rated=rated.items,
    )


def _nested(row: Any) -> dict[str, Any]:
    found = dict(row)
    found["industry"] = {"slug": found.pop("industry_slug"), "name": found.pop("industry_name")}
    found["job_role"] = {"slug": found.pop("role_slug"), "name": found.pop("role_name")}
    return found
