"""A queue in Redis: a stream with one consumer group, a sorted set of what waits for its next try, a hash of the dead.

Entries hold a job's id and nothing else. The row in PostgreSQL is the job, so that a Redis that forgets loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

_NAME = "plant:jobs"
_GROUP = "workers"
_MAX_ENTRIES = 10_000
_FORGOTTEN_MS = 3_600_000

# Due members go from the sorted set to the stream in one step, by Redis's own clock.
_PROMOTE = """
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now[1] + now[2] / 1000000, 'LIMIT', 0, 100)
for _, job in ipairs(due) do
    redis.call('XADD', KEYS[2], '*', 'job', job)
    redis.call('ZREM', KEYS[1], job)
end
return #due
"""


@dataclass(frozen=True)
class Entry:
    """A delivery of a job; the same job may be delivered more than once. `job` is 0 when the entry names none."""

    id: str
    job: int


class Queue:
    """Commands on one queue. They raise redis-py's errors; a lost group is a ResponseError that `is_lost` knows."""

    def __init__(self, client: Any, *, urgent: bool = False) -> None:
        self.client, self.urgent = client, urgent
        self.name = f"{_NAME}:urgent" if urgent else _NAME
        self.delayed, self.dead = f"{self.name}:delayed", f"{self.name}:dead"
        self._promote = client.register_script(_PROMOTE)

    async def ensure(self) -> bool:
        """Makes stream and group. True when they were not there: whatever was published before is gone."""
        try:
            await self.client.xgroup_create(self.name, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
            return False
        return True

    async def length(self) -> int:
        """How many entries are open, read or not."""
        return int(await self.client.xlen(self.name))

    async def room(self) -> int:
        """How many entries fit before trimming would cut off what nobody has read."""
        return max(0, _MAX_ENTRIES - await self.length())

    async def add(self, jobs: Sequence[int]) -> None:
        """Publishes jobs; one that comes back from the dead leaves their hash."""
        pipeline = self.client.pipeline(transaction=False)
        for job in jobs:
            pipeline.xadd(self.name, {"job": job}, maxlen=_MAX_ENTRIES, approximate=True)
        pipeline.hdel(self.dead, *jobs)
        await pipeline.execute()

    async def read(self, consumer: str, count: int, block_ms: int) -> list[Entry]:
        """New entries; waits for the first one."""
        streams = {self.name: ">"}
        found = await self.client.xreadgroup(_GROUP, consumer, streams, count=count, block=block_ms)
        return [_entry(*row) for _, rows in found for row in rows]

    async def reclaim(self, consumer: str, count: int, idle_ms: int) -> list[Entry]:
        """Entries that somebody read and nobody kept alive since."""
        found = await self.client.xautoclaim(self.name, _GROUP, consumer, idle_ms, "0-0", count=count)
        return [_entry(*row) for row in found[1]]

    async def keep(self, consumer: str, entries: Sequence[str]) -> None:
        """Says that the entries are being worked on: their idle time begins anew."""
        await self.client.xclaim(self.name, _GROUP, consumer, 0, list(entries), justid=True)

    async def settle(self, entry: Entry) -> None:
        """Takes an entry out of the stream: its job is done, or another entry stands for it."""
        await self._leave(self.client.pipeline(), entry)

    async def delay(self, entry: Entry, due: float) -> None:
        """Has the job come again at `due` (seconds since 1970)."""
        pipeline = self.client.pipeline()
        pipeline.zadd(self.delayed, {str(entry.job): due})
        await self._leave(pipeline, entry)

    async def bury(self, entry: Entry, words: str) -> None:
        """Gives the job up, until an operator has it tried again."""
        pipeline = self.client.pipeline()
        pipeline.hset(self.dead, str(entry.job or entry.id), words)
        await self._leave(pipeline, entry)

    async def _leave(self, pipeline: Any, entry: Entry) -> None:
        pipeline.xack(self.name, _GROUP, entry.id)
        pipeline.xdel(self.name, entry.id)
        await pipeline.execute()

    async def promote(self) -> int:
        """Publishes what is due again; gives how many."""
        return int(await self._promote(keys=[self.delayed, self.name]))

    async def leave(self, consumer: str) -> None:
        """Takes a consumer off the group, unless it still holds entries, which would go with it."""
        for row in await self.client.xinfo_consumers(self.name, _GROUP):
            if row["name"] == consumer and row["pending"] == 0:
                await self.client.xgroup_delconsumer(self.name, _GROUP, consumer)

    async def tidy(self) -> None:
        """Takes off the consumers of killed workers, an hour after anybody heard of them."""
        for row in await self.client.xinfo_consumers(self.name, _GROUP):
            if row["pending"] == 0 and row["idle"] > _FORGOTTEN_MS:
                await self.client.xgroup_delconsumer(self.name, _GROUP, row["name"])


def is_lost(error: Exception) -> bool:
    """The stream or its group is gone: Redis came back without its data."""
    return isinstance(error, ResponseError) and "NOGROUP" in str(error)


def _entry(entry_id: str, fields: dict[str, str] | None) -> Entry:
    job = (fields or {}).get("job", "")
    return Entry(entry_id, int(job) if job.isascii() and job.isdigit() and len(job) < 19 else 0)
