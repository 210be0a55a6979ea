"""A consumer of one queue: reads as much as it has slots for, keeps alive what it runs, takes over from the dead."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from redis.exceptions import ResponseError

from backend import logs
from backend.failures import message_of, reason_of
from backend.jobs import runs
from backend.jobs.queue import Entry, Queue, is_lost
from backend.jobs.runner import Runner

_BLOCK_MS = 500
_RESTORED = 5_000
_SHORT_MS = 100  # a wait without a slot ends often enough for the pulse


class Consumer:
    """One of a worker's consumers. An entry stays open until its job's fate is known, so that none is lost.

    `idle_s` decides how soon a killed worker's entries are taken over. It may be short, since taking over too early
    does no harm: whoever comes second finds the job's lock held, and leaves the entry open. With 3 s, and a sign of
    life every second, a job of a killed worker runs again within 4 s.
    """

    def __init__(self, queue: Queue, runner: Runner, name: str, *, slots: int, idle_s: float) -> None:
        self.queue, self.runner, self.name = queue, runner, name
        self.slots, self.idle_ms = slots, int(idle_s * 1000)
        self.running: dict[str, asyncio.Task[None]] = {}
        self._ready = self._fresh = False

    async def turn(self) -> bool:
        """Takes entries while there are slots; otherwise waits for one."""
        if not self._ready:
            await self._prepare()
        free = self.slots - len(self.running)
        if free <= 0:
            await asyncio.wait(self.running.values(), timeout=_SHORT_MS / 1000, return_when=asyncio.FIRST_COMPLETED)
            return True
        try:
            entries = await self.queue.reclaim(self.name, free, self.idle_ms)
            entries = entries or await self.queue.read(self.name, free, _BLOCK_MS)
        except ResponseError as error:
            if not is_lost(error):
                raise
            self._ready = False
            return True
        for entry in entries:
            if entry.id not in self.running:  # its own, when the process was held up for longer than `idle_s`
                self._start(entry)
        return True

    async def _prepare(self) -> None:
        """Makes the queue where it is missing, and has everything published again that went away with it."""
        self._fresh |= await self.queue.ensure()
        if self._fresh:
            count = 0
            async with self.runner.database.connection() as connection:
                while more := await runs.unpublish(connection, urgent=self.queue.urgent, quiet_s=0, limit=_RESTORED):
                    count += more
            if count:
                words = f"{self.queue.name} was lost: {count} jobs are published again"
                logs.emit("WARNING", words, queue=self.queue.name)
        self._ready, self._fresh = True, False

    async def beat(self) -> bool:
        """Keeps alive what runs."""
        if self.running:
            await self.queue.keep(self.name, list(self.running))
        return False

    async def drain(self, grace_s: float) -> None:
        """Waits for what runs, and stops what still does after `grace_s`: its entries stay open for other workers."""
        if self.running:
            await asyncio.wait(self.running.values(), timeout=grace_s)
        for task in list(self.running.values()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _start(self, entry: Entry) -> None:
        task = asyncio.create_task(self._handle(entry))
        self.running[entry.id] = task
        task.add_done_callback(lambda _: self.running.pop(entry.id, None))

    async def _handle(self, entry: Entry) -> None:
        try:
            if not entry.job:
                logs.emit("ERROR", f"{self.queue.name} holds an entry that names no job", entry=entry.id)
                await self.queue.bury(entry, "names no job")
                return
            verdict = await self.runner.run(entry.job)
            if verdict.outcome == "retry":
                await self.queue.delay(entry, verdict.due)
            elif verdict.outcome == "dead":
                await self.queue.bury(entry, verdict.words)
            elif verdict.outcome != "busy":
                await self.queue.settle(entry)
        except Exception as error:  # a store is away: the entry stays open, and its idle time brings it back
            fields = {"entry": entry.id, "job_id": entry.job, "reason": reason_of(error)}
            logs.emit("WARNING", f"job {entry.job} stays open: {message_of(error)}", **fields)
