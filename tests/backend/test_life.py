"""The life of a serving process: before its stores, with them, and its last ten seconds; also on a read-only root."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backend.conftest import Plant
from tests.backend.forwarder import Forwarder
from tests.backend.postgres import SYSTEM, Server
from tests.backend.redis_server import PASSWORD, RedisServer
from tests.backend.test_serve import get, serving

GRACE_S = 10.0
ONE = "system" if (SYSTEM / "postgres").exists() else "wheel"
pytestmark = pytest.mark.parametrize("server", [ONE], indirect=True, scope="session")  # the binaries make no difference


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    found = RedisServer()
    found.start()
    yield found
    found.kill()


def environment(plant: Plant, redis: RedisServer, **changes: str) -> dict[str, str]:
    """A process on real stores; Redis without TLS, which only production asks for."""
    stores = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port), "REDIS_PASSWORD": PASSWORD, "REDIS_CA": ""}
    return plant.environment("plant_app") | stores | {"ENVIRONMENT": "test"} | changes


def until(url: str, status: int, within_s: float = 15) -> Any:
    """Asks until the answer has the status; gives its body."""
    deadline = time.monotonic() + within_s
    while True:
        found, body = get(url)
        if found == status:
            return body
        assert time.monotonic() < deadline, (found, body)
        time.sleep(0.05)


def test_it_starts_before_its_stores_and_is_ready_once_they_come(shared: Plant, redis: RedisServer) -> None:
    database, cache = Forwarder(), Forwarder()
    try:
        changes = {"DB_PORT": str(database.port), "REDIS_PORT": str(cache.port)}
        with serving(environment(shared, redis, **changes)) as (address, _):
            body = until(f"{address}/health/ready", 503)
            assert body["checks"]["database"]["reason"] == "connect-refused"
            assert not body["checks"]["redis"]["ok"]
            database.open(shared.server.port)
            assert until(f"{address}/health/ready", 200)["status"] == "degraded"
            assert get(f"{address}/health/ready?strict=1")[0] == 503
            cache.open(redis.port)
            body = until(f"{address}/health/ready?strict=1", 200)
            assert (body["status"], body["checks"]["redis"]["ok"]) == ("ok", True)
            assert get(f"{address}/api/v1/agents")[0] == 200
    finally:
        database.close()
        cache.close()


def test_readiness_is_looked_up_once_a_second(shared: Plant, redis: RedisServer) -> None:
    with serving(environment(shared, redis)) as (address, _):
        until(f"{address}/health/ready?strict=1", 200)
        first = get(f"{address}/health/ready")[1]["checks"]
        answers = []
        ends = time.monotonic() + 0.5
        while time.monotonic() < ends:
            answers.append(get(f"{address}/health/ready")[1]["checks"])
        assert len({json.dumps(answer) for answer in [first, *answers]}) <= 2  # the times to the millisecond are kept
        time.sleep(1.05)
        assert get(f"{address}/health/ready")[1]["checks"] != answers[-1]
        assert isinstance(first["database"]["ms"], float)
        assert isinstance(first["redis"]["ms"], float)


class Slow:
    """A request that waits for a lock in the database, until the lock is freed."""

    def __init__(self, server: Server, database: str) -> None:
        command = [str(server.binaries / "psql"), *server.at(database), "-XqAt"]
        self.psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **server.popen)
        assert self.psql.stdin is not None
        assert self.psql.stdout is not None
        self.psql.stdin.write("BEGIN; LOCK TABLE plant.industry; SELECT 'locked';\n")
        self.psql.stdin.flush()
        assert self.psql.stdout.readline().strip() == "locked"
        self.answers: list[tuple[int, Any]] = []

    def ask(self, url: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: self.answers.append(get(url)))
        thread.start()
        return thread

    def free(self) -> None:
        self.psql.communicate("COMMIT;\n", timeout=10)


def waiting(plant: Plant, count: int) -> None:
    """Waits until as many sessions wait for a lock."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{plant.database}'"
    deadline = time.monotonic() + 10
    while int(plant.sql(query)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_under_way_is_finished_before_it_ends(shared: Plant, redis: RedisServer, workers: str) -> None:
    variables = environment(shared, redis, WEB_CONCURRENCY=workers, OTLP_ENDPOINT="http://127.0.0.1:9/v1/traces")
    with serving(variables | {"TRACE_SAMPLE_RATE": "1"}) as (address, process):
        redis.ask("INCR", "cachegen:catalogue")
        slow = Slow(shared.server, shared.database)
        try:
            asking = slow.ask(f"{address}/api/v1/industries")
            waiting(shared, 1)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            if workers == "1":  # with more, uvicorn's parent keeps the port; Cloud Run sends nothing new by then
                _refuses(address)
            time.sleep(0.3)
        finally:
            slow.free()
        asking.join(10)
        output, errors = process.communicate(timeout=GRACE_S)
        took = time.monotonic() - started
    assert slow.answers[0][0] == 200
    assert len(slow.answers[0][1]["items"]) == 4
    assert took < GRACE_S
    assert process.returncode in (0, -signal.SIGTERM)
    assert errors == ""
    lines = [json.loads(line) for line in output.splitlines()]
    assert sum(line["message"] == "runtime.stats" for line in lines) == int(workers)
    assert not any("stack_trace" in line for line in lines)


def _refuses(address: str) -> None:
    port = int(address.rpartition(":")[2])
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError("new connections are still taken after SIGTERM")


def test_a_client_that_never_finishes_does_not_hold_it(shared: Plant, redis: RedisServer) -> None:
    """Half a body, with both stores in use: all is over within the ten seconds that Cloud Run gives."""
    with serving(environment(shared, redis, WEB_CONCURRENCY="2")) as (address, process):
        until(f"{address}/health/ready?strict=1", 200)
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as client:
            head = "POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            client.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            process.communicate(timeout=GRACE_S)
            assert time.monotonic() - started < GRACE_S


# Raises for every attempt to write to a file system, as a read-only root does, in workers too; `sitecustomize` is run
# by Python before anything else.
READ_ONLY = """
import errno, os, sys
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "tempfile.mkstemp"}
def refuse(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (writes and arguments[0] != os.devnull and not isinstance(arguments[0], int)) or event in CHANGES:
        sys.stderr.write(f"wrote: {event} {arguments[:1]}\\n")
        raise OSError(errno.EROFS, "Read-only file system", str(arguments[0]))
sys.addaudithook(refuse)
"""


def test_it_serves_on_a_read_only_root(shared: Plant, redis: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(READ_ONLY)
    variables = environment(shared, redis, WEB_CONCURRENCY="2", HOME="/nonexistent", TMPDIR="/nonexistent")
    variables |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())]), "PYTHONDONTWRITEBYTECODE": "1"}
    with serving(variables) as (address, process):
        assert until(f"{address}/health/ready?strict=1", 200)["status"] == "ok"
        assert get(f"{address}/api/v1/agents?limit=1")[0] == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=GRACE_S)
    assert errors == ""


def test_the_read_only_root_is_one(server: Server, tmp_path: Path) -> None:
    """What the test above stands on: an attempt to write fails and is told."""
    (tmp_path / "sitecustomize.py").write_text(READ_ONLY)
    code = f"open({str(tmp_path / 'x')!r}, 'w')"
    variables = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "wrote: open" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_port_that_is_taken_ends_the_start(shared: Plant, redis: RedisServer) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        variables = os.environ | environment(shared, redis, PORT=str(port), JWT_SECRET_KEY="k" * 20 + "0123456789abc")
        command = [sys.executable, "-m", "backend", "serve"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert "in use" in done.stdout
