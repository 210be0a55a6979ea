"""The rate limit of four processes on one Redis: what is exact, and how far it is from a log of every request."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.backend.api.conftest import SERVICE_KEY, SIGNING_KEY, Api
from tests.backend.postgres import PASSWORDS
from tests.backend.redis_server import PASSWORD, RedisServer
from tests.backend.test_serve import serving
from tests.backend.wire import Client

PROCESSES = 4
LIMIT = 300


@pytest.fixture
def addresses(api: Api) -> Iterator[list[int]]:
    """Ports of four serving processes on the stores of the run."""
    variables = {
        "ENVIRONMENT": "test",
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(api.server.port),
        "DB_NAME": api.database,
        "DATABASE_PASSWORD": PASSWORDS["plant_app"],
        "DB_CA": api.server.ca,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(api.redis.port),
        "REDIS_PASSWORD": PASSWORD,
        "REDIS_CA": "",
        "JWT_SECRET_KEY": SIGNING_KEY,
        "API_KEYS": json.dumps([{"id": "four", "key": SERVICE_KEY, "scopes": ["read"], "limit": LIMIT}]),
    }
    with ExitStack() as stack:
        started = [stack.enter_context(serving(variables, subprocess.DEVNULL)) for _ in range(PROCESSES)]
        yield [int(address.rpartition(":")[2]) for address, _ in started]


def test_four_servers_let_exactly_the_limit_pass(api: Api, addresses: list[int]) -> None:
    """All at once, so that each process has its share of the quota and none knows of the others'."""

    async def send(port: int, count: int) -> list[int]:
        async with Client(port) as client:
            path, key = "/api/v1/skills?category=technical", {"X-API-Key": SERVICE_KEY}
            return [(await client.ask("GET", path, key)).status for _ in range(count)]

    async def everybody(count: int) -> list[list[int]]:
        return await asyncio.gather(*(send(port, count) for port in addresses for _ in range(3)))

    first = asyncio.run(everybody(LIMIT // (3 * PROCESSES)))
    assert {status for part in first for status in part} == {200}
    more = asyncio.run(everybody(10))
    assert {status for part in more for status in part} == {429}


def log_of_every_request(times: list[float], limit: int, window_s: float) -> list[bool]:
    """What a sliding log would have decided."""
    log: deque[float] = deque()
    found = []
    for at in times:
        while log and log[0] <= at - window_s:
            log.popleft()
        found.append(len(log) < limit)
        if found[-1]:
            log.append(at)
    return found


def together(redis: RedisServer, **options: Any) -> list[tuple[float, bool]]:
    """The attempts of four processes that began together, in the order of their times."""
    text = json.dumps(options | {"port": redis.port, "password": PASSWORD})
    command = [sys.executable, "-m", "tests.backend.api.limiter_process", text]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    found: list[tuple[float, bool]] = []
    with ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(command, text=True, **pipes)) for _ in range(PROCESSES)]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in started:
            output, _ = process.communicate(timeout=180)
            found += [(at, allowed) for at, allowed in json.loads(output)]
    return sorted(found)


@pytest.mark.parametrize(
    ("window_s", "limit", "seconds"),
    [(4.8, 600, 12.0), pytest.param(60.0, 6000, 150.0, marks=[pytest.mark.acceptance, pytest.mark.timeout(400)])],
)
def test_across_a_boundary_it_is_a_sliding_log(api: Api, window_s: float, limit: int, seconds: float) -> None:
    """Twice the allowed rate for two and a half windows; the short window has as many slots as the long one."""
    key = "rate_limit:four-processes:GET:/x"
    api.redis.ask("DEL", key)
    rate = 2 * limit / window_s / PROCESSES
    found = together(api.redis, limit=limit, window_s=window_s, rate=rate, seconds=seconds)
    api.redis.ask("DEL", key)
    began = found[0][0]
    inside = [allowed for at, allowed in found if at < began + window_s * 0.95]
    assert sum(inside) == limit
    assert all(inside[:limit])  # the first of them, and not others
    expected = log_of_every_request([at for at, _ in found], limit, window_s)
    allowed, right = sum(decision for _, decision in found), sum(expected)
    assert right > 1.9 * limit  # the boundary was crossed
    assert abs(allowed - right) <= 0.01 * right
