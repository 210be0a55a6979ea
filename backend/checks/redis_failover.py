"""`check redis-failover`: counts in Redis without a pause while somebody fails it over, and tells what that cost.

The gap is the longest time without an acknowledged write; lost are writes that were acknowledged and are gone. The
look ends by itself once another server has answered for a while, and fails when none has within its limit.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backend.checks.fact import Fact
from backend.checks.redis_connection import told
from backend.redis_store import create_client
from backend.settings import Settings

PROBE_S = 330.0
WAIT_S = 300.0
"""How long a failover is waited for: on Google Cloud it begins within a minute of the call and takes about one."""
SETTLED_S = 3.0
_PAUSE_S = 0.01
_IDENTITY_S = 0.5
_KEY_S = 3600


class Counter:
    """One key that only grows, by one connection with the application's patience that never repeats a write by itself.

    INCR tells the new value, so that a smaller one than was acknowledged before says how many writes are gone.
    """

    def __init__(self, settings: Settings) -> None:
        self._client: Any = create_client(
            settings,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._key = f"plantctl:probe:{secrets.token_hex(8)}"
        self._value = 0
        self._last = 0.0
        self._looked = 0.0
        self.acknowledged = self.lost = self.errors = 0
        self.gap_s = 0.0
        self.identities: list[str] = []

    async def begin(self) -> None:
        """Make the key. Raises RedisError, OSError."""
        await self._client.set(self._key, 0, ex=_KEY_S)
        await self._identify()
        self._last = time.monotonic()

    async def write(self) -> None:
        """One write; one that fails is counted, and the next takes a new connection."""
        try:
            value = int(await self._client.incr(self._key))
            now = time.monotonic()
            self.lost += max(0, self._value + 1 - value)
            self.gap_s = max(self.gap_s, now - self._last)
            self._value, self._last = value, now
            self.acknowledged += 1
            if now - self._looked > _IDENTITY_S:
                await self._identify()
        except (RedisError, OSError, TimeoutError):
            self.errors += 1
            self._looked = 0.0
            with suppress(RedisError, OSError):
                await self._client.connection_pool.disconnect()

    async def _identify(self) -> None:
        """Which server answers: the run id is the process's own (Redis, INFO; Memorystore: unverified)."""
        server = await self._client.info("server")
        self._looked = time.monotonic()
        identity = str(server.get("run_id") or "")
        if identity not in self.identities[-1:]:
            self.identities.append(identity)

    @property
    def failed_over(self) -> bool:
        """Another server answers; where servers do not tell who they are: writes failed, and go through again."""
        return len(self.identities) > 1 or (self.identities == [""] and self.errors > 0)

    async def end(self) -> None:
        """Remove the key, as far as that can be done, and hang up."""
        with suppress(RedisError, OSError):
            await self._client.delete(self._key)
        await self._client.aclose()


def check_failover(settings: Settings) -> AsyncIterator[Fact]:
    """Facts: ready (failing over may begin), failover (another server answers), gap, lost."""
    return told(_failover(settings))


async def _failover(settings: Settings) -> AsyncIterator[Fact]:
    counter = Counter(settings)
    try:
        await counter.begin()
        for _ in range(20):
            await counter.write()
        yield Fact("ready", counter.errors == 0, f"counting in {settings.redis_host}, {counter.acknowledged} writes")
        await _until_settled(counter)
    finally:
        await counter.end()
    yield _changed(counter)
    words = f"{counter.gap_s:.2f} s without an acknowledged write, {counter.errors} writes failed"
    yield Fact("gap", counter.acknowledged > 0, words, {"value": round(counter.gap_s, 3), "errors": counter.errors})
    words = f"{counter.lost} of {counter.acknowledged} acknowledged writes are gone"
    yield Fact("lost", True, words, {"value": counter.lost, "acknowledged": counter.acknowledged})


async def _until_settled(counter: Counter) -> None:
    begun = time.monotonic()
    settled = 0.0
    errors = counter.errors
    while time.monotonic() - begun < WAIT_S and not (settled and time.monotonic() - settled > SETTLED_S):
        await counter.write()
        if counter.errors > errors:
            errors, settled = counter.errors, 0.0
        elif counter.failed_over and not settled:
            settled = time.monotonic()
        await asyncio.sleep(_PAUSE_S)


def _changed(counter: Counter) -> Fact:
    if not counter.failed_over:
        words = f"the same server answered for {WAIT_S:.0f} s: there was no failover"
        return Fact("failover", False, words, {"reason": "no-failover"})
    first, last = counter.identities[0], counter.identities[-1]
    words = f"server {first[:8]} was followed by {last[:8]}" if first else "connections were cut, and made anew"
    return Fact("failover", True, words, {"before": first, "after": last})
