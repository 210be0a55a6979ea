"""The signed-in account: read, change, close."""

from __future__ import annotations

from fastapi import APIRouter, Response

from backend import audit
from backend.deps import Account, Customer, Db, Held, IfMatch, etag
from backend.me import queries
from backend.me.models import Me, MePatch

router = APIRouter(tags=["account"])


@router.get("/me")
async def read_me(caller: Account, db: Db, response: Response) -> Me:
    """Who is signed in."""
    me = await db.read(lambda connection: queries.fetch(connection, caller.account_id))
    response.headers.update(etag(me.version))
    return me


@router.patch("/me")
async def update_me(patch: MePatch, caller: Account, db: Db, version: IfMatch, response: Response) -> Me:
    """Changes what is given."""
    async with db.transaction() as connection:
        me = await queries.update(connection, caller.account_id, caller.customer_id, version, patch)
    response.headers.update(etag(me.version))
    return me


@router.delete("/me", status_code=204)
async def close_me(caller: Customer, db: Db, held: Held) -> None:
    """Closes a customer's account: personal data are overwritten at once, open hires end."""
    async with db.transaction() as connection:
        await queries.close(connection, caller.account_id, caller.customer_id)
        await audit.record(connection, caller, "account.close", "account", caller.account_id)
    held.callers.forget(f"account:{caller.account_id}")
