"""Workers as processes beside the served API, and the ways in which they and their stores are brought down."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import redis

from tests.backend.api.conftest import Api, api
from tests.backend.postgres import PASSWORDS
from tests.backend.redis_server import PASSWORD

__all__ = ["api"]

T = TypeVar("T")
Line = dict[str, Any]
JOBS = "SELECT {} FROM plant.outbox o LEFT JOIN plant.job_run r ON r.scheduled_for = coalesce(o.key, o.id::text)"


@dataclass
class Running:
    """A worker's process and the lines that it has written."""

    process: subprocess.Popen[str]
    port: int
    lines: list[Line] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def said(self, words: str) -> list[Line]:
        return [line for line in self.lines if words in line["message"]]

    def jobs(self, job_id: int) -> list[Line]:
        return [line["job"] for line in self.lines if line.get("job", {}).get("id") == job_id]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> float:
        """SIGTERM; gives the seconds until the end, which is a clean one."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0
        return time.monotonic() - started


@dataclass
class Desk:
    """A worker's surroundings: the API, and ways to start workers and to look."""

    api: Api
    workers: list[Running] = field(default_factory=list)

    def start(self, **overrides: str) -> Running:
        """Starts a worker and waits until it works."""
        server, store = self.api.server, self.api.redis
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        environment = {"ENVIRONMENT": "test", "PORT": str(port), "DB_HOST": "127.0.0.1", "DB_PORT": str(server.port)}
        environment |= {"DB_NAME": self.api.database, "DB_USER": "plant_app", "DB_CA": server.ca}
        environment |= {"DATABASE_PASSWORD": PASSWORDS["plant_app"], "REDIS_HOST": "127.0.0.1"}
        environment |= {"REDIS_PORT": str(store.port), "REDIS_PASSWORD": PASSWORD}
        command = [sys.executable, "-m", "backend", "worker"]
        process = subprocess.Popen(command, env=os.environ | environment | overrides, stdout=subprocess.PIPE, text=True)
        made = Running(process, port)
        threading.Thread(target=made.read, daemon=True).start()
        self.workers.append(made)
        eventually(lambda: made.said("worker started"), 30)
        return made

    def hire(self) -> int:
        """Starts a trial through the API; gives the id of the job that it enqueued."""
        self.api.add("jobber", "customer")
        headers = {"Idempotency-Key": uuid.uuid4().hex, "X-Request-Id": uuid.uuid4().hex}
        answer = self.api.call("POST", "/hires", "jobber", json={"agent_slug": "jobs-agent"}, headers=headers)
        assert answer.status_code == 201, answer.text
        found = self.api.sql(f"SELECT id FROM plant.outbox WHERE request_id = '{answer.headers['X-Request-Id']}'")
        return int(found)

    def put(self, payload: dict[str, Any], topic: str = "notification.send") -> int:
        """A row in the outbox, as a request of another image would write it."""
        row = f"('{topic}', '{json.dumps(payload)}')"
        return int(self.api.sql(f"INSERT INTO plant.outbox (topic, payload) VALUES {row} RETURNING id").split()[0])

    def job(self, job_id: int) -> dict[str, Any]:
        """The job as an operator sees it."""
        answer = self.api.call("GET", f"/admin/jobs/{job_id}", "olga")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def done(self, job_id: int, seconds: float = 30) -> None:
        """Waits for the job's end."""
        eventually(lambda: self.job(job_id)["status"] == "done", seconds)

    def told(self, job_id: int) -> list[Line]:
        """What the log channel sent for a job, by all workers."""
        lines = [line["notification"] for worker in self.workers for line in worker.said("notification ")]
        return [line for line in lines if line["id"] == job_id]

    def store(self) -> Any:
        return redis.Redis(port=self.api.redis.port, password=PASSWORD, decode_responses=True)

    @contextmanager
    def locked(self, table: str) -> Iterator[Callable[[], None]]:
        """Keeps a table locked until the block ends, or the function that it gives is called."""
        tool = str(self.api.server.binaries / "psql")
        command = [tool, *self.api.server.at(self.api.database), "-Xq"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": "/"}
        with subprocess.Popen(command, **pipes, **self.api.server.popen) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"BEGIN; LOCK TABLE plant.{table} IN ACCESS EXCLUSIVE MODE;\n\\echo locked\n")
            process.stdin.flush()
            assert process.stdout.readline() == "locked\n"

            def release() -> None:
                assert process.stdin is not None
                if process.poll() is None:
                    process.communicate("ROLLBACK;\n\\q\n", timeout=10)

            try:
                yield release
            finally:
                release()


def eventually(look: Callable[[], T], seconds: float) -> T:
    """What `look` gives once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def desk(api: Api) -> Iterator[Desk]:
    """A desk with nothing on it: no open jobs, an empty Redis, a published agent; no worker is left behind."""
    api.sql("TRUNCATE plant.outbox, plant.job_run")
    api.sql(
        "INSERT INTO plant.agent (slug, name, industry_id, job_role_id, monthly_price_minor, partner_id, listing, "
        f"availability, published_at) SELECT 'jobs-agent', 'Agent', i.id, r.id, 1, '{api.people['pia']['partner']}', "
        "'published', 'available', now() FROM plant.industry i, plant.job_role r LIMIT 1 ON CONFLICT DO NOTHING"
    )
    found = Desk(api)
    found.store().flushall()
    try:
        yield found
    finally:
        for worker in found.workers:
            if worker.process.poll() is None:
                worker.kill()
            assert worker.process.stdout is not None
            worker.process.stdout.close()
