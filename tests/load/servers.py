"""The plant as it runs in production, for load: PostgreSQL that syncs, Redis, TLS to both, two serving processes."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.database import connect
from backend.load_rows import CUSTOMERS, PARTNERS, row_id
from backend.secret_values import signing_keys
from backend.security.tokens import Tokens
from backend.settings import Settings
from plantctl.sandbox.dataplane.forward import ForwardLoop
from plantctl.sandbox.dataplane.redis import RedisPlane, Wish
from tests.backend.conftest import variables
from tests.backend.postgres import PASSWORDS, SYSTEM, Server, cluster

ROOT = Path(__file__).parents[2]
AGENTS = 5000
WORKERS = 2
DURABLE = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "max_connections": "200"}


@dataclass(frozen=True)
class Plant:
    """A serving plant: its address, the environment of its processes, and who may ask what."""

    url: str
    environment: dict[str, str]
    plan: dict[str, Any]
    stores: str


@contextmanager
def plant() -> Iterator[Plant]:
    """All servers up and rows there; everything ends with the context."""
    folder = Path(tempfile.mkdtemp(prefix="plant-load-", dir="/var/tmp"))
    folder.chmod(0o755)
    kind = "system" if (SYSTEM / "postgres").exists() else "wheel"
    loop = ForwardLoop()
    redis = RedisPlane(folder / "redis", loop)
    (folder / "postgres").mkdir()
    try:
        with cluster(kind, folder / "postgres", **DURABLE) as server:
            environment = _environment(server, redis)
            _rows(environment)
            server.sql("VACUUM ANALYZE", environment["DB_NAME"])
            with serving([sys.executable, "-m", "backend", "serve"], environment) as url:
                stores = f"PostgreSQL {server.major} ({kind}), {redis.version()}"
                yield Plant(url, environment, _plan(environment), stores)
    finally:
        redis.purge()
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(server: Server, redis: RedisPlane) -> dict[str, str]:
    auth = secrets.token_urlsafe(24)
    wish = Wish(memory_gb=1, auth=auth, configs={"maxmemory-policy": "volatile-ttl"})
    made = redis.create("plant.load", wish, tls=True)
    key = secrets.token_urlsafe(32)
    keys = [{"id": "load", "key": key, "scopes": ["ratelimit:load"], "limit": 10_000_000}]
    return variables(server, server.new_database(), "plant_app") | {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(made.port),
        "REDIS_PASSWORD": auth,
        "REDIS_CA": made.server_ca,
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "API_KEYS": json.dumps(keys),
        "WEB_CONCURRENCY": str(WORKERS),
        "TRACE_SAMPLE_RATE": "0.1",
        "GOOGLE_CLOUD_PROJECT": "plant-load",
    }


def _rows(environment: dict[str, str]) -> None:
    owner = {"DB_USER": "plant_owner", "DATABASE_PASSWORD": PASSWORDS["plant_owner"], "ENVIRONMENT": "load"}
    for words in (["migrate"], ["seed", "--load", str(AGENTS)], ["indexes"]):
        subprocess.run(
            [sys.executable, "-m", "backend", *words],
            env=os.environ | environment | owner,
            check=True,
            capture_output=True,
            cwd=ROOT,
        )


def _plan(environment: dict[str, str]) -> dict[str, Any]:
    tokens = Tokens(signing_keys(environment["JWT_SECRET_KEY"]))

    def issued(kind: str, count: int) -> list[str]:
        ids = [row_id("account", kind, number) for number in range(1, count + 1)]
        return [tokens.issue(account, f"load-{account}", 1, kind, "member") for account in ids]

    return {
        "tokens": issued("customer", CUSTOMERS),
        "partner_tokens": issued("partner", PARTNERS),
        "key": json.loads(environment["API_KEYS"])[0]["key"],
        "agents": AGENTS,
        "industries": asyncio.run(_industries(environment)),
    }


async def _industries(environment: dict[str, str]) -> list[str]:
    connection = await connect(database_settings(environment))
    try:
        return [row["slug"] for row in await connection.fetch("SELECT slug FROM industry ORDER BY slug")]
    finally:
        await connection.close()


def database_settings(environment: dict[str, str]) -> Settings:
    """What a connection to the database needs, from the environment of a process."""
    names = {name.lower(): value for name, value in environment.items() if name.startswith(("DB_", "DATABASE_"))}
    return Settings.model_validate(names)


@contextmanager
def serving(command: list[str], environment: dict[str, str], path: str = "/health") -> Iterator[str]:
    """Start a server with PORT in its environment and `{port}` put into its words; its address once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [word.format(port=port) for word in command]
    env = os.environ | environment | {"PORT": str(port)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, env=env, cwd=ROOT, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        try:
            _await(process, f"{url}{path}")
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _await(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"no answer from {url}, exit code {process.poll()}") from None
            time.sleep(0.1)
