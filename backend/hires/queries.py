"""SQL of hires: the state machine trial -> active <-> paused -> cancelled, and trial -> cancelled or expired."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from backend import paging
from backend.database import Connection
from backend.deps import stale
from backend.errors import Problem, conflict, not_found
from backend.hires.models import ACTIONS, Hire, PartnerHire
from backend.schema import Page

_SELECT = """
SELECT h.id, h.state, h.plan, h.price_minor, h.currency, h.trial_ends_at, h.period_ends_at, h.cancel_at_period_end,
       h.ended_at, h.end_reason, h.created_at, h.version, a.slug AS agent_slug, a.name AS agent_name,
       CASE WHEN h.state = 'trial' THEN greatest(0, ceil(extract(epoch FROM h.trial_ends_at - now()) / 86400))::int
            WHEN h.state IN ('active', 'paused')
            THEN greatest(0, ceil(extract(epoch FROM h.period_ends_at - now()) / 86400))::int END AS days_left,
       (SELECT count(*) FROM deliverable d WHERE d.hire_id = h.id AND d.review_state = 'pending')
           AS pending_deliverables
FROM hire h JOIN agent a ON a.id = h.agent_id
"""
_PARTNER = """
SELECT h.id, h.state, h.plan, h.price_minor, h.currency, h.trial_ends_at, h.period_ends_at, h.ended_at, h.created_at,
       a.slug AS agent_slug, a.name AS agent_name, c.business_name AS customer,
       (SELECT count(*) FROM deliverable d WHERE d.hire_id = h.id) AS deliverables,
       (SELECT count(*) FROM deliverable d WHERE d.hire_id = h.id AND d.review_state = 'approved') AS approved
FROM hire h JOIN agent a ON a.id = h.agent_id JOIN customer c ON c.id = h.customer_id
"""
_AFTER = (
    "AND ($2::text IS NULL OR h.state = $2) "
    "AND ($3::timestamptz IS NULL OR (h.created_at, h.id) < ($3, $4)) ORDER BY h.created_at DESC, h.id DESC LIMIT $5"
)
_AGENT = """
SELECT id, availability, monthly_price_minor, currency, trial_days FROM agent
WHERE slug = $1 AND listing = 'published'
"""
_START = """
INSERT INTO hire (customer_id, agent_id, price_minor, currency, trial_ends_at)
VALUES ($1, $2, $3, $4, now() + make_interval(days => $5)) RETURNING id
"""
_MOVES = {
    "convert": "state = 'active', plan = $2, period_ends_at = greatest(now(), trial_ends_at) + "
    "CASE $2 WHEN 'monthly' THEN interval '1 month' ELSE interval '3 months' END",
    "pause": "state = 'paused'",
    "resume": "state = 'active'",
    "cancel": "state = 'cancelled', ended_at = now(), end_reason = $2",
    "cancel later": "cancel_at_period_end = true, end_reason = $2",
}


async def fetch_page(
    connection: Connection, customer_id: UUID | None, state: str | None, limit: int, cursor: str | None
) -> Page[Hire]:
    """A customer's hires, newest first."""
    rows, following = await _page(connection, f"{_SELECT} WHERE h.customer_id = $1", customer_id, state, limit, cursor)
    return Page[Hire](items=[_hire(row) for row in rows], next_cursor=following)


async def fetch_partner_page(
    connection: Connection, partner_id: UUID | None, state: str | None, limit: int, cursor: str | None
) -> Page[PartnerHire]:
    """Hires of a partner's agents, newest first."""
    rows, following = await _page(connection, f"{_PARTNER} WHERE a.partner_id = $1", partner_id, state, limit, cursor)
    return Page[PartnerHire](items=[PartnerHire(**_nested(row)) for row in rows], next_cursor=following)


async def _page(
    connection: Connection, select: str, owner: UUID | None, state: str | None, limit: int, cursor: str | None
) -> tuple[list[Any], str | None]:
    digest = paging.digest("hires", owner, state)
    at, last = paging.typed(paging.unpack(cursor, 2, digest), datetime.fromisoformat, UUID)
    rows = await connection.fetch(f"{select} {_AFTER}", owner, state, at, last, limit + 1)
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], paging.pack([rows[limit - 1]["created_at"], rows[limit - 1]["id"]], digest)


async def fetch(connection: Connection, hire_id: UUID, customer_id: UUID | None) -> Hire:
    """One hire of a customer's. Raises Problem 404."""
    row = await connection.fetchrow(f"{_SELECT} WHERE h.id = $1 AND h.customer_id = $2", hire_id, customer_id)
    if row is None:
        raise not_found("hire")
    return _hire(row)


async def start(connection: Connection, customer_id: UUID | None, slug: str) -> Hire:
    """Begins a trial. Raises Problem 404, and 409 for an agent that is away, or hired by this customer already."""
    agent = await connection.fetchrow(_AGENT, slug)
    if agent is None:
        raise not_found("agent")
    if agent["availability"] == "offline":
        raise conflict("agent-offline", "this agent takes no work now")
    if agent["trial_days"] == 0:
        raise conflict("no-trial", "this agent offers no trial")
    values = (agent["id"], agent["monthly_price_minor"], agent["currency"], agent["trial_days"])
    try:
        made = await connection.fetchval(_START, customer_id, *values)
    except asyncpg.UniqueViolationError:
        raise conflict("open-hire", "this agent is hired already") from None
    await connection.execute("UPDATE agent SET hires_total = hires_total + 1 WHERE id = $1", agent["id"])
    return await fetch(connection, made, customer_id)


async def move(
    connection: Connection, hire_id: UUID, customer_id: UUID | None, version: int, verb: str, *values: object
) -> Hire:
    """Makes one step of the state machine. Raises Problem 404, 409 where the state forbids it, 412."""
    locked = "SELECT version FROM hire WHERE id = $1 AND customer_id = $2 FOR UPDATE"
    if await connection.fetchval(locked, hire_id, customer_id) is None:
        raise not_found("hire")
    before = await fetch(connection, hire_id, customer_id)
    if before.version != version:
        raise stale()
    if verb.split()[0] not in before.allowed_actions:
        raise _illegal(verb, before.state)
    if verb == "cancel later" and before.state == "trial":
        verb = "cancel"
    if verb == "convert" and before.days_left == 0:
        raise conflict("trial-over", "the trial has ended")
    await connection.execute(f"UPDATE hire SET {_MOVES[verb]}, version = version + 1 WHERE id = $1", hire_id, *values)
    return await fetch(connection, hire_id, customer_id)


def _illegal(verb: str, state: str) -> Problem:
    return conflict("illegal-transition", f"{verb.split()[0]} is not possible for a hire that is {state}")


def _hire(row: Any) -> Hire:
    return Hire(**_nested(row), allowed_actions=ACTIONS[row["state"]])


def _nested(row: Any) -> dict[str, Any]:
    found = dict(row)
    found["agent"] = {"slug": found.pop("agent_slug"), "name": found.pop("agent_name")}
    return found
