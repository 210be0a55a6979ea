"""What time does to hires: trials end, reminders go out, periods renew or end. Each step does at most `limit` hires."""

from __future__ import annotations

from typing import Any

from backend import audit, outbox
from backend.database import Connection
from backend.security.callers import Caller

_JOB = Caller("job", "job", 0)

_EXPIRE = """
UPDATE hire SET state = 'expired', ended_at = now(), end_reason = 'trial ended', version = version + 1
WHERE id IN (SELECT id FROM hire WHERE state = 'trial' AND trial_ends_at <= now()
             ORDER BY trial_ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, state, 'hire.expire' AS event
"""
# A trial of seven days is reminded of after five, and on its seventh day (backend 4.1). A late job sends one, not two.
_REMIND = """
WITH due AS (
    SELECT id, CASE WHEN trial_ends_at <= now() + interval '1 day' THEN 2 ELSE 1 END AS reminder
    FROM hire WHERE state = 'trial' AND trial_ends_at > now() AND trial_ends_at <= now() + interval '2 days'
      AND reminders < CASE WHEN trial_ends_at <= now() + interval '1 day' THEN 2 ELSE 1 END
    ORDER BY trial_ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)
UPDATE hire SET reminders = due.reminder FROM due WHERE hire.id = due.id RETURNING hire.id
"""
# A paused hire does not renew; it ends with its period when that was asked for.
_RENEW = """
UPDATE hire SET version = version + 1,
    state = CASE WHEN cancel_at_period_end THEN 'cancelled' ELSE state END,
    ended_at = CASE WHEN cancel_at_period_end THEN now() END,
    period_ends_at = CASE WHEN cancel_at_period_end THEN period_ends_at ELSE period_ends_at +
        CASE plan WHEN 'monthly' THEN interval '1 month' ELSE interval '3 months' END END
WHERE id IN (SELECT id FROM hire
             WHERE (state = 'active' OR state = 'paused' AND cancel_at_period_end) AND period_ends_at <= now()
             ORDER BY period_ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, state, CASE WHEN cancel_at_period_end THEN 'hire.end' ELSE 'hire.renew' END AS event
"""


async def expire_trials(connection: Connection, limit: int) -> int:
    """Ends trials that are over. Hires that somebody holds just now are left for the next run."""
    return await _note(connection, await connection.fetch(_EXPIRE, limit))


async def remind_of_trials(connection: Connection, limit: int) -> int:
    """Has customers reminded two days before a trial's end, and on its last day."""
    rows = await connection.fetch(_REMIND, limit)
    for row in rows:
        await outbox.put(connection, outbox.NOTIFY, event="hire.remind", hire=str(row["id"]))
    return len(rows)


async def renew_periods(connection: Connection, limit: int) -> int:
    """Begins the next period of hires whose period is over, or ends those that were cancelled at its end."""
    return await _note(connection, await connection.fetch(_RENEW, limit))


async def _note(connection: Connection, rows: list[Any]) -> int:
    for row in rows:
        await audit.record(connection, _JOB, row["event"], "hire", row["id"], state=row["state"])
        await outbox.put(connection, outbox.NOTIFY, event=row["event"], hire=str(row["id"]))
    return len(rows)
