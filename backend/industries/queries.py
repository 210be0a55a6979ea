"""SQL of industries."""

from __future__ import annotations

import asyncpg

from backend.database import Connection
from backend.errors import conflict
from backend.industries.models import Industry, NewIndustry

_ALL = """
SELECT i.slug, i.name, i.description, count(a.id) FILTER (WHERE a.listing = 'published') AS agents
FROM industry i LEFT JOIN agent a ON a.industry_id = i.id GROUP BY i.id ORDER BY i.name
"""


async def fetch_all(connection: Connection) -> list[Industry]:
    """Every industry, by name."""
    return [Industry(**row) for row in await connection.fetch(_ALL)]


async def insert(connection: Connection, new: NewIndustry) -> Industry:
    """Adds one. Raises Problem 409 when the slug is taken."""
    statement = "INSERT INTO industry (slug, name, description) VALUES ($1, $2, $3)"
    try:
        await connection.execute(statement, new.slug, new.name, new.description)
    except asyncpg.UniqueViolationError:
        raise conflict("slug-taken", "there is an industry with this slug") from None
    return Industry(slug=new.slug, name=new.name, description=new.description, agents=0)
