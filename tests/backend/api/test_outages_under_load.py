"""Two hundred requests a second while a store goes away and comes back: who notices, for how long, and what is lost."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.secret_values import signing_keys
from backend.security.tokens import Tokens
from tests.backend.api.conftest import SIGNING_KEY, Api, _seeded
from tests.backend.postgres import PASSWORDS, SYSTEM, cluster
from tests.backend.redis_server import PASSWORD, RedisServer
from tests.backend.test_serve import serving
from tests.backend.wire import Answer, Client

RATE, BACK_S = 200, 5.0
LOAD_S = 14.0


@dataclass
class Plant(Api):
    """A plant of its own, whose stores may be broken: two serving processes behind one port."""

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    folder = Path(tempfile.mkdtemp(prefix="plant-out-", dir="/var/tmp"))
    folder.chmod(0o755)
    redis = RedisServer()
    try:
        redis.start()
        with cluster("system" if (SYSTEM / "postgres").exists() else "wheel", folder) as server:
            database = _seeded(server)
            stores = {"DB_HOST": "127.0.0.1", "DB_PORT": str(server.port), "DB_NAME": database}
            stores |= {"DATABASE_PASSWORD": PASSWORDS["plant_app"], "DB_CA": server.ca}
            stores |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port), "REDIS_PASSWORD": PASSWORD}
            stores |= {"REDIS_CA": "", "ENVIRONMENT": "test", "JWT_SECRET_KEY": SIGNING_KEY, "WEB_CONCURRENCY": "2"}
            with serving(stores, subprocess.DEVNULL) as (address, _):
                made = Plant(address, server, database, redis, Tokens(signing_keys(SIGNING_KEY)))
                for number in range(30):
                    made.add(f"writer{number}", "customer")
                yield made
    finally:
        redis.kill()
        shutil.rmtree(folder, ignore_errors=True)


Ask = Callable[[Client, int], Awaitable[Answer]]


def under_load(port: int, ask: Ask, events: dict[float, Callable[[], None]], seconds: float) -> list[Answer]:
    """Sends at the steady rate, whatever the answers; `events` happen in threads at their second."""

    async def run() -> list[Answer]:
        began = asyncio.get_running_loop().time()
        async with Client(port) as client:
            asked: list[asyncio.Task[Answer]] = []
            happening = [asyncio.create_task(_at(began + second, event)) for second, event in events.items()]
            for number in range(int(RATE * seconds)):
                await asyncio.sleep(max(began + number / RATE - asyncio.get_running_loop().time(), 0))
                asked.append(asyncio.create_task(_answer(ask, client, number)))
            answers = await asyncio.gather(*asked)
            await asyncio.gather(*happening)
        return answers

    return asyncio.run(run())


async def _answer(ask: Ask, client: Client, number: int) -> Answer:
    return await ask(client, number)


async def _at(moment: float, event: Callable[[], None]) -> None:
    await asyncio.sleep(max(moment - asyncio.get_running_loop().time(), 0))
    await asyncio.to_thread(event)


def somebody(number: int) -> dict[str, str]:
    """One of many addresses, each far below its quota."""
    return {"X-Forwarded-For": f"10.1.{number % 97}.{number % 89}, 10.0.0.1"}


def test_redis_is_killed_and_the_catalogue_does_not_notice(plant: Plant) -> None:
    back: list[float] = []

    def start() -> None:
        plant.redis.start()
        back.append(time.monotonic())

    async def ask(client: Client, number: int) -> Answer:
        paths = ("/api/v1/agents?limit=20", "/api/v1/agents?industry=sales", "/api/v1/agents/noor-halvorsen")
        return await client.ask("GET", paths[number % 3], somebody(number))

    answers = under_load(plant.port, ask, {3.0: plant.redis.kill, 7.0: start}, LOAD_S)
    assert {(answer.status, answer.body) for answer in answers if answer.status != 200} == set()
    assert max(answer.done - answer.at for answer in answers) < 5
    recovered = [answer.done for answer in answers if answer.at > back[0] and _is_counted(answer)]
    assert min(recovered) - back[0] < BACK_S
    late = [answer for answer in answers if answer.at > back[0] + BACK_S]
    assert len(late) > 50
    assert all(_is_counted(answer) for answer in late)
    assert plant.call("GET", "/health/ready?strict=1").status_code == 200


def _is_counted(answer: Answer) -> bool:
    """The limiter counts again: an open one leaves the whole quota."""
    return '"default";r=60;' not in answer.headers["ratelimit"]


@pytest.mark.acceptance
def test_postgresql_restarts_and_nothing_that_was_acknowledged_is_lost(plant: Plant) -> None:
    """Crashed, not shut down: what a commit promised comes back from its log."""
    back: list[float] = []
    tokens = [plant.headers(name) for name in plant.people]
    agents = plant.sql("SELECT slug FROM plant.agent WHERE listing = 'published' AND availability <> 'offline'")
    slugs = agents.splitlines()

    def crash() -> None:
        plant.server.crash()
        plant.server.start()
        back.append(time.monotonic())

    async def ask(client: Client, number: int) -> Answer:
        caller, turn = tokens[number // 4 % len(tokens)], number // 4 // len(tokens)
        if number % 4:
            return await client.ask("GET", ("/api/v1/hires", "/api/v1/me")[number % 2], caller)
        headers = caller | {"Idempotency-Key": uuid.uuid4().hex}
        return await client.ask("POST", "/api/v1/hires", headers, {"agent_slug": slugs[turn]})

    answers = under_load(plant.port, ask, {3.0: crash}, LOAD_S)
    told = [answer.status for answer in answers]
    assert set(told) == {200, 201, 503}
    for answer in answers:
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["content-type"] == "application/problem+json"
    late = [answer for answer in answers if answer.at > back[0] + BACK_S]
    assert len(late) > 50
    refused = [answer.json()["type"] for answer in late if answer.status == 503]
    assert refused == []
    made = {answer.json()["id"] for answer in answers if answer.status == 201}
    before = [answer for answer in answers if answer.status == 201 and answer.done < back[0]]
    assert len(before) >= 30
    assert made <= set(plant.sql("SELECT id FROM plant.hire").splitlines())
