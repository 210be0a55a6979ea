"""Hires: customers try, convert, pause, resume and cancel; partners look on."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from backend import audit, idempotency, outbox
from backend.database import Connection
from backend.deps import AgentReader, Customer, Db, HireReader, IfMatch, etag
from backend.hires import metrics, queries
from backend.hires.models import Cancellation, Conversion, Hire, Metrics, NewHire, PartnerHire, State
from backend.paging import Cursor, Limit
from backend.schema import Page
from backend.security.callers import Caller

router = APIRouter(prefix="/hires", tags=["hires"])
partner = APIRouter(prefix="/partner", tags=["partner"])


@router.post("", status_code=201, response_model=Hire)
async def start_hire(new: NewHire, request: Request, caller: Customer, db: Db, key: idempotency.Key = None) -> Response:
    """Begins a trial; the same Idempotency-Key gives the same hire."""

    async def work(connection: Connection) -> tuple[Hire, dict[str, str]]:
        hire = await queries.start(connection, caller.customer_id, new.agent_slug)
        await _note(connection, caller, "start", hire)
        return hire, etag(hire.version) | {"Location": f"/api/v1/hires/{hire.id}"}

    return await idempotency.once(request, db, caller, key, work)


@router.get("")
async def list_hires(
    caller: Customer, db: Db, state: State | None = None, cursor: Cursor = None, limit: Limit = 20
) -> Page[Hire]:
    """The customer's hires, newest first."""
    return await db.read(lambda c: queries.fetch_page(c, caller.customer_id, state, limit, cursor))


@router.get("/{hire_id}")
async def read_hire(hire_id: UUID, caller: Customer, db: Db, response: Response) -> Hire:
    """One hire, with what can be done with it."""
    hire = await db.read(lambda connection: queries.fetch(connection, hire_id, caller.customer_id))
    response.headers.update(etag(hire.version))
    return hire


@router.post("/{hire_id}/convert")
async def convert_hire(
    hire_id: UUID, body: Conversion, caller: Customer, db: Db, version: IfMatch, response: Response
) -> Hire:
    """Goes on after the trial; the period begins where the trial ends."""
    return await _move(db, response, caller, hire_id, version, "convert", body.plan)


@router.post("/{hire_id}/pause")
async def pause_hire(hire_id: UUID, caller: Customer, db: Db, version: IfMatch, response: Response) -> Hire:
    """Has the agent rest."""
    return await _move(db, response, caller, hire_id, version, "pause")


@router.post("/{hire_id}/resume")
async def resume_hire(hire_id: UUID, caller: Customer, db: Db, version: IfMatch, response: Response) -> Hire:
    """Has the agent work again."""
    return await _move(db, response, caller, hire_id, version, "resume")


@router.post("/{hire_id}/cancel")
async def cancel_hire(
    hire_id: UUID, body: Cancellation, caller: Customer, db: Db, version: IfMatch, response: Response
) -> Hire:
    """Ends it now or with the period; a trial ends now. What was delivered stays the customer's."""
    verb = "cancel later" if body.at_period_end else "cancel"
    return await _move(db, response, caller, hire_id, version, verb, body.reason or None)


@partner.get("/hires")
async def list_partner_hires(
    caller: HireReader, db: Db, state: State | None = None, cursor: Cursor = None, limit: Limit = 20
) -> Page[PartnerHire]:
    """Hires of the partner's agents, newest first."""
    return await db.read(lambda c: queries.fetch_partner_page(c, caller.partner_id, state, limit, cursor))


@partner.get("/agents/{agent_id}/metrics")
async def read_metrics(agent_id: UUID, caller: AgentReader, db: Db) -> Metrics:
    """Thirty days of one agent."""
    return await db.read(lambda connection: metrics.fetch(connection, agent_id, caller.partner_id))


async def _move(
    db: Db, response: Response, caller: Caller, hire_id: UUID, version: int, verb: str, *values: object
) -> Hire:
    async with db.transaction() as connection:
        hire = await queries.move(connection, hire_id, caller.customer_id, version, verb, *values)
        await _note(connection, caller, verb.split()[0], hire)
    response.headers.update(etag(hire.version))
    return hire


async def _note(connection: Connection, caller: Caller, verb: str, hire: Hire) -> None:
    await audit.record(connection, caller, f"hire.{verb}", "hire", hire.id, state=hire.state)
    await outbox.put(connection, outbox.NOTIFY, event=f"hire.{verb}", hire=str(hire.id))
