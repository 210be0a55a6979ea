"""SQL of deliverables."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

from backend import paging
from backend.database import Connection
from backend.deliverables.models import Decision, Deliverable, DeliverableCard, NewDeliverable
from backend.errors import conflict, not_found
from backend.schema import Page

_COLUMNS = "d.id, d.hire_id, d.title, d.kind, d.bytes, d.review_state, d.review_note, d.reviewed_at, d.created_at"
_LIST = f"""
SELECT {_COLUMNS} FROM deliverable d
WHERE d.hire_id = $1 AND ($2::timestamptz IS NULL OR (d.created_at, d.id) < ($2, $3))
ORDER BY d.created_at DESC, d.id DESC LIMIT $4
"""
_ONE = f"""
SELECT {_COLUMNS}, d.body, encode(d.sha256, 'hex') AS sha256
FROM deliverable d JOIN hire h ON h.id = d.hire_id JOIN agent a ON a.id = h.agent_id
WHERE d.id = $1 AND (h.customer_id = $2 OR a.partner_id = $3)
"""
_OPEN = """
SELECT h.state FROM hire h JOIN agent a ON a.id = h.agent_id WHERE h.id = $1 AND a.partner_id = $2 FOR SHARE OF h
"""
_INSERT = """
INSERT INTO deliverable (hire_id, title, kind, body, bytes, sha256) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
"""
_DECIDE = """
UPDATE deliverable d SET review_state = $3, review_note = $4, reviewed_by = $5, reviewed_at = now()
FROM hire h WHERE d.id = $1 AND h.id = d.hire_id AND h.customer_id = $2 AND d.review_state = 'pending' RETURNING d.id
"""


async def fetch_page(
    connection: Connection, hire_id: UUID, customer_id: UUID | None, limit: int, cursor: str | None
) -> Page[DeliverableCard]:
    """What a customer's hire delivered, newest first. Raises Problem 404 for a hire of somebody else."""
    owned = "SELECT EXISTS (SELECT FROM hire WHERE id = $1 AND customer_id = $2)"
    if not await connection.fetchval(owned, hire_id, customer_id):
        raise not_found("hire")
    digest = paging.digest("deliverables", hire_id)
    at, last = paging.typed(paging.unpack(cursor, 2, digest), datetime.fromisoformat, UUID)
    rows = await connection.fetch(_LIST, hire_id, at, last, limit + 1)
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = paging.pack([rows[-1]["created_at"], rows[-1]["id"]], digest)
    return Page[DeliverableCard](items=[DeliverableCard(**row) for row in rows], next_cursor=following)


async def fetch(
    connection: Connection, deliverable_id: UUID, customer_id: UUID | None, partner_id: UUID | None
) -> Deliverable:
    """One deliverable of a customer's hire or of a partner's agent. Raises Problem 404."""
    row = await connection.fetchrow(_ONE, deliverable_id, customer_id, partner_id)
    if row is None:
        raise not_found("deliverable")
    return Deliverable(**row)


async def insert(connection: Connection, hire_id: UUID, partner_id: UUID | None, new: NewDeliverable) -> Deliverable:
    """Adds one to an open hire. Raises Problem 404 for a hire of another partner's agent, 409 for one that ended."""
    state = await connection.fetchval(_OPEN, hire_id, partner_id)
    if state is None:
        raise not_found("hire")
    if state not in ("trial", "active"):
        raise conflict("hire-not-open", f"nothing can be delivered to a hire that is {state}")
    body = new.body.encode()
    values = (new.title, new.kind, new.body, len(body), hashlib.sha256(body).digest())
    made = await connection.fetchval(_INSERT, hire_id, *values)
    return await fetch(connection, made, None, partner_id)


async def decide(
    connection: Connection, deliverable_id: UUID, customer_id: UUID | None, account_id: UUID | None, word: Decision
) -> Deliverable:
    """Approves or rejects. Raises Problem 404, and 409 when it was decided before."""
    state = {"approve": "approved", "reject": "rejected"}[word.decision]
    done = await connection.fetchval(_DECIDE, deliverable_id, customer_id, state, word.note or None, account_id)
    found = await fetch(connection, deliverable_id, customer_id, None)
    if done is None:
        raise conflict("already-decided", f"it is {found.review_state} already")
    return found
