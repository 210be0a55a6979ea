"""Fixtures of the API's tests: a migrated, seeded PostgreSQL, a Redis, and the application served on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from backend.main import create_app
from backend.secret_values import signing_keys
from backend.security.tokens import Tokens
from backend.settings import Settings
from tests.backend.conftest import variables
from tests.backend.postgres import PASSWORDS, SYSTEM, Server, cluster
from tests.backend.redis_server import PASSWORD, RedisServer

SIGNING_KEY = "signing-key-of-the-tests-0123456789abcdef"
SERVICE_KEY = "plk_smoke_0123456789abcdef0123456789abcdef"
IDS = "INSERT INTO plant.{} RETURNING id"


@dataclass
class Api:
    """The running application and the people who use it."""

    address: str
    server: Server
    database: str
    redis: RedisServer
    tokens: Tokens
    people: dict[str, dict[str, str]] = field(default_factory=dict)

    def call(self, method: str, path: str, who: str = "", **options: Any) -> requests.Response:
        """One request below the prefix (or below the root when the path begins with it); `who` is one of `people`."""
        headers = self.headers(who) | options.pop("headers", {})
        url = self.address + (path if path.startswith(("/api", "/health", "/version")) else f"/api/v1{path}")
        return requests.request(method, url, headers=headers, timeout=20, **options)

    def headers(self, who: str) -> dict[str, str]:
        """A fresh token; everybody comes from an address of their own, so that no limit is shared by accident."""
        if not who:
            return {"X-Forwarded-For": f"{uuid.uuid4()}, 10.0.0.1"}
        if who == "service":
            return {"X-API-Key": SERVICE_KEY}
        person = self.people[who]
        token = self.tokens.issue(uuid.UUID(person["account"]), "s" * 32, 1, person["kind"], "member")
        return {"Authorization": f"Bearer {token}"}

    def sql(self, statement: str) -> str:
        """SQL as the superuser; of INSERT ... RETURNING the first line."""
        return self.server.sql(statement, self.database)

    def add(self, name: str, kind: str) -> dict[str, str]:
        """A person of a kind, with a customer or partner of their own."""
        person = {"kind": kind, "email": f"{name}-{uuid.uuid4().hex[:8]}@example.com"}
        columns, values = "", ""
        if kind == "customer":
            made = self.sql(IDS.format(f"customer (business_name, consent_at) VALUES ('{name}', now())"))
            person["customer"] = made.splitlines()[0]
            columns, values = ", customer_id", f", '{person['customer']}'"
        if kind == "partner":
            slug = f"{name}-{uuid.uuid4().hex[:8]}"
            row = f"('{slug}', '{name}', '{person['email']}', 'active')"
            made = self.sql(IDS.format(f"partner (slug, name, contact_email, status) VALUES {row}"))
            person["partner"] = made.splitlines()[0]
            columns, values = ", partner_id", f", '{person['partner']}'"
        row = f"('{person['email']}', '{name}', '{kind}'{values})"
        made = self.sql(IDS.format(f"account (email, display_name, kind{columns}) VALUES {row}"))
        person["account"] = made.splitlines()[0]
        self.people[name] = person
        return person


@pytest.fixture(scope="session")
def api() -> Iterator[Api]:
    """The application over real stores, for the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="plant-api-", dir="/var/tmp"))
    folder.chmod(0o755)
    redis = RedisServer()
    try:
        redis.start()
        with cluster("system" if (SYSTEM / "postgres").exists() else "wheel", folder) as server:
            database = _seeded(server)
            settings = _settings(server, database, redis)
            with _served(settings) as address:
                found = Api(address, server, database, redis, Tokens(signing_keys(SIGNING_KEY)))
                for name, kind in {"ann": "customer", "bob": "customer", "pia": "partner", "pete": "partner"}.items():
                    found.add(name, kind)
                found.add("olga", "operator")
                yield found
    finally:
        if redis.process is not None:
            redis.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _seeded(server: Server) -> str:
    database = server.new_database()
    for command in ("migrate", "seed", "indexes"):
        environment = os.environ | variables(server, database, "plant_owner")
        subprocess.run([sys.executable, "-m", "backend", command], env=environment, check=True, capture_output=True)
    return database


def _settings(server: Server, database: str, redis: RedisServer) -> Settings:
    return Settings.model_validate(
        {
            "environment": "test",
            "db_host": "127.0.0.1",
            "db_port": server.port,
            "db_name": database,
            "database_password": PASSWORDS["plant_app"],
            "db_ca": server.ca,
            "redis_host": "127.0.0.1",
            "redis_port": redis.port,
            "redis_password": PASSWORD,
            "jwt_secret_key": SIGNING_KEY,
            "api_keys": json.dumps(
                [{"id": "smoke", "key": SERVICE_KEY, "scopes": ["read", "jobs:check"], "limit": 300}]
            ),
            "google_cloud_project": "waooaw-prod",
            "stats_period_s": 0,  # it would write into the output of whatever other test runs at that moment
        }
    )


class _served:  # noqa: N801 - reads as a verb
    """Serves an application from a thread, until the block ends."""

    def __init__(self, settings: Settings) -> None:
        # Named as TCP, it gets TCP_NODELAY from asyncio: without, each answer waits 40 ms for a delayed ACK.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(100)
        options: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
        config = uvicorn.Config(create_app(settings), timeout_graceful_shutdown=2, **options)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.socket])), daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()
        assert not self.thread.is_alive()
