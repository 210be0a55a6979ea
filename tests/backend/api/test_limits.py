"""The rate limit: exact in its window, by user and endpoint, and what it says."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis

from backend.ratelimit import Decision, Limiter
from backend.redis_store import Store
from tests.backend.api.conftest import Api
from tests.backend.redis_server import PASSWORD

T = TypeVar("T")


def with_limiter(port: int, work: Callable[[Limiter, Any], Awaitable[T]]) -> T:
    async def run() -> T:
        client = Redis(port=port, password=PASSWORD)
        try:
            return await work(Limiter(Store(client)), client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def test_the_last_of_the_quota_passes_and_the_next_does_not(api: Api) -> None:
    async def work(limiter: Limiter, client: Any) -> list[Decision]:
        user = uuid.uuid4().hex
        found = [await limiter.check(user, "GET:/x", 50) for _ in range(53)]
        assert (await limiter.check(user, "GET:/y", 50)).allowed
        assert await client.exists(f"rate_limit:{user}:GET:/x")  # the seed's key
        assert 0 < await client.pttl(f"rate_limit:{user}:GET:/x") <= 61_000
        return found

    found = with_limiter(api.redis.port, work)
    assert [decision.allowed for decision in found] == [True] * 50 + [False] * 3
    assert [decision.remaining for decision in found[:50]] == list(range(49, -1, -1))
    assert all(55 <= decision.wait_s <= 61 for decision in found[50:])


def test_at_once_from_many_the_count_is_exact(api: Api) -> None:
    async def work(limiter: Limiter, _: Any) -> int:
        user = uuid.uuid4().hex
        found = await asyncio.gather(*(limiter.check(user, "GET:/x", 40) for _ in range(90)))
        return sum(decision.allowed for decision in found)

    assert with_limiter(api.redis.port, work) == 40


def test_the_window_slides(api: Api) -> None:
    """Counts of past half seconds are put into the key, as if they had come then."""

    async def work(limiter: Limiter, client: Any) -> None:
        user = uuid.uuid4().hex
        key, slot = f"rate_limit:{user}:GET:/x", int(time.time() * 2)
        await client.hset(key, mapping={slot - 125: 10, slot - 110: 6, slot - 1: 3})
        first = await limiter.check(user, "GET:/x", 10)
        assert (first.allowed, first.remaining) == (True, 0)  # ten of long ago have left: 6 + 3 + this one
        refused = await limiter.check(user, "GET:/x", 10)
        assert not refused.allowed
        assert 3 <= refused.wait_s <= 7  # until the six begin to leave
        assert not await client.hexists(key, str(slot - 125))

    with_limiter(api.redis.port, work)


def test_what_a_client_is_told(api: Api) -> None:
    headers = {"X-Forwarded-For": "198.51.100.9, 10.0.0.1"}
    answers = [api.call("GET", "/industries", headers=headers) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [200] * 60 + [429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=60;w=60'
    assert answers[0].headers["RateLimit"].startswith('"default";r=59;')
    refused = answers[-1]
    assert refused.json()["type"] == "urn:plant:problem:rate-limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert api.call("GET", "/skills", headers=headers).status_code == 200  # another endpoint
    assert api.call("GET", "/industries", "ann").status_code == 200  # another user
    assert api.call("GET", "/industries", "service").headers["RateLimit-Policy"] == '"default";q=300;w=60'


def test_only_the_trusted_address_counts(api: Api) -> None:
    """What a client writes into X-Forwarded-For itself stands further left and changes nothing."""
    for number in range(61):
        headers = {"X-Forwarded-For": f"1.2.3.{number}, 198.51.100.77, 10.0.0.1"}
        answer = api.call("GET", "/skills", headers=headers)
    assert answer.status_code == 429
