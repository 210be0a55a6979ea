"""Serialised answers in Redis under a generation per kind: one INCR after a commit makes every page of it old."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from backend.redis_store import RedisDown, Store

TTL_S = 3600
_JITTER = 0.1
_GENERATION_S = 0.5  # how long a process believes a generation: an edit is seen by all within that
_NEAR, _NEAR_S = 256, 30.0  # entries that a process keeps by itself, and how long: what most people ask for


@dataclass(frozen=True)
class Entry:
    """An answer's bytes and the strong validator made of them."""

    etag: str
    body: bytes


def entry(body: bytes) -> Entry:
    """An entry for bytes."""
    return Entry(f'"{hashlib.sha256(body).hexdigest()[:20]}"', body)


def generation_key(kind: str) -> str:
    """Where the generation of a kind is counted."""
    return f"cachegen:{kind}"


class Cache:
    """Reads through: Redis, else `build`, which runs once for all who wait for the same key in this process."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.hits = self.misses = 0
        self._generations: dict[str, tuple[int, float]] = {}
        self._near: dict[str, tuple[Entry, float]] = {}
        self._flights: dict[str, asyncio.Task[Entry]] = {}

    async def get(self, kind: str, key: str, build: Callable[[], Awaitable[bytes]]) -> Entry:
        """The entry of `key`. Errors of `build` reach everybody who waits, and nothing is kept of them."""
        try:
            generation = await self._generation(kind)
            digest = hashlib.sha256(key.encode()).hexdigest()[:32]
            name = f"cache:v1:{kind}:{generation}:{digest}"
            near = self._near.get(name)
            if near is not None and time.monotonic() < near[1]:
                self.hits += 1
                return near[0]
            found = await self.store.ask(self.store.client.get(name), "GET")
        except RedisDown:
            self.misses += 1
            return await self._once(f"{kind}:{key}", build, None)
        if found is not None:
            self.hits += 1
            etag, _, body = found.partition(b"\n")
            return self._keep(name, Entry(etag.decode(), body))
        self.misses += 1
        return await self._once(name, build, name)

    async def bump(self, kind: str) -> None:
        """Makes all entries of a kind old. Called after the commit; the outbox repeats it when this fails."""
        self._generations.pop(kind, None)
        try:
            generation = int(await self.store.ask(self.store.client.incr(generation_key(kind)), "INCR"))
        except RedisDown:
            return
        self._generations[kind] = (generation, time.monotonic())

    def _keep(self, name: str, kept: Entry) -> Entry:
        """Names hold the generation, so what is kept here grows old with all else."""
        while len(self._near) >= _NEAR:
            self._near.pop(next(iter(self._near)))
        self._near[name] = (kept, time.monotonic() + _NEAR_S)
        return kept

    async def _generation(self, kind: str) -> int:
        known = self._generations.get(kind)
        if known is not None and time.monotonic() - known[1] < _GENERATION_S:
            return known[0]
        value = await self.store.ask(self.store.client.get(generation_key(kind)), "GET")
        generation = int(value or 0)
        self._generations[kind] = (generation, time.monotonic())
        return generation

    async def _once(self, flight: str, build: Callable[[], Awaitable[bytes]], name: str | None) -> Entry:
        task = self._flights.get(flight)
        if task is None:
            task = asyncio.create_task(self._build(build, name))
            self._flights[flight] = task
            task.add_done_callback(lambda _: self._flights.pop(flight, None))
        return await asyncio.shield(task)  # one client that leaves does not take the answer from the others

    async def _build(self, build: Callable[[], Awaitable[bytes]], name: str | None) -> Entry:
        made = entry(await build())
        if name is not None:
            ttl = int(TTL_S * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - spreads expiry, no secret
            with suppress(RedisDown):
                value = made.etag.encode() + b"\n" + made.body
                await self.store.ask(self.store.client.set(name, value, ex=ttl), "SET")
        return made
