"""SQL of skills."""

from __future__ import annotations

import uuid

import asyncpg

from backend.database import Connection
from backend.errors import conflict, not_found
from backend.skills.models import NewSkill, Skill, SkillPatch

_COLUMNS = "slug, name, category, description, status, certified_at"


async def fetch_certified(connection: Connection, category: str | None) -> list[Skill]:
    """The certified skills, by name."""
    query = (
        f"SELECT {_COLUMNS} FROM skill WHERE status = 'certified' AND ($1::text IS NULL OR category = $1) ORDER BY name"
    )
    return [Skill(**row) for row in await connection.fetch(query, category)]


async def fetch_drafts(connection: Connection) -> list[Skill]:
    """What waits for certification, oldest first."""
    query = f"SELECT {_COLUMNS} FROM skill WHERE status = 'draft' ORDER BY created_at LIMIT 200"
    return [Skill(**row) for row in await connection.fetch(query)]


async def insert(connection: Connection, new: NewSkill) -> Skill:
    """Adds a draft. Raises Problem 409 when the slug is taken."""
    query = f"INSERT INTO skill (slug, name, category, description) VALUES ($1, $2, $3, $4) RETURNING {_COLUMNS}"
    try:
        row = await connection.fetchrow(query, new.slug, new.name, new.category, new.description)
    except asyncpg.UniqueViolationError:
        raise conflict("slug-taken", "there is a skill with this slug") from None
    return Skill(**row)


async def update(connection: Connection, slug: str, patch: SkillPatch) -> Skill:
    """Changes one. Raises Problem 404."""
    query = (
        "UPDATE skill SET name = coalesce($2, name), category = coalesce($3, category), "
        f"description = coalesce($4, description) WHERE slug = $1 RETURNING {_COLUMNS}"
    )
    row = await connection.fetchrow(query, slug, patch.name, patch.category, patch.description)
    if row is None:
        raise not_found("skill")
    return Skill(**row)


async def certify(connection: Connection, slug: str, by: uuid.UUID | None) -> Skill:
    """Certifies a draft. Raises Problem 404, and 409 for one that is no draft."""
    query = (
        "UPDATE skill SET status = 'certified', certified_at = now(), certified_by = $2 "
        f"WHERE slug = $1 AND status = 'draft' RETURNING {_COLUMNS}"
    )
    row = await connection.fetchrow(query, slug, by)
    if row is None:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM skill WHERE slug = $1)", slug):
            raise not_found("skill")
        raise conflict("not-a-draft", "only a draft can be certified")
    return Skill(**row)
