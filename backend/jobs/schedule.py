"""The schedule: which job is due when, and the one worker that puts it into the outbox."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backend import logs, outbox
from backend.jobs import runs
from backend.jobs.queue import Queue
from backend.pool import Database

_LEADER = "plant:jobs:leader"
_LEASE_MS = 5_000
_SWEEP_S = 5.0
_QUIET_S = 60.0
_FEW = 100

_LEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
_RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


@dataclass(frozen=True)
class Every:
    """A job that is due at every multiple of its period (seconds since 1970, so at whole hours and minutes)."""

    name: str
    period_s: int

    def slot(self, now: float) -> str:
        """The latest time at which it was due, as the text that makes the run unique."""
        return datetime.fromtimestamp(now - now % self.period_s, UTC).isoformat(timespec="seconds")


SCHEDULE = (
    Every("trial_expire", 300),
    Every("trial_reminder", 3600),
    Every("period_renew", 3600),
    Every("purge", 3600),
)
"""Each does whatever is due by now, so a slot that was missed while no worker ran needs no run of its own."""


class Leader:
    """Schedules while it holds the lease in Redis, which saves work; that a slot runs once is the outbox's key."""

    def __init__(self, database: Database, queues: Sequence[Queue], name: str) -> None:
        self.database, self.queues, self.name = database, queues, name
        client: Any = queues[0].client
        self._lease, self._release = client.register_script(_LEASE), client.register_script(_RELEASE)
        self._leads = False
        self._put: dict[str, str] = {}
        self._swept = time.monotonic()

    async def turn(self) -> bool:
        """Renews or takes the lease, and does what a leader does."""
        led, self._leads = self._leads, bool(await self._lease(keys=[_LEADER], args=[self.name, _LEASE_MS]))
        if not self._leads:
            return False
        if not led:
            logs.emit("INFO", "worker leads the schedule", worker=self.name)
        due = {every.name: every.slot(time.time()) for every in SCHEDULE}
        new = {name: slot for name, slot in due.items() if self._put.get(name) != slot}
        if new:
            async with self.database.transaction() as connection:
                for name, slot in new.items():
                    await outbox.put_once(connection, name, slot)
            self._put = due
        if time.monotonic() - self._swept > _SWEEP_S:
            await self._sweep()
            self._swept = time.monotonic()
        return False

    async def resign(self) -> None:
        """Lets another worker lead at once."""
        await self._release(keys=[_LEADER], args=[self.name])

    async def _sweep(self) -> None:
        """Publishes again what Redis lost without losing all: a failover forgets the last writes (backend 2.5).

        Jobs of a long queue are quiet because they wait, so only a short queue is swept, and a few jobs at a time.
        """
        for queue in self.queues:
            await queue.tidy()
            if await queue.length() > _FEW:
                continue
            async with self.database.connection() as connection:
                count = await runs.unpublish(connection, urgent=queue.urgent, quiet_s=_QUIET_S, limit=_FEW)
            if count:
                logs.emit("WARNING", f"{count} jobs of {queue.name} were lost: published again", queue=queue.name)
