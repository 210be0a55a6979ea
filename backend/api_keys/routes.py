"""API keys of a partner: list, make, revoke. Only people may, not keys."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from backend import audit
from backend.api_keys import queries
from backend.api_keys.models import ApiKey, MadeApiKey, NewApiKey
from backend.database import Connection
from backend.deps import Db, Held, Partner
from backend.schema import Page

router = APIRouter(prefix="/partner/api-keys", tags=["partner"])


@router.get("")
async def list_api_keys(caller: Partner, db: Db) -> Page[ApiKey]:
    """The partner's keys, newest first."""

    async def read(connection: Connection) -> Page[ApiKey]:
        return Page[ApiKey](items=await queries.fetch_all(connection, caller.partner_id))

    return await db.read(read)


@router.post("", status_code=201)
async def create_api_key(new: NewApiKey, caller: Partner, db: Db) -> MadeApiKey:
    """Makes a key; its secret is in this answer and nowhere else."""
    async with db.transaction() as connection:
        made = await queries.insert(connection, caller.partner_id, new)
        await audit.record(connection, caller, "api_key.create", "api_key", made.id, scopes=list(made.scopes))
    return made


@router.delete("/{key_id}", status_code=204)
async def revoke_api_key(key_id: UUID, caller: Partner, db: Db, held: Held) -> None:
    """Revokes a key; it passes nowhere a quarter of a minute later."""
    async with db.transaction() as connection:
        prefix = await queries.revoke(connection, caller.partner_id, key_id)
        await audit.record(connection, caller, "api_key.revoke", "api_key", key_id)
    held.callers.forget(f"key:{prefix}")
