"""Fixtures of the backend's tests: a cluster per set of binaries, a fresh database, and the entry points."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from backend import cli
from tests.backend.postgres import PASSWORDS, SYSTEM, Server, cluster

Line = dict[str, Any]


@dataclass(frozen=True)
class Plant:
    """One fresh database, and the image's entry points as Cloud Run would start them: by environment and arguments."""

    server: Server
    database: str
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def environment(self, user: str = "plant_owner", **overrides: str) -> dict[str, str]:
        """The variables of a job that connects as `user`."""
        return variables(self.server, self.database, user) | overrides

    def run(self, *arguments: str, user: str = "plant_owner", **overrides: str) -> tuple[int, list[Line]]:
        """Runs an entry point in this process; gives its exit code and its lines. No line may hold a password."""
        for name, value in self.environment(user, **overrides).items():
            self.monkeypatch.setenv(name, value)
        self.capsys.readouterr()
        code = cli.main(arguments)
        captured = self.capsys.readouterr()
        for secret in (*PASSWORDS.values(), overrides.get("DATABASE_PASSWORD") or PASSWORDS[user]):
            assert secret not in captured.out + captured.err
        assert captured.err == ""
        return code, [json.loads(line) for line in captured.out.splitlines()]

    def good(self, *arguments: str, user: str = "plant_owner", **overrides: str) -> list[Line]:
        """Like `run`, for what must succeed."""
        code, lines = self.run(*arguments, user=user, **overrides)
        assert code == 0, lines
        return lines

    def sql(self, statement: str) -> str:
        """SQL in this database as the superuser."""
        return self.server.sql(statement, self.database)


def variables(server: Server, database: str, user: str) -> dict[str, str]:
    """The environment of a production job on a test cluster."""
    return {
        "ENVIRONMENT": "production",
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(server.port),
        "DB_NAME": database,
        "DB_USER": user,
        "DATABASE_PASSWORD": PASSWORDS[user],
        "DB_CA": server.ca,
        "DB_WAIT_S": "1",
    }


def facts(lines: list[Line]) -> dict[str, Line]:
    """The lines of one check by the fact they tell."""
    return {line["fact"]: line for line in lines}


@pytest.fixture(scope="session", params=["system", "wheel"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The cluster of one set of binaries, for the whole run."""
    if request.param == "system" and not (SYSTEM / "postgres").exists():
        pytest.skip("no PostgreSQL 15 installed on this machine")
    folder = Path(tempfile.mkdtemp(prefix="plant-pg-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with cluster(request.param, folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def seeded_database(server: Server) -> str:
    """A migrated and seeded database, to be copied or only read."""
    database = server.new_database()
    for command in ("migrate", "seed"):
        environment = os.environ | variables(server, database, "plant_owner")
        subprocess.run([sys.executable, "-m", "backend", command], env=environment, check=True, capture_output=True)
    return database


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """The entry points take over the process's logging; it is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def empty(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plant:
    """A database as Cloud SQL hands it over."""
    return Plant(server, server.new_database(), monkeypatch, capsys)


@pytest.fixture
def shared(
    server: Server, seeded_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Plant:
    """The migrated and seeded database of the whole run, for tests that change nothing in it."""
    return Plant(server, seeded_database, monkeypatch, capsys)


@pytest.fixture
def plant(empty: Plant) -> Plant:
    """A database after `migrate`."""
    empty.good("migrate")
    return empty


@pytest.fixture
def seeded(empty: Plant, seeded_database: str) -> Plant:
    """A database after `migrate` and `seed`: a copy, whose role settings `migrate` makes anew."""
    copy = replace(empty, database=empty.server.new_database(seeded_database))
    copy.good("migrate")
    return copy
