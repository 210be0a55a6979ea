"""The worker's process: relays, consumers and the schedule, side by side, until SIGTERM. It starts without its stores.

Each loop turns for ever: when a store is away it waits half a second and tries again, so that nothing has to be
restarted after an outage, and nothing is lost in one, since the outbox keeps every job until it is done.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backend import logs
from backend.database import create_pool
from backend.errors import problem_of
from backend.failures import message_of, reason_of
from backend.jobs.consumer import Consumer
from backend.jobs.handlers import handlers
from backend.jobs.notifications import LogNotifier
from backend.jobs.probe import Pulse, answering
from backend.jobs.queue import Queue
from backend.jobs.relay import Relay
from backend.jobs.runner import Runner
from backend.jobs.schedule import Leader
from backend.jobs.stats import queue_stats
from backend.pool import Database
from backend.redis_store import create_client
from backend.settings import Settings

_RELAY_S = 0.25  # an edit whose process died is seen within two seconds: this, the job, and the cache's half second
_TEND_S = 0.5
_LEAD_S = 1.0
_STATS_S = 30.0
_PAUSE_S = 0.5
_READ_S = 2.0  # longer than a blocking read
_TAKERS_S, _GRACE_S, _GOODBYE_S = 3.0, 6.5, 1.0  # after SIGTERM; Cloud Run kills after ten
_OWN_CONNECTIONS = 2  # relays and leader take turns on them, whatever the jobs do

Turn = Callable[[], Awaitable[bool]]


async def work(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT, then ends within ten seconds."""
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    database = Database(await create_pool(settings))
    # Loops try again by themselves; a retry here would only double the time that a dead Redis costs.
    client = create_client(settings, socket_timeout=_READ_S, retry=Retry(NoBackoff(), 0), decode_responses=True)
    worker = Worker(settings, database, client)
    try:
        async with answering(settings.port, worker.pulse):
            await worker.run(stop)
    finally:
        with suppress(Exception):
            async with asyncio.timeout(_GOODBYE_S):
                await worker.leave()
        await client.aclose()
        await database.close()
    logs.emit("INFO", "worker stopped", worker=worker.name)


class Worker:
    """One process's part in the work. Any number of them may run at once."""

    def __init__(self, settings: Settings, database: Database, client: Any) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.database, self.pulse = database, Pulse()
        queues = [Queue(client, urgent=True), Queue(client)]
        runner = Runner(database, handlers(client, LogNotifier()), settings.job_retry_s)
        slots = max(1, settings.db_pool_max - _OWN_CONNECTIONS - 1)
        self.relays = [Relay(database, queue) for queue in queues]
        self.consumers = [
            Consumer(queue, runner, self.name, slots=1 if queue.urgent else slots, idle_s=settings.job_idle_s)
            for queue in queues
        ]
        self.leader = Leader(database, queues, self.name)
        self.beat_s = min(_TEND_S, settings.job_idle_s / 3)

    async def run(self, stop: asyncio.Event) -> None:
        """Turns the loops. After `stop` nothing more is taken; what runs is finished, or left for another worker."""
        logs.emit("INFO", "worker started", worker=self.name)
        drained = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for consumer in self.consumers:
                name = f"tend {consumer.queue.name}"
                group.create_task(self._repeat(name, _tend(consumer), self.beat_s, drained))
            takers = [group.create_task(self._repeat(*loop, stop)) for loop in self._loops()]
            await stop.wait()
            logs.emit("INFO", "worker stops taking jobs", running=sum(len(each.running) for each in self.consumers))
            deadline = asyncio.get_running_loop().time() + _GRACE_S
            _, hanging = await asyncio.wait(takers, timeout=_TAKERS_S)
            for task in hanging:
                task.cancel()
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            await asyncio.gather(*(consumer.drain(left) for consumer in self.consumers))
            drained.set()

    async def leave(self) -> None:
        """Tells the other workers, so that they need not wait until they miss this one."""
        await self.leader.resign()
        for consumer in self.consumers:
            await consumer.queue.leave(self.name)

    def _loops(self) -> list[tuple[str, Turn, float]]:
        relays = [(f"relay {relay.queue.name}", relay.turn, _RELAY_S) for relay in self.relays]
        consumers = [(f"consumer {consumer.queue.name}", consumer.turn, _RELAY_S) for consumer in self.consumers]
        return [*relays, *consumers, ("leader", self.leader.turn, _LEAD_S), ("stats", self._stats, _STATS_S)]

    async def _repeat(self, name: str, turn: Turn, pause_s: float, stop: asyncio.Event) -> None:
        """Turns until `stop`; a turn that gives True is followed by the next one at once."""
        failing = ""
        while not stop.is_set():
            self.pulse.beat(name)
            try:
                wait_s = 0.0 if await turn() else pause_s
                if failing:
                    logs.emit("INFO", f"{name}: goes on", loop=name)
                failing = ""
            except Exception as error:
                failing = _told(name, error, failing)
                wait_s = _PAUSE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_s)
        self.pulse.stop(name)

    async def _stats(self) -> bool:
        async with self.database.connection() as connection:
            stats = await queue_stats(connection)
        running = {consumer.queue.name: len(consumer.running) for consumer in self.consumers}
        logs.emit("INFO", "runtime.stats", worker=self.name, queue=asdict(stats), running=running)
        return False


def _tend(consumer: Consumer) -> Turn:
    async def turn() -> bool:
        await consumer.beat()
        return bool(await consumer.queue.promote())

    return turn


def _told(name: str, error: Exception, before: str) -> str:
    """Writes a failure once, not twice a second. A store that is away is expected; anything else is a fault."""
    reason = reason_of(error)
    if reason != before:
        expected = problem_of(error) is not None
        fields = {} if expected else logs.error_fields(error)
        words = f"{name}: {message_of(error)}"
        logs.emit("WARNING" if expected else "ERROR", words, loop=name, reason=reason, **fields)
    return reason
