"""Audit events: who did what to what, written in the transaction of the deed. Nobody can change one afterwards."""

from __future__ import annotations

import ipaddress
from typing import Any

from backend.context import current
from backend.database import Connection
from backend.security.callers import Caller

_INSERT = """
INSERT INTO audit_event (actor_id, actor_kind, action, entity, entity_id, outcome, request_id, ip, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


async def record(
    connection: Connection,
    caller: Caller,
    action: str,
    entity: str,
    entity_id: object,
    *,
    outcome: str = "done",
    **detail: Any,
) -> None:
    """Adds an event. `detail` holds words and numbers, never a secret or a person's data."""
    request = current()
    values = (caller.id, caller.kind, action, entity, str(entity_id), outcome, request.request_id, _ip(request.ip))
    await connection.execute(_INSERT, *values, detail)


def _ip(text: str) -> Any:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None  # X-Forwarded-For is what clients made of it
