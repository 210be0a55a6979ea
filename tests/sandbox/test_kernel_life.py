"""The sandbox as a process: start, find, kill, restart, stop; and what it says when it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from plantctl.sandbox import life

pytestmark = pytest.mark.sandbox
PROJECT = "plant-test"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose sandbox is stopped at the end."""
    yield tmp_path
    life.down(tmp_path, purge=True)


def up(home: Path, **more: Any) -> dict[str, Any]:
    """Start without data plane."""
    return life.up(home, speed=more.pop("speed", "max"), dataplane=False, **more)


def call(found: dict[str, Any], verb: str, path: str, body: Any = None) -> Any:
    """JSON of a request."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(verb, f"{found['rest']}/{path}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill(home: Path, pid: int) -> None:
    """SIGKILL, and wait for the end of all its threads: the first one's is not enough for its files to be closed."""
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while life.status(home) is not None and time.monotonic() < end:
        time.sleep(0.01)


def test_up_twice_is_one_and_down_leaves_nothing(home: Path) -> None:
    assert life.status(home) is None
    began = time.monotonic()
    first = up(home)
    assert time.monotonic() - began < 10
    assert set(first) >= {"rest", "grpc", "proxy", "ca", "speed", "pid", "incarnation"}
    assert up(home) == first
    assert life.status(home) == first
    assert life.down(home) is True
    assert not alive(first["pid"])
    assert life.status(home) is None
    assert life.down(home) is False


def test_a_kill_loses_nothing_that_was_answered(home: Path) -> None:
    first = up(home, speed="1")
    given = {"projects": [{"projectId": PROJECT, "services": []}]}
    incarnation = call(first, "POST", "_sandbox/reset", given)["incarnation"]
    enable = f"serviceusage/v1/projects/{PROJECT}/services/logging.googleapis.com:enable"
    name = call(first, "POST", enable, {})["name"]
    call(first, "PUT", "_sandbox/clock", {"advance_s": 3600})
    kill(home, first["pid"])
    assert life.status(home) is None  # the file is still there; its process is not
    second = up(home, speed="1")
    assert second["incarnation"] == incarnation
    assert call(second, "GET", f"cloudresourcemanager/v1/projects/{PROJECT}")["projectId"] == PROJECT
    assert "done" not in call(second, "GET", f"serviceusage/v1/{name}")
    call(second, "PUT", "_sandbox/clock", {"speed": "max"})
    end = time.monotonic() + 10
    while "done" not in call(second, "GET", f"serviceusage/v1/{name}") and time.monotonic() < end:
        time.sleep(0.02)
    assert call(second, "GET", f"serviceusage/v1/{name}")["response"]["service"]["state"] == "ENABLED"
    assert call(second, "GET", "_sandbox/clock")["offset_s"] == 3600
    wire = call(second, "GET", "_sandbox/wire")
    assert wire[0]["method_id"] == "serviceusage.services.enable"
    assert wire[0]["status"] == 200
    assert [one["seq"] for one in wire] == list(range(1, len(wire) + 1))


def test_a_write_under_load_is_kept_once_it_was_answered(home: Path) -> None:
    first = up(home)
    call(first, "POST", "_sandbox/reset", {"projects": [{"projectId": PROJECT}]})
    secrets = f"secretmanager/v1/projects/{PROJECT}/secrets"
    answered: list[int] = []

    def write() -> None:
        with requests.Session() as session:
            session.trust_env = False
            for number in range(10_000):
                body: dict[str, Any] = {"replication": {"automatic": {}}}
                try:
                    session.post(f"{first['rest']}/{secrets}?secretId=S{number}", json=body, timeout=10)
                except requests.exceptions.ConnectionError:
                    return
                answered.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    while len(answered) < 20:
        time.sleep(0.005)
    kill(home, first["pid"])
    thread.join()
    second = up(home)
    found = call(second, "GET", f"{secrets}?pageSize=1000")["secrets"]
    assert len(answered) <= len(found) <= len(answered) + 1


def test_two_starts_at_once_make_one(home: Path) -> None:
    found: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(up(home))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one["pid"] for one in found}) == 1
    assert len(found) == 3


def test_a_port_that_is_taken_is_told(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(life.LifeError, match=f"port {port} on 127.0.0.1 is taken"):
            up(home, port=port)
    assert life.status(home) is None


def test_a_wrong_speed_is_told(home: Path) -> None:
    with pytest.raises(life.LifeError, match="speed"):
        up(home, speed="-3")


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "sandbox").write_text("a file where the folder goes")
    with pytest.raises(life.LifeError, match="cannot write"):
        up(tmp_path)


def test_sigterm_stops_it_cleanly(home: Path) -> None:
    found = up(home)
    os.kill(found["pid"], signal.SIGTERM)
    end = time.monotonic() + 15
    while alive(found["pid"]) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(found["pid"])
    assert not (home / "sandbox" / "endpoint.json").exists()
