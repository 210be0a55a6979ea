"""Redis away, PostgreSQL away: what still works, what says 503, and how soon all is well again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from tests.backend.api.conftest import Api


@pytest.fixture
def no_redis(api: Api) -> Iterator[None]:
    """Kills Redis, and starts it again afterwards if the test did not."""
    api.redis.kill()
    try:
        yield
    finally:
        if api.redis.ask("PING") != b"+PONG\r\n":
            api.redis.start()
        time.sleep(0.6)  # the valve


def test_the_catalogue_does_without_redis(api: Api, no_redis: None) -> None:
    started = time.monotonic()
    for _ in range(20):
        assert api.call("GET", "/agents?limit=5").status_code == 200
    assert time.monotonic() - started < 6
    assert api.call("GET", "/me", "ann").status_code == 200
    ready = api.call("GET", "/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert api.call("GET", "/health/ready?strict=1").status_code == 503
    api.redis.start()
    time.sleep(1.2)
    assert api.call("GET", "/health/ready?strict=1").json()["status"] == "ok"


def test_a_hire_is_made_without_redis(api: Api, no_redis: None) -> None:
    slug = api.sql("SELECT slug FROM plant.agent WHERE listing = 'published' AND availability <> 'offline' LIMIT 1")
    api.add("nora", "customer")
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    assert api.call("POST", "/hires", "nora", json={"agent_slug": slug}, headers=headers).status_code == 201


def test_signing_in_without_redis_is_a_503_and_still_limited(api: Api, no_redis: None) -> None:
    headers = {"X-Forwarded-For": "198.51.100.55, 10.0.0.1"}
    answer = api.call("POST", "/auth/refresh", headers=headers | {"Cookie": f"plant_refresh={'a' * 32}.{'b' * 43}"})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:plant:problem:sessions-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    codes = [api.call("POST", "/auth/refresh", headers=headers).status_code for _ in range(30)]
    assert codes == [401] * 29 + [429]


def test_lost_connections_are_replaced_and_a_database_away_is_a_503(api: Api) -> None:
    """What a failover does to the pool: every session ends, new ones are refused for a while."""
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'plant_app'"
    assert api.call("GET", "/me", "ann").status_code == 200
    api.sql(kill)
    assert api.call("GET", "/me", "ann").status_code == 200  # a read is tried once more
    api.sql("ALTER ROLE plant_app CONNECTION LIMIT 0")
    try:
        api.sql(kill)
        refused = api.call("GET", "/me", "ann")
        assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
        assert int(refused.headers["Retry-After"]) > 0
        ready = api.call("GET", "/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert api.call("GET", "/health").status_code == 200
    finally:
        api.sql("ALTER ROLE plant_app CONNECTION LIMIT -1")
    started = time.monotonic()
    while api.call("GET", "/me", "ann").status_code != 200:
        assert time.monotonic() - started < 5
        time.sleep(0.1)
