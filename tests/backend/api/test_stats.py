"""The line `runtime.stats`: counts since the line before, sizes of the moment, and the queue."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import requests

from backend.cache import Cache
from backend.database import create_pool
from backend.pool import Database
from backend.ratelimit import Limiter
from backend.redis_store import Store, create_client
from backend.stats import MESSAGE, Stats, in_use
from backend.trace_export import Traces
from tests.backend.api.conftest import Api, _served, _settings


def told(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    return [line for line in found if line["message"] == MESSAGE]


def with_stats(api: Api, work: Callable[[Stats], Awaitable[None]]) -> None:
    async def run() -> None:
        settings = _settings(api.server, api.database, api.redis)
        database, store = Database(await create_pool(settings)), Store(create_client(settings))
        cache, limiter = Cache(store), Limiter(store)
        try:
            await work(Stats(database=database, store=store, cache=cache, limiter=limiter, traces=Traces(settings)))
        finally:
            await store.close()
            await database.close()

    asyncio.run(run())


def test_counts_are_of_the_interval_and_sizes_of_the_moment(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    async def work(stats: Stats) -> None:
        async def build() -> bytes:
            return b"{}"

        for _ in range(3):
            await stats.cache.get("stats-test", str(time.time_ns()), build)
        await asyncio.gather(*(hold(stats.database) for _ in range(7)))
        stats.write({"depth": 1})
        stats.write({})

    async def hold(database: Database) -> None:
        async with database.connection() as connection:
            await connection.fetchval("SELECT pg_sleep(0.05)")

    with_stats(api, work)
    first, second = told(capfd)
    assert first["severity"] == "INFO"
    assert first["cache"] == {"hits": 0, "misses": 3}
    assert second["cache"] == {"hits": 0, "misses": 0}
    assert first["pool"] == {"size": 5, "idle": 5, "max": 5, "waits": 2}
    assert second["pool"]["waits"] == 0
    assert first["redis"] == {"in_use": 0, "max": 8, "failures": 0}
    assert first["limiter"] == {"passed_open": 0}
    assert (first["queue"], second["queue"]) == ({"depth": 1}, {})
    assert first["interval_s"] > second["interval_s"] >= 0


def test_connections_to_redis_in_use(api: Api) -> None:
    async def work(stats: Stats) -> None:
        client = stats.store.client
        waiting = asyncio.create_task(client.blpop(["no-such-list"], timeout=0.4))
        while in_use(client.connection_pool) != 1:
            await asyncio.sleep(0.005)
        assert await waiting is None
        assert in_use(client.connection_pool) == 0

    with_stats(api, work)


def test_the_queue_is_counted_each_period(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    row = "INSERT INTO plant.outbox (topic, payload, created_at) VALUES ('no.such', '{}', now() - interval '90 s')"
    api.sql(row)
    try:

        async def work(stats: Stats) -> None:
            lines = asyncio.create_task(stats.run(period_s=0.05))
            await asyncio.sleep(0.5)
            lines.cancel()
            await asyncio.gather(lines, return_exceptions=True)

        with_stats(api, work)
    finally:
        api.sql("DELETE FROM plant.outbox WHERE topic = 'no.such'")
    found = told(capfd)
    assert len(found) >= 2
    assert set(found[0]["queue"]) == {"depth", "oldest_age_s", "delayed", "dead"}
    assert found[0]["queue"]["depth"] >= 1
    assert found[0]["queue"]["oldest_age_s"] >= 90


def test_a_process_tells_what_remains_when_it_ends(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    with _served(_settings(api.server, api.database, api.redis)) as address:
        for _ in range(2):
            path = f"{address}/api/v1/agents?limit=99"
            assert requests.get(path, headers=api.headers(""), timeout=10).status_code == 200
    (line,) = told(capfd)
    assert line["cache"]["hits"] + line["cache"]["misses"] == 2
    assert line["limiter"] == {"passed_open": 0}
