"""Agents in every state: partners make, edit and submit; operators publish, reject and retire."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from backend import audit, outbox
from backend.answers import CATALOGUE
from backend.database import Connection
from backend.deps import AgentReader, AgentWriter, Cached, Db, IfMatch, Operator, etag
from backend.listings import queries
from backend.listings.models import (
    AvailabilityChange,
    Listing,
    ListingPatch,
    NewListing,
    Rejection,
    Review,
    State,
)
from backend.paging import Cursor, Limit
from backend.schema import Page
from backend.security.callers import Caller

router = APIRouter(prefix="/partner/agents", tags=["partner"])
admin = APIRouter(prefix="/agents", tags=["operator"])


@router.get("")
async def list_listings(
    caller: AgentReader, db: Db, state: State | None = None, cursor: Cursor = None, limit: Limit = 20
) -> Page[Listing]:
    """The partner's agents, newest first."""
    return await db.read(lambda c: queries.fetch_page(c, caller.partner_id, state, limit, cursor))


@router.post("", status_code=201)
async def create_listing(new: NewListing, caller: AgentWriter, db: Db, response: Response) -> Listing:
    """Makes an agent, as a draft."""
    async with db.transaction() as connection:
        made = await queries.insert(connection, new, caller.partner_id)
        await audit.record(connection, caller, "agent.create", "agent", made.id)
    response.headers.update(etag(made.version) | {"Location": f"/api/v1/partner/agents/{made.id}"})
    return made


@router.get("/{agent_id}")
async def read_listing(agent_id: UUID, caller: AgentReader, db: Db, response: Response) -> Listing:
    """One agent of the partner's."""
    found = await db.read(lambda connection: queries.fetch(connection, agent_id, caller.partner_id))
    response.headers.update(etag(found.version))
    return found


@router.patch("/{agent_id}")
async def update_listing(
    agent_id: UUID,
    patch: ListingPatch,
    caller: AgentWriter,
    db: Db,
    cache: Cached,
    version: IfMatch,
    response: Response,
) -> Listing:
    """Changes what is given, if nobody else did since it was read."""
    async with db.transaction() as connection:
        changed = await queries.update(connection, agent_id, caller.partner_id, version, patch)
        await _note(connection, caller, "agent.update", changed, fields=sorted(patch.model_fields_set))
    return await _shown(changed, cache, response)


@router.post("/{agent_id}/submit")
async def submit_listing(agent_id: UUID, caller: AgentWriter, db: Db, response: Response) -> Listing:
    """Hands a draft to the operators. It needs a certified role, and certified skills with a primary one."""
    async with db.transaction() as connection:
        changed = await queries.move(connection, agent_id, caller.partner_id, "submit")
        await audit.record(connection, caller, "agent.submit", "agent", agent_id)
    response.headers.update(etag(changed.version))
    return changed


@router.put("/{agent_id}/availability")
async def set_availability(
    agent_id: UUID, change: AvailabilityChange, caller: AgentWriter, db: Db, cache: Cached, response: Response
) -> Listing:
    """Says whether the agent takes work now."""
    async with db.transaction() as connection:
        word = change.availability
        changed = await queries.set_availability(connection, agent_id, caller.partner_id, word)
        await _note(connection, caller, "agent.availability", changed, availability=word)
    return await _shown(changed, cache, response)


@admin.get("")
async def list_all_listings(
    caller: Operator, db: Db, state: State | None = None, cursor: Cursor = None, limit: Limit = 20
) -> Page[Listing]:
    """Everybody's agents, newest first: to find one that must be retired."""
    return await db.read(lambda c: queries.fetch_page(c, None, state, limit, cursor))


@admin.post("/{agent_id}/publish")
async def publish_listing(
    agent_id: UUID, review: Review, caller: Operator, db: Db, cache: Cached, response: Response
) -> Listing:
    """Puts a submitted agent into the catalogue."""
    return await _decide(agent_id, "publish", review.note, caller, db, cache, response)


@admin.post("/{agent_id}/reject")
async def reject_listing(
    agent_id: UUID, review: Rejection, caller: Operator, db: Db, cache: Cached, response: Response
) -> Listing:
    """Gives a submitted agent back to its partner, with the reason."""
    return await _decide(agent_id, "reject", review.note, caller, db, cache, response)


@admin.post("/{agent_id}/retire")
async def retire_listing(
    agent_id: UUID, review: Review, caller: Operator, db: Db, cache: Cached, response: Response
) -> Listing:
    """Takes an agent out of the catalogue for good; hires of it go on."""
    return await _decide(agent_id, "retire", review.note, caller, db, cache, response)


async def _decide(
    agent_id: UUID, verb: str, note: str, caller: Caller, db: Db, cache: Cached, response: Response
) -> Listing:
    async with db.transaction() as connection:
        changed = await queries.move(connection, agent_id, None, verb, note)
        await _note(connection, caller, f"agent.{verb}", changed)
        await outbox.put(connection, outbox.NOTIFY, event=f"agent.{verb}", agent=str(agent_id))
    return await _shown(changed, cache, response)


async def _note(connection: Connection, caller: Caller, action: str, changed: Listing, **detail: Any) -> None:
    await audit.record(connection, caller, action, "agent", changed.id, **detail)
    if changed.published_at is not None:
        await outbox.bump(connection, CATALOGUE)


async def _shown(changed: Listing, cache: Cached, response: Response) -> Listing:
    """After the commit: readers of the catalogue see the change."""
    if changed.published_at is not None:
        await cache.bump(CATALOGUE)
    response.headers.update(etag(changed.version))
    return changed
