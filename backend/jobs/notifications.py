"""Notifications: who is to be told of an event, and the adapter that tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from backend import logs
from backend.database import Connection

CUSTOMER, PARTNER = "customer", "partner"
AUDIENCES: dict[str, tuple[str, ...]] = {
    "hire.start": (PARTNER,),
    "hire.convert": (PARTNER,),
    "hire.pause": (PARTNER,),
    "hire.resume": (PARTNER,),
    "hire.cancel": (PARTNER,),
    "hire.remind": (CUSTOMER,),
    "hire.expire": (CUSTOMER, PARTNER),
    "hire.renew": (CUSTOMER, PARTNER),
    "hire.end": (CUSTOMER, PARTNER),
    "deliverable.create": (CUSTOMER,),
    "deliverable.approve": (PARTNER,),
    "deliverable.reject": (PARTNER,),
    "agent.publish": (PARTNER,),
    "agent.reject": (PARTNER,),
    "agent.retire": (PARTNER,),
}
"""Whoever did it needs no telling, except of what time did."""

_SUBJECTS = ("agent", "hire", "deliverable")  # in the order of the query's arguments
_RECIPIENTS = """
WITH deliverables AS (SELECT hire_id FROM deliverable WHERE id = $3::uuid),
hires AS (SELECT customer_id, agent_id FROM hire WHERE id IN ($2::uuid, (SELECT hire_id FROM deliverables))),
agents AS (SELECT partner_id FROM agent WHERE id IN ($1::uuid, (SELECT agent_id FROM hires)))
SELECT id FROM account WHERE status = 'active' AND kind = ANY($4)
  AND (customer_id IN (SELECT customer_id FROM hires) OR partner_id IN (SELECT partner_id FROM agents))
ORDER BY id
"""


@dataclass(frozen=True)
class Notification:
    """What happened to what, and the accounts to tell. `id` is the job's: a receiver knows repetitions by it."""

    id: int
    event: str
    subject: dict[str, str]
    recipients: list[str]


class Notifier(Protocol):
    """A channel. It may be asked twice for the same notification."""

    async def send(self, notification: Notification) -> None:
        """Tells the recipients; raises when it cannot."""


class LogNotifier:
    """The channel where there is no other: a log line that says who would be told what, by ids alone."""

    async def send(self, notification: Notification) -> None:
        """Writes the line."""
        fields: dict[str, Any] = {"id": notification.id, "event": notification.event, **notification.subject}
        words = f"notification {notification.event} to {len(notification.recipients)} accounts"
        logs.emit("INFO", words, notification=fields | {"recipients": notification.recipients})


async def address(connection: Connection, job_id: int, payload: dict[str, Any]) -> Notification:
    """The notification of an outbox row. Raises ValueError for an event that nobody is told of."""
    event = payload.get("event", "")
    if event not in AUDIENCES:
        raise ValueError(f"nobody is told of {event!r}")
    ids = [payload.get(name) for name in _SUBJECTS]
    subject: dict[str, str] = {name: value for name, value in zip(_SUBJECTS, ids, strict=True) if value}
    rows = await connection.fetch(_RECIPIENTS, *ids, list(AUDIENCES[event]))
    return Notification(job_id, event, subject, [str(row["id"]) for row in rows])
