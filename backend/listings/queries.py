"""SQL of agents in every state: what a partner makes, and what operators decide."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from backend import paging
from backend.database import Connection
from backend.deps import stale
from backend.errors import conflict, invalid, not_found
from backend.listings.models import Listing, ListingPatch, NewListing
from backend.schema import Page

_SELECT = """
SELECT a.id, a.slug, a.name, a.tagline, a.description, i.slug AS industry, r.slug AS job_role, a.listing,
       a.availability, a.monthly_price_minor, a.currency, a.trial_days, a.rating_avg, a.hires_total, a.review_note,
       a.submitted_at, a.published_at, a.updated_at, a.version, a.created_at, p.name AS partner,
       ARRAY(SELECT s.slug FROM agent_skill l JOIN skill s ON s.id = l.skill_id
             WHERE l.agent_id = a.id ORDER BY l.is_primary DESC, s.slug) AS skills
FROM agent a JOIN industry i ON i.id = a.industry_id JOIN job_role r ON r.id = a.job_role_id
LEFT JOIN partner p ON p.id = a.partner_id
"""
_INSERT = """
INSERT INTO agent (slug, name, tagline, description, industry_id, job_role_id, monthly_price_minor, currency,
                   trial_days, partner_id)
VALUES ($1, $2, $3, $4, (SELECT id FROM industry WHERE slug = $5), (SELECT id FROM job_role WHERE slug = $6),
        $7, $8, $9, $10) RETURNING id
"""
_UPDATE = """
UPDATE agent SET name = coalesce($2, name), tagline = coalesce($3, tagline), description = coalesce($4, description),
    industry_id = CASE WHEN $5::text IS NULL THEN industry_id ELSE (SELECT id FROM industry WHERE slug = $5) END,
    job_role_id = CASE WHEN $6::text IS NULL THEN job_role_id ELSE (SELECT id FROM job_role WHERE slug = $6) END,
    monthly_price_minor = coalesce($7, monthly_price_minor), trial_days = coalesce($8, trial_days),
    version = version + 1
WHERE id = $1
"""
_SKILLS = """
INSERT INTO agent_skill (agent_id, skill_id, is_primary)
SELECT $1, s.id, s.slug = ($2::text[])[1] FROM skill s WHERE s.slug = ANY($2::text[]) RETURNING skill_id
"""
_READY = """
SELECT r.status = 'certified' AS role, EXISTS (
    SELECT FROM agent_skill l JOIN skill s ON s.id = l.skill_id
    WHERE l.agent_id = a.id AND l.is_primary AND s.status = 'certified') AS skill, NOT EXISTS (
    SELECT FROM agent_skill l JOIN skill s ON s.id = l.skill_id
    WHERE l.agent_id = a.id AND s.status <> 'certified') AS skills
FROM agent a JOIN job_role r ON r.id = a.job_role_id WHERE a.id = $1
"""
_MOVE = "UPDATE agent SET listing = '{}', version = version + 1, {} WHERE id = $1 AND listing = '{}' RETURNING true"
_MOVES = {
    "submit": _MOVE.format("in_review", "submitted_at = now(), review_note = $2", "draft"),
    "publish": _MOVE.format("published", "published_at = coalesce(published_at, now()), review_note = $2", "in_review"),
    "reject": _MOVE.format("draft", "submitted_at = NULL, review_note = $2", "in_review"),
    "retire": _MOVE.format("retired", "availability = 'offline', review_note = $2", "published"),
}


async def fetch_page(
    connection: Connection, partner_id: UUID | None, state: str | None, limit: int, cursor: str | None
) -> Page[Listing]:
    """A partner's agents, or everybody's for None, newest first."""
    digest = paging.digest("listings", partner_id, state)
    at, last = paging.typed(paging.unpack(cursor, 2, digest), datetime.fromisoformat, UUID)
    query = _SELECT + (
        "WHERE ($1::uuid IS NULL OR a.partner_id = $1) AND ($2::text IS NULL OR a.listing = $2) "
        "AND ($3::timestamptz IS NULL OR (a.created_at, a.id) < ($3, $4)) "
        "ORDER BY a.created_at DESC, a.id DESC LIMIT $5"
    )
    rows = await connection.fetch(query, partner_id, state, at, last, limit + 1)
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = paging.pack([rows[-1]["created_at"], rows[-1]["id"]], digest)
    return Page[Listing](items=[Listing(**row) for row in rows], next_cursor=following)


async def fetch(connection: Connection, agent_id: UUID, partner_id: UUID | None, *, lock: bool = False) -> Listing:
    """One agent of a partner, or of anybody for None. Raises Problem 404."""
    query = _SELECT + "WHERE a.id = $1 AND ($2::uuid IS NULL OR a.partner_id = $2)" + (" FOR UPDATE OF a" * lock)
    row = await connection.fetchrow(query, agent_id, partner_id)
    if row is None:
        raise not_found("agent")
    return Listing(**row)


async def insert(connection: Connection, new: NewListing, partner_id: UUID | None) -> Listing:
    """Adds a draft. Raises Problem 409 for a taken slug, 422 for an unknown industry, role or skill."""
    values: list[Any] = [new.slug, new.name, new.tagline, new.description, new.industry, new.job_role]
    values += [new.monthly_price_minor, new.currency, new.trial_days, partner_id]
    try:
        made = await connection.fetchval(_INSERT, *values)
    except asyncpg.UniqueViolationError:
        raise conflict("slug-taken", "there is an agent with this slug") from None
    except asyncpg.NotNullViolationError as error:
        raise _unknown(error) from None
    await _set_skills(connection, made, new.skills)
    return await fetch(connection, made, partner_id)


async def update(
    connection: Connection, agent_id: UUID, partner_id: UUID | None, version: int, patch: ListingPatch
) -> Listing:
    """Changes a draft or a published agent. Raises Problem 404, 409 in other states, 412, 422."""
    before = await fetch(connection, agent_id, partner_id, lock=True)
    if before.version != version:
        raise stale()
    if before.listing not in ("draft", "published"):
        raise conflict("not-editable", f"an agent that is {before.listing.replace('_', ' ')} cannot be edited")
    values: list[Any] = [patch.name, patch.tagline, patch.description, patch.industry, patch.job_role]
    values += [patch.monthly_price_minor, patch.trial_days]
    try:
        await connection.execute(_UPDATE, agent_id, *values)
    except asyncpg.NotNullViolationError as error:
        raise _unknown(error) from None
    except asyncpg.CheckViolationError as error:
        raise conflict("industry-stays", str(error)) from None
    if patch.skills is not None:
        await connection.execute("DELETE FROM agent_skill WHERE agent_id = $1", agent_id)
        await _set_skills(connection, agent_id, patch.skills)
    if before.listing == "published":
        await _expect_ready(connection, agent_id)
    return await fetch(connection, agent_id, partner_id)


async def set_availability(connection: Connection, agent_id: UUID, partner_id: UUID | None, word: str) -> Listing:
    """Says whether an agent takes work. Raises Problem 404, and 409 for a retired one."""
    before = await fetch(connection, agent_id, partner_id, lock=True)
    if before.listing == "retired":
        raise conflict("retired", "a retired agent takes no work")
    statement = "UPDATE agent SET availability = $2, version = version + 1 WHERE id = $1"
    await connection.execute(statement, agent_id, word)
    return await fetch(connection, agent_id, partner_id)


async def move(
    connection: Connection, agent_id: UUID, partner_id: UUID | None, verb: str, note: str | None = None
) -> Listing:
    """Submits, publishes, rejects or retires. Raises Problem 404, and 409 from a state that does not allow it."""
    before = await fetch(connection, agent_id, partner_id, lock=True)
    if verb in ("submit", "publish"):
        await _expect_ready(connection, agent_id)
    if not await connection.fetchval(_MOVES[verb], agent_id, note or None):
        raise conflict("illegal-transition", f"{verb} is not possible for an agent that is {before.listing}")
    return await fetch(connection, agent_id, partner_id)


async def _expect_ready(connection: Connection, agent_id: UUID) -> None:
    row = await connection.fetchrow(_READY, agent_id)
    if not row["role"]:
        raise conflict("role-not-certified", "its job role is not certified")
    if not (row["skill"] and row["skills"]):
        raise conflict("skill-not-certified", "it needs a primary skill, and all its skills certified")


async def _set_skills(connection: Connection, agent_id: UUID, skills: list[str]) -> None:
    linked = await connection.fetch(_SKILLS, agent_id, skills)
    if len(linked) != len(skills):
        raise invalid("body.skills", "names a skill twice, or one that does not exist")


def _unknown(error: asyncpg.NotNullViolationError) -> Exception:
    column = str(getattr(error, "column_name", "")).removesuffix("_id")
    return invalid(f"body.{column}", f"there is no such {column.replace('_', ' ')}")
