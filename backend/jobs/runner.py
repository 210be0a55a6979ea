"""Runs one delivery of a job: once at a time, within its limit, and never again once it is done."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from backend import logs
from backend.context import REQUEST, RequestContext
from backend.database import Connection
from backend.failures import BackendError, message_of
from backend.jobs import runs
from backend.jobs.runs import Job
from backend.pool import Database

RETRIES = 5
LIMIT_S = 5.0
"""A job's time, shorter than what SIGTERM leaves (`backend.worker`): a worker that stops finishes what it runs."""
_FACTOR = 4  # with the first pause of 2 s the fifth retry comes after eleven minutes
_JITTER = 0.1

Work = Callable[[Connection, Job], Awaitable[dict[str, Any]]]
"""A handler. What it does by the connection happens once, with the job's end; anything else may happen again."""


@dataclass(frozen=True)
class Verdict:
    """What came of a delivery. `due` (seconds since 1970) goes with retry, `words` with retry and dead."""

    outcome: Literal["done", "retry", "dead", "duplicate", "busy", "interrupted"]
    due: float = 0
    words: str = ""


class Runner:
    """Jobs by their topics' handlers. `retry_s` is the pause before the first retry."""

    def __init__(self, database: Database, handlers: Mapping[str, Work], retry_s: float) -> None:
        self.database, self.handlers, self.retry_s = database, handlers, retry_s

    async def run(self, job_id: int) -> Verdict:
        """Carries the job out, unless it is done (duplicate) or another worker is at it (busy).

        Raises what the database raises when it is away: then nothing is known, and the delivery stays open.
        """
        async with self.database.connection() as connection, runs.alone(connection, job_id) as mine:
            if not mine:
                return Verdict("busy")
            job = await runs.begin(connection, job_id)
            if job is None:
                return Verdict("duplicate")
            REQUEST.set(RequestContext(job.request_id, ""))
            started = time.perf_counter()
            verdict = Verdict("interrupted")
            try:
                verdict = await self._carry_out(connection, job)
            finally:
                _tell(job, verdict, started)
            return verdict

    async def _carry_out(self, connection: Connection, job: Job) -> Verdict:
        try:
            if job.attempts > RETRIES + 1:
                raise BackendError("worker-lost", f"its worker ended in the middle of it {job.attempts - 1} times")
            async with asyncio.timeout(LIMIT_S), connection.transaction():
                result = await self._work(job)(connection, job)
                await runs.finish(connection, job, result)
        except Exception as error:  # whatever a handler raises is a failed attempt
            return await self._failed(connection, job, error)
        return Verdict("done")

    def _work(self, job: Job) -> Work:
        work = self.handlers.get(job.topic)
        if work is None:  # perhaps a newer image's job: it is tried again while a roll-out lasts
            raise BackendError("unknown-topic", f"this image has no handler for {job.topic}")
        return work

    async def _failed(self, connection: Connection, job: Job, error: Exception) -> Verdict:
        late = f"ran longer than {LIMIT_S:g} s"
        words = late if isinstance(error, TimeoutError) else f"{type(error).__name__}: {message_of(error)}"[:500]
        pause = self.retry_s * _FACTOR ** (job.attempts - 1)
        pause *= random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads retries, no secret
        wait_s = pause if job.attempts <= RETRIES else None
        if connection.is_closed():
            async with self.database.connection() as other:
                due = await runs.fail(other, job, words, wait_s)
        else:
            due = await runs.fail(connection, job, words, wait_s)
        if due is None:
            return Verdict("busy")
        return Verdict("retry", due, words) if wait_s is not None else Verdict("dead", words=words)


def _tell(job: Job, verdict: Verdict, started: float) -> None:
    """The line of an attempt, which log-based metrics read."""
    seconds = time.perf_counter() - started
    severity = {"done": "INFO", "retry": "WARNING", "dead": "ERROR"}.get(verdict.outcome, "WARNING")
    fields: dict[str, object] = {"name": job.topic, "id": job.id, "key": job.key, "duration_s": round(seconds, 6)}
    fields |= {"attempts": job.attempts, "outcome": verdict.outcome}
    words = f"job {job.topic} {job.id}: {verdict.outcome}" + (f", {verdict.words}" if verdict.words else "")
    logs.emit(severity, words, job=fields)
