"""What each topic of the outbox has done. Handlers may run twice; by the connection they act once (`runner.Work`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from backend import outbox
from backend.cache import generation_key
from backend.database import Connection
from backend.hires import due
from backend.jobs.notifications import Notifier, address
from backend.jobs.purge import purge
from backend.jobs.runner import Work
from backend.jobs.runs import Job

BATCH = 100


def handlers(client: Any, notifier: Notifier) -> dict[str, Work]:
    """The table of topics. `client` is a Redis client, `notifier` the channel of notifications."""

    async def bump_cache(_: Connection, job: Job) -> dict[str, Any]:
        """Twice is harmless: answers are only built once more."""
        return {"generation": int(await client.incr(generation_key(job.payload["kind"])))}

    async def notify(connection: Connection, job: Job) -> dict[str, Any]:
        notification = await address(connection, job.id, job.payload)
        await notifier.send(notification)
        return {"recipients": len(notification.recipients)}

    return {
        outbox.CACHE_BUMP: bump_cache,
        outbox.NOTIFY: notify,
        "trial_expire": in_batches(due.expire_trials),
        "trial_reminder": in_batches(due.remind_of_trials),
        "period_renew": in_batches(due.renew_periods),
        "purge": in_batches(purge),
    }


def in_batches(step: Callable[[Connection, int], Awaitable[int]]) -> Work:
    """A handler that does one batch, and puts a job for the rest into the outbox: each one is a short transaction."""

    async def work(connection: Connection, job: Job) -> dict[str, Any]:
        count = await step(connection, BATCH)
        if count == BATCH:
            await outbox.put_once(connection, job.topic, following(job.key or str(job.id)))
        return {"rows": count}

    return work


def following(key: str) -> str:
    """The key of a slot's next part: `T`, `T/2`, `T/3`."""
    slot, _, part = key.partition("/")
    return f"{slot}/{int(part or 1) + 1}"
