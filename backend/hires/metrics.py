"""SQL of an agent's last thirty days, for the partner's charts."""

from __future__ import annotations

from uuid import UUID

from backend.database import Connection
from backend.errors import not_found
from backend.hires.models import Day, Metrics

_TOTALS = """
SELECT a.hires_total, a.rating_avg,
       (SELECT count(*) FROM hire h WHERE h.agent_id = a.id AND h.state IN ('trial', 'active', 'paused')) AS open,
       (SELECT round(avg((h.plan IS NOT NULL)::int), 3) FROM hire h WHERE h.agent_id = a.id AND h.state <> 'trial')
           AS conversion_rate,
       (SELECT round(avg((d.review_state = 'approved')::int), 3) FROM deliverable d JOIN hire h ON h.id = d.hire_id
        WHERE h.agent_id = a.id AND d.review_state <> 'pending') AS acceptance_rate
FROM agent a WHERE a.id = $1 AND a.partner_id = $2
"""
_DAYS = """
SELECT to_char(day, 'YYYY-MM-DD') AS day,
       (SELECT count(*) FROM hire h WHERE h.agent_id = $1 AND h.created_at >= day
          AND h.created_at < day + interval '1 day') AS started,
       (SELECT count(*) FROM audit_event e JOIN hire h ON h.id::text = e.entity_id WHERE h.agent_id = $1
          AND e.entity = 'hire' AND e.action = 'hire.convert' AND e.at >= day AND e.at < day + interval '1 day')
           AS converted,
       (SELECT count(*) FROM hire h WHERE h.agent_id = $1 AND h.ended_at >= day
          AND h.ended_at < day + interval '1 day') AS ended,
       (SELECT count(*) FROM deliverable d JOIN hire h ON h.id = d.hire_id WHERE h.agent_id = $1
          AND d.created_at >= day AND d.created_at < day + interval '1 day') AS deliverables
FROM generate_series(date_trunc('day', now()) - interval '29 days', date_trunc('day', now()), interval '1 day') day
ORDER BY day
"""


async def fetch(connection: Connection, agent_id: UUID, partner_id: UUID | None) -> Metrics:
    """Thirty days, today the last one (UTC). Raises Problem 404 for an agent of somebody else."""
    totals = await connection.fetchrow(_TOTALS, agent_id, partner_id)
    if totals is None:
        raise not_found("agent")
    days = [Day(**row) for row in await connection.fetch(_DAYS, agent_id)]
    return Metrics(**totals, days=days)
