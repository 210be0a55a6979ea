"""The serving process, started as the container starts it: alive without a database, ready only with one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from backend import cli, migrate
from backend.main import create_app
from backend.settings import load
from tests.backend.conftest import Plant
from tests.backend.postgres import PASSWORDS, certificates

# What production asks for beside the database; Redis is away in these tests, and that is fine.
SERVING = {
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "9",
    "REDIS_PASSWORD": "redis-r3d-5c0b7e19",
    "JWT_SECRET_KEY": "fj39-signing-key-of-the-tests-0a1b2c3d",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving(environment: dict[str, str], output: int = subprocess.PIPE) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Runs `serve` until the block ends; gives its address. A pipe that nobody reads stops it after some 100 lines."""
    port = free_port()
    variables = os.environ | SERVING | {"REDIS_CA": environment["DB_CA"]} | environment
    variables |= {"PORT": str(port), "K_REVISION": "plant-backend-00007-abc"}
    command = [sys.executable, "-m", "backend", "serve"]
    with subprocess.Popen(command, env=variables, stdout=output, stderr=output, text=True) as process:
        try:
            _await(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}", process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Asks it to end, since its workers would outlive a parent that is killed."""
    process.terminate()
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()


def _await(address: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            get(f"{address}/health")
            return
        except urllib.error.URLError:
            time.sleep(0.05)
    raise AssertionError(f"not serving: {process.poll()}")


def get(url: str) -> tuple[int, Any]:
    """Status and decoded body; an HTTP error is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_ready_with_a_database(shared: Plant) -> None:
    with serving(shared.environment("plant_app")) as (address, process):
        status, body = get(f"{address}/health")
        assert (status, body["status"], body["revision"]) == (200, "ok", "plant-backend-00007-abc")
        status, body = get(f"{address}/health/ready")
        assert (status, body["status"], body["checks"]["database"]["ok"]) == (200, "degraded", True)
        assert body["checks"]["redis"]["ok"] is False
        assert body["checks"]["migrations"]["current"] == body["checks"]["migrations"]["head"] == migrate.head()
        assert get(f"{address}/health/ready?strict=1")[0] == 503
        assert get(f"{address}/version")[1]["service"] == "plant-backend"
        assert get(f"{address}/docs")[0] == 404  # production shows no documentation pages
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=9)
    assert process.returncode in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in output.splitlines()]
    assert {"severity", "message", "time"} <= set(lines[0])
    assert errors == ""


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """A good environment whose database port has no listener."""
    ca = certificates(tmp_path)
    return {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(free_port()),
        "DB_CA": ca,
        "DATABASE_PASSWORD": PASSWORDS["plant_app"],
    }


def test_alive_but_not_ready_without_one(nowhere: dict[str, str]) -> None:
    with serving(nowhere) as (address, _):
        assert get(f"{address}/health")[0] == 200
        status, body = get(f"{address}/health/ready")
        assert (status, body["status"]) == (503, "unavailable")
        assert body["checks"]["database"]["reason"] == "connect-refused"


def test_a_database_that_hangs_is_not_waited_for(nowhere: dict[str, str]) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # the kernel accepts, nobody answers
    hanging = nowhere | {"DB_PORT": str(silent.getsockname()[1])}
    with silent, serving(hanging) as (address, _):
        started = time.monotonic()
        status, body = get(f"{address}/health/ready")
        assert time.monotonic() - started < 2
        assert (status, body["checks"]["database"]["reason"]) == (503, "timeout")


def test_a_wrong_environment_stops_the_start(
    nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (nowhere | {"DB_SSLMODE": "disable"}).items():
        monkeypatch.setenv(name, value)
    assert cli.main(["serve"]) == 3
    assert json.loads(capsys.readouterr().out)["reason"] == "configuration"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"JWT_SECRET_KEY": ""}, "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": "short-9x7"}, "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": "ab" * 20}, "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": f"{SERVING['JWT_SECRET_KEY']}\nshort-9x7"}, "JWT_SECRET_KEY"),
        ({"REDIS_PASSWORD": "short-9x7"}, "REDIS_PASSWORD"),
        ({"REDIS_PASSWORD": "password-0000000000"}, "REDIS_PASSWORD"),
        ({"REDIS_HOST": ""}, "REDIS_HOST"),
        ({"REDIS_CA": ""}, "REDIS_CA"),
        ({"REDIS_CA": "nonsense-9x7"}, "REDIS_CA"),
        ({"API_KEYS": "[1]"}, "API_KEYS"),
        ({"API_KEYS": '[{"id": "nonsense-9x7"}]'}, "API_KEYS"),
        ({"REDIS_URL": "http://:nonsense-9x7@h"}, "REDIS_URL"),
    ],
)
def test_production_does_not_start_with_weak_or_missing_secrets(
    nowhere: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    field: str,
) -> None:
    for name, value in (nowhere | SERVING | {"REDIS_CA": nowhere["DB_CA"]} | changes).items():
        monkeypatch.setenv(name, value)
    for command in (["serve"], ["check-config", "--serving"]):
        assert cli.main(command) == 3
        output = capsys.readouterr().out
        assert {json.loads(line)["message"].split(":")[0] for line in output.splitlines()} == {field}
        assert "9x7" not in output


def test_redis_by_its_url(nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    url = "rediss://:p%40ss-w0rd-of-redis@10.9.8.7:6378/0"
    for name, value in (nowhere | {"REDIS_URL": url}).items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert (settings.redis_host, settings.redis_port, settings.uses_redis_tls) == ("10.9.8.7", 6378, True)
    assert settings.redis_password.get_secret_value() == "p@ss-w0rd-of-redis"


def test_the_factory_has_no_effects(nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in nowhere.items():
        monkeypatch.setenv(name, value)
    assert isinstance(create_app(load()), FastAPI)
