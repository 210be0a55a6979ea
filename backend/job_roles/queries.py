"""SQL of job roles."""

from __future__ import annotations

import asyncpg

from backend.database import Connection
from backend.errors import conflict, invalid, not_found
from backend.job_roles.models import JobRole, JobRolePatch, NewJobRole

_SELECT = """
SELECT r.slug, r.name, r.description, r.seniority, i.slug AS industry, r.status, r.certified_at,
       coalesce(jsonb_agg(jsonb_build_object('slug', s.slug, 'name', s.name, 'required', l.required)
                          ORDER BY l.required DESC, s.name) FILTER (WHERE s.id IS NOT NULL), '[]') AS skills
FROM job_role r
LEFT JOIN industry i ON i.id = r.industry_id
LEFT JOIN job_role_skill l ON l.job_role_id = r.id
LEFT JOIN skill s ON s.id = l.skill_id
"""
_LIST = _SELECT + (
    "WHERE r.status = 'certified' AND ($1::text IS NULL OR i.slug = $1) GROUP BY r.id, i.slug ORDER BY r.name"
)
_DRAFTS = _SELECT + "WHERE r.status = 'draft' GROUP BY r.id, i.slug ORDER BY r.created_at LIMIT 200"
_ONE = _SELECT + "WHERE r.slug = $1 GROUP BY r.id, i.slug"
_INSERT = """
INSERT INTO job_role (slug, name, description, seniority, industry_id)
VALUES ($1, $2, $3, $4, (SELECT id FROM industry WHERE slug = $5)) RETURNING id, industry_id
"""
_LINK = """
INSERT INTO job_role_skill (job_role_id, skill_id, required)
SELECT $1, s.id, s.slug = ANY($2::text[]) FROM skill s WHERE s.slug = ANY($2::text[] || $3::text[])
RETURNING skill_id
"""


async def fetch_certified(connection: Connection, industry: str | None) -> list[JobRole]:
    """The certified roles, by name."""
    return [JobRole(**row) for row in await connection.fetch(_LIST, industry)]


async def fetch_drafts(connection: Connection) -> list[JobRole]:
    """What waits for certification, oldest first."""
    return [JobRole(**row) for row in await connection.fetch(_DRAFTS)]


async def fetch(connection: Connection, slug: str, *, certified: bool = False) -> JobRole:
    """One role. Raises Problem 404, with `certified` also for one that is not."""
    row = await connection.fetchrow(_ONE, slug)
    if row is None or (certified and row["status"] != "certified"):
        raise not_found("job role")
    return JobRole(**row)


async def insert(connection: Connection, new: NewJobRole) -> JobRole:
    """Adds a draft with its skills. Raises Problem 409 for a taken slug, 422 for an unknown industry or skill."""
    values = (new.slug, new.name, new.description, new.seniority, new.industry)
    try:
        row = await connection.fetchrow(_INSERT, *values)
    except asyncpg.UniqueViolationError:
        raise conflict("slug-taken", "there is a job role with this slug") from None
    if new.industry is not None and row["industry_id"] is None:
        raise invalid("body.industry", "there is no such industry")
    linked = await connection.fetch(_LINK, row["id"], new.required_skills, new.optional_skills)
    if len(linked) != len({*new.required_skills, *new.optional_skills}):
        raise invalid("body.required_skills", "names a skill that does not exist")
    return await fetch(connection, new.slug)


async def update(connection: Connection, slug: str, patch: JobRolePatch) -> JobRole:
    """Changes one. Raises Problem 404."""
    statement = (
        "UPDATE job_role SET name = coalesce($2, name), description = coalesce($3, description), "
        "seniority = coalesce($4, seniority) WHERE slug = $1"
    )
    await connection.execute(statement, slug, patch.name, patch.description, patch.seniority)
    return await fetch(connection, slug)


async def certify(connection: Connection, slug: str) -> JobRole:
    """Certifies a draft whose required skills are. Raises Problem 404 and 409."""
    role = await fetch(connection, slug)
    if role.status != "draft":
        raise conflict("not-a-draft", "only a draft can be certified")
    open_skills = (
        "SELECT s.slug FROM job_role r JOIN job_role_skill l ON l.job_role_id = r.id JOIN skill s ON s.id = l.skill_id "
        "WHERE r.slug = $1 AND l.required AND s.status <> 'certified' ORDER BY 1"
    )
    missing = [row["slug"] for row in await connection.fetch(open_skills, slug)]
    if missing:
        raise conflict("skills-not-certified", f"certify first: {', '.join(missing)}")
    statement = "UPDATE job_role SET status = 'certified', certified_at = now() WHERE slug = $1 AND status = 'draft'"
    await connection.execute(statement, slug)
    return await fetch(connection, slug)
