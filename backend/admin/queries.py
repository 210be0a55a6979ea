"""SQL of the audit trail."""

from __future__ import annotations

from backend import paging
from backend.admin.models import AuditEvent
from backend.database import Connection
from backend.schema import Page

_EVENTS = """
SELECT id, at, actor_id, actor_kind, action, entity, entity_id, outcome, request_id, host(ip) AS ip, detail
FROM audit_event
WHERE ($1::text IS NULL OR entity = $1) AND ($2::text IS NULL OR entity_id = $2) AND ($3::text IS NULL OR action = $3)
  AND ($4::bigint IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5
"""


async def fetch_events(
    connection: Connection,
    entity: str | None,
    entity_id: str | None,
    action: str | None,
    limit: int,
    cursor: str | None,
) -> Page[AuditEvent]:
    """Audit events, newest first."""
    digest = paging.digest("audit", entity, entity_id, action)
    (last,) = paging.typed(paging.unpack(cursor, 1, digest), paging.bigint)
    rows = await connection.fetch(_EVENTS, entity, entity_id, action, last, limit + 1)
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = paging.pack([rows[-1]["id"]], digest)
    return Page[AuditEvent](items=[AuditEvent(**row) for row in rows], next_cursor=following)
