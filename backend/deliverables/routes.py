"""Deliverables: partners hand in, customers read, approve and reject."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from backend import audit, idempotency, outbox
from backend.database import Connection
from backend.deliverables import queries
from backend.deliverables.models import Decision, Deliverable, DeliverableCard, NewDeliverable
from backend.deps import Customer, Db, Deliverer
from backend.paging import Cursor, Limit
from backend.schema import Page

router = APIRouter(tags=["deliverables"])


@router.get("/hires/{hire_id}/deliverables")
async def list_deliverables(
    hire_id: UUID, caller: Customer, db: Db, cursor: Cursor = None, limit: Limit = 20
) -> Page[DeliverableCard]:
    """What a hire delivered, newest first; also after it ended."""
    return await db.read(lambda c: queries.fetch_page(c, hire_id, caller.customer_id, limit, cursor))


@router.get("/deliverables/{deliverable_id}")
async def read_deliverable(deliverable_id: UUID, caller: Customer, db: Db) -> Deliverable:
    """One deliverable with what it holds."""
    return await db.read(lambda c: queries.fetch(c, deliverable_id, caller.customer_id, None))


@router.post("/deliverables/{deliverable_id}/decision")
async def decide_deliverable(deliverable_id: UUID, decision: Decision, caller: Customer, db: Db) -> Deliverable:
    """Approves or rejects, once."""
    async with db.transaction() as connection:
        customer, account = caller.customer_id, caller.account_id
        decided = await queries.decide(connection, deliverable_id, customer, account, decision)
        action = f"deliverable.{decision.decision}"
        await audit.record(connection, caller, action, "deliverable", deliverable_id)
        await outbox.put(connection, outbox.NOTIFY, event=action, deliverable=str(deliverable_id))
    return decided


@router.post("/partner/hires/{hire_id}/deliverables", status_code=201, response_model=Deliverable)
async def create_deliverable(
    hire_id: UUID, new: NewDeliverable, request: Request, caller: Deliverer, db: Db, key: idempotency.Key = None
) -> Response:
    """Hands something in for a hire of the partner's agents; the same Idempotency-Key does so once."""

    async def work(connection: Connection) -> tuple[Deliverable, dict[str, str]]:
        made = await queries.insert(connection, hire_id, caller.partner_id, new)
        await audit.record(connection, caller, "deliverable.create", "deliverable", made.id)
        await outbox.put(connection, outbox.NOTIFY, event="deliverable.create", deliverable=str(made.id))
        return made, {}

    return await idempotency.once(request, db, caller, key, work)
