"""What served before a sandbox was killed serves again after `up`, by the same addresses."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from plantctl.sandbox import life
from plantctl.sandbox.app import App
from tests.sandbox import plane_kit as kit
from tests.sandbox import run_kit
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.dataplane


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose sandbox is stopped at the end."""
    yield tmp_path
    life.down(tmp_path, purge=True)


def start(home: Path) -> tuple[Sandbox, int]:
    """A sandbox process of its own, and its pid."""
    found = life.up(home, speed="max")
    return Sandbox(cast("App", SimpleNamespace(endpoints=found))), int(found["pid"])


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def answer_of(box: Sandbox, url: str) -> dict[str, Any]:
    """The toy server's words, once it answers."""
    with run_kit.caller(box) as session:

        def found() -> dict[str, Any] | None:
            try:
                answer = session.get(url, timeout=30)
            except requests.RequestException:
                return None
            return dict(answer.json()) if answer.status_code == 200 else None

        return dict(run_kit.until(found))


def test_kill_and_up_again(home: Path) -> None:
    box, pid = start(home)
    box.reset()
    kit.prepare(box)
    first = run_kit.made(box, "kept", run_kit.template(run_kit.image(box)))
    second = run_kit.made(box, "kept", run_kit.template(run_kit.image(box, "two")))
    old = first["latestReadyRevision"].rsplit("/", 1)[1]
    held = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": old, "percent": 100}
    run_kit.shift(box, "kept", held)
    before = answer_of(box, second["uri"])
    assert before["version"] == "one"
    os.kill(pid, signal.SIGKILL)
    run_kit.until(lambda: life.status(home) is None)
    run_kit.until(lambda: not alive(before["pid"]))  # an instance does not outlive its sandbox
    box.close()
    box, again = start(home)
    assert again != pid
    after = answer_of(box, second["uri"])
    assert (after["version"], after["env"]["K_REVISION"]) == ("one", old)
    assert after["pid"] != before["pid"]
    life.down(home)
    end = time.monotonic() + 10
    while alive(after["pid"]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(after["pid"])
    box.close()
