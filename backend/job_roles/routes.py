"""Job roles: everybody reads the certified ones, operators make, change and certify."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from backend import audit, outbox
from backend.answers import CATALOGUE, public
from backend.database import Connection
from backend.deps import Cached, Db, Operator
from backend.job_roles import queries
from backend.job_roles.models import JobRole, JobRolePatch, NewJobRole
from backend.schema import Page, Slug

router = APIRouter(tags=["catalogue"])
admin = APIRouter(tags=["operator"])


@router.get("/job-roles", response_model=Page[JobRole])
async def list_job_roles(request: Request, db: Db, cache: Cached, industry: Slug | None = None) -> Response:
    """The certified job roles."""

    async def build(connection: Connection) -> Page[JobRole]:
        return Page[JobRole](items=await queries.fetch_certified(connection, industry))

    return await public(request, cache, f"job-roles?{industry}", lambda: db.read(build))


@router.get("/job-roles/{slug}", response_model=JobRole)
async def read_job_role(request: Request, slug: Slug, db: Db, cache: Cached) -> Response:
    """One certified job role."""

    async def build(connection: Connection) -> JobRole:
        return await queries.fetch(connection, slug, certified=True)

    return await public(request, cache, f"job-roles/{slug}", lambda: db.read(build))


@admin.post("/job-roles", status_code=201)
async def create_job_role(new: NewJobRole, caller: Operator, db: Db) -> JobRole:
    """Adds a job role as a draft."""
    async with db.transaction() as connection:
        made = await queries.insert(connection, new)
        await audit.record(connection, caller, "job_role.create", "job_role", new.slug)
    return made


@admin.patch("/job-roles/{slug}")
async def update_job_role(slug: Slug, patch: JobRolePatch, caller: Operator, db: Db, cache: Cached) -> JobRole:
    """Changes what is given."""
    async with db.transaction() as connection:
        changed = await queries.update(connection, slug, patch)
        fields = sorted(patch.model_fields_set)
        await audit.record(connection, caller, "job_role.update", "job_role", slug, fields=fields)
        await outbox.bump(connection, CATALOGUE)
    await cache.bump(CATALOGUE)
    return changed


@admin.post("/job-roles/{slug}/certify")
async def certify_job_role(slug: Slug, caller: Operator, db: Db, cache: Cached) -> JobRole:
    """Makes a draft a certified job role."""
    async with db.transaction() as connection:
        certified = await queries.certify(connection, slug)
        await audit.record(connection, caller, "job_role.certify", "job_role", slug)
        await outbox.bump(connection, CATALOGUE)
    await cache.bump(CATALOGUE)
    return certified
