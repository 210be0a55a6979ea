"""Skills: everybody reads the certified ones, operators make, change and certify."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from backend import audit, outbox
from backend.answers import CATALOGUE, public
from backend.database import Connection
from backend.deps import Cached, Db, Operator
from backend.schema import Page, Slug
from backend.skills import queries
from backend.skills.models import Category, NewSkill, Skill, SkillPatch

router = APIRouter(tags=["catalogue"])
admin = APIRouter(tags=["operator"])


@router.get("/skills", response_model=Page[Skill])
async def list_skills(request: Request, db: Db, cache: Cached, category: Category | None = None) -> Response:
    """The certified skills."""

    async def build(connection: Connection) -> Page[Skill]:
        return Page[Skill](items=await queries.fetch_certified(connection, category))

    return await public(request, cache, f"skills?{category}", lambda: db.read(build))


@admin.post("/skills", status_code=201)
async def create_skill(new: NewSkill, caller: Operator, db: Db) -> Skill:
    """Adds a skill as a draft."""
    async with db.transaction() as connection:
        made = await queries.insert(connection, new)
        await audit.record(connection, caller, "skill.create", "skill", new.slug)
    return made


@admin.patch("/skills/{slug}")
async def update_skill(slug: Slug, patch: SkillPatch, caller: Operator, db: Db, cache: Cached) -> Skill:
    """Changes what is given."""
    async with db.transaction() as connection:
        changed = await queries.update(connection, slug, patch)
        fields = sorted(patch.model_fields_set)
        await audit.record(connection, caller, "skill.update", "skill", slug, fields=fields)
        await outbox.bump(connection, CATALOGUE)
    await cache.bump(CATALOGUE)
    return changed


@admin.post("/skills/{slug}/certify")
async def certify_skill(slug: Slug, caller: Operator, db: Db, cache: Cached) -> Skill:
    """Makes a draft a certified skill."""
    async with db.transaction() as connection:
        certified = await queries.certify(connection, slug, caller.account_id)
        await audit.record(connection, caller, "skill.certify", "skill", slug)
        await outbox.bump(connection, CATALOGUE)
    await cache.bump(CATALOGUE)
    return certified
