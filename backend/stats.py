"""The line `runtime.stats` every STATS_PERIOD_S (30 s): what a process's pool, cache, limiter, queue and traces are at.

Log-based metrics read it, for what the platform cannot see (backend 2.7). Counts are those since the line before, so
that sums over processes and time are right; sizes are of the moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from backend import logs
from backend.cache import Cache
from backend.failures import message_of, reason_of
from backend.jobs.stats import queue_stats
from backend.pool import Database
from backend.ratelimit import Limiter
from backend.redis_store import Store
from backend.trace_export import Traces

MESSAGE = "runtime.stats"


class Stats:
    """Writes the line until it is cancelled."""

    def __init__(self, *, database: Database, store: Store, cache: Cache, limiter: Limiter, traces: Traces) -> None:
        self.database, self.store, self.cache, self.limiter, self.traces = database, store, cache, limiter, traces
        self._last: dict[str, int] = {}
        self._at = time.monotonic()

    async def run(self, period_s: float) -> None:
        """A line each period; none with 0."""
        while period_s:
            await asyncio.sleep(period_s)
            self.write(await queue(self.database))

    def write(self, queued: Mapping[str, object]) -> None:
        """One line now."""
        now = time.monotonic()
        fields = {"interval_s": round(now - self._at, 3), **self._sizes(), "queue": dict(queued)}
        self._at = now
        logs.emit("INFO", MESSAGE, **fields)

    def _sizes(self) -> dict[str, dict[str, int]]:
        pool, connections = self.database.pool, self.store.client.connection_pool
        counts = self.traces.counts
        sent = {"exported": counts.exported, "failed": counts.failed} if counts else {"exported": 0, "failed": 0}
        return {
            "pool": {"size": pool.get_size(), "idle": pool.get_idle_size(), "max": pool.get_max_size()}
            | self._since("pool", waits=self.database.waits),
            "redis": {"in_use": in_use(connections), "max": connections.max_connections}
            | self._since("redis", failures=self.store.failures),
            "cache": self._since("cache", hits=self.cache.hits, misses=self.cache.misses),
            "limiter": self._since("limiter", passed_open=self.limiter.passed_open),
            "traces": self._since("traces", **sent),
        }

    def _since(self, group: str, **counts: int) -> dict[str, int]:
        grown = {name: value - self._last.get(f"{group}.{name}", 0) for name, value in counts.items()}
        self._last |= {f"{group}.{name}": value for name, value in counts.items()}
        return grown


def in_use(connections: Any) -> int:
    """Connections of redis-py's pool that a command has now; the pool tells it by its own telemetry's labels."""
    counts: list[tuple[int, dict[str, Any]]] = connections.get_connection_count()
    return sum(count for count, labels in counts if "used" in map(str, labels.values()))


async def queue(database: Database) -> dict[str, Any]:
    """Jobs waiting, delayed and dead, and the oldest one's age in seconds; empty when the database cannot tell."""
    try:
        async with database.connection() as connection:
            return asdict(await queue_stats(connection))
    except Exception as error:  # the line's other numbers are wanted the more
        logs.emit("WARNING", f"the queue was not counted: {message_of(error)}", reason=reason_of(error))
        return {}
