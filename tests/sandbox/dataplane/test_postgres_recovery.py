"""What the PostgreSQL plane keeps: backups, restores, points in time, failover, and a sandbox that was killed."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plantctl.sandbox.dataplane import accounts, binaries
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.postgres import Description, PostgresPlane
from tests.sandbox.dataplane.client import query, state_folder

pytestmark = pytest.mark.dataplane
NAME = "plant:main"
SECRET = "correct horse"
COUNT = "SELECT count(*), max(id) FROM rows"


@pytest.fixture(scope="module", params=["system", "wheel"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A state directory; the plane's template in it is made once."""
    if request.param == "system" and binaries.system(accounts.Account.current()) is None:
        pytest.skip("no PostgreSQL 15 of the system here")
    root = state_folder(tmp_path_factory)
    try:
        yield root, request.param
    finally:
        PostgresPlane(root, request.param).purge()


@pytest.fixture
def plane(root: tuple[Path, str]) -> Iterator[PostgresPlane]:
    plane = PostgresPlane(*root)
    plane.create(NAME, names=["10.20.0.3"])
    plane.create_user(NAME, "owner", password=SECRET)
    query(plane.describe(NAME), "owner", SECRET, "CREATE TABLE rows (id int PRIMARY KEY)", database="postgres")
    try:
        yield plane
    finally:
        for name in plane.names():
            plane.delete(name)


def insert(plane: PostgresPlane, first: int, last: int) -> None:
    statement = f"INSERT INTO rows SELECT generate_series({first}, {last})"
    query(plane.describe(NAME), "owner", SECRET, statement)


def rows(described: Description) -> list[tuple[int, int | None]]:
    return query(described, "owner", SECRET, COUNT)


def test_clone_to_a_point_in_time_is_exact(plane: PostgresPlane) -> None:
    insert(plane, 1, 1000)
    insert(plane, 1001, 1001)
    point = datetime.now(UTC)
    insert(plane, 1002, 5000)
    query(plane.describe(NAME), "owner", SECRET, "DROP TABLE rows", "CREATE TABLE rows (id int)")
    cloned = plane.clone(NAME, "plant:then", point_in_time=point, names=["10.20.0.9"])
    assert rows(cloned) == [(1001, 1001)]
    assert rows(plane.describe(NAME)) == [(0, None)]
    assert cloned.port != plane.describe(NAME).port
    assert cloned.server_ca != plane.describe(NAME).server_ca
    now = plane.clone(NAME, "plant:now")
    assert rows(now) == [(0, None)]
    # the clone is an instance of its own: it takes writes, and can itself be cloned
    query(cloned, "owner", SECRET, "INSERT INTO rows VALUES (9999)")
    again = plane.clone("plant:then", "plant:again", point_in_time=datetime.now(UTC))
    assert rows(again) == [(1002, 9999)]


def test_clone_refuses_a_moment_it_cannot_reach(plane: PostgresPlane) -> None:
    earliest, latest = plane.recovery_window(NAME)
    assert earliest is not None
    assert earliest < latest
    for point in (earliest - timedelta(seconds=1), datetime.now(UTC) + timedelta(minutes=1)):
        with pytest.raises(DataPlaneError, match="outside") as raised:
            plane.clone(NAME, "plant:never", point_in_time=point)
        assert raised.value.reason == "out-of-range"
    assert plane.names() == [NAME]
    with pytest.raises(DataPlaneError) as raised:
        plane.clone("plant:missing", "plant:never")
    assert raised.value.reason == "not-found"


def test_clone_of_a_stopped_instance_ends_with_its_last_commit(plane: PostgresPlane) -> None:
    insert(plane, 1, 10)
    point = datetime.now(UTC)
    time.sleep(0.01)
    plane.stop(NAME)
    assert rows(plane.clone(NAME, "plant:late", point_in_time=point)) == [(10, 10)]
    with pytest.raises(DataPlaneError) as raised:
        plane.clone(NAME, "plant:later", point_in_time=datetime.now(UTC) + timedelta(seconds=1))
    assert raised.value.reason == "out-of-range"


def test_restore_replaces_the_data_and_nothing_else(plane: PostgresPlane) -> None:
    insert(plane, 1, 100)
    backup = plane.backup(NAME, "1700000000001")
    assert backup.size_bytes > 1_000_000
    insert(plane, 101, 200)
    before_restore = datetime.now(UTC)
    plane.configure(NAME, flags={"max_connections": "55"})
    before = plane.describe(NAME)
    plane.restore(NAME, backup.id)
    after = plane.describe(NAME)
    assert rows(after) == [(100, 100)]
    assert (after.port, after.server_ca, after.flags) == (before.port, before.server_ca, {"max_connections": "55"})
    assert query(after, "owner", SECRET, "SHOW max_connections") == [("55",)]
    insert(plane, 201, 210)
    # both sides of the restore can still be reached
    assert rows(plane.clone(NAME, "plant:before", point_in_time=before_restore)) == [(200, 200)]
    assert rows(plane.clone(NAME, "plant:after", point_in_time=datetime.now(UTC))) == [(110, 210)]
    plane.restore("plant:after", backup.id, source=NAME)
    assert rows(plane.describe("plant:after")) == [(100, 100)]
    assert [one.id for one in plane.backups(NAME)] == [backup.id]
    for act in (plane.delete_backup, plane.restore):
        with pytest.raises(DataPlaneError) as raised:
            act(NAME, "other")
        assert raised.value.reason == "not-found"
    plane.delete(NAME, keep_backups=True)
    assert [one.id for one in plane.backups(NAME)] == [backup.id]
    plane.delete_backup(NAME, backup.id)
    assert plane.backups(NAME) == []


def test_a_broken_backup_leaves_the_instance_as_it_was(plane: PostgresPlane) -> None:
    insert(plane, 1, 7)
    plane.backup(NAME, "broken")
    (plane.base / "backups" / NAME / "broken/data/global/pg_control").write_bytes(b"\0" * 8192)
    with pytest.raises(DataPlaneError):
        plane.restore(NAME, "broken")
    assert rows(plane.describe(NAME)) == [(7, 7)]
    insert(plane, 8, 8)
    plane.delete_backup(NAME, "broken")
    assert rows(plane.clone(NAME, "plant:fine", point_in_time=datetime.now(UTC))) == [(8, 8)]


def test_trim_moves_the_earliest_moment(plane: PostgresPlane) -> None:
    first, _ = plane.recovery_window(NAME)
    insert(plane, 1, 20000)
    backup = plane.backup(NAME, "base")
    insert(plane, 20001, 20002)
    plane.trim(NAME, datetime.now(UTC))
    earliest, _ = plane.recovery_window(NAME)
    assert first is not None
    assert earliest == backup.moment > first
    assert rows(plane.clone(NAME, "plant:kept", point_in_time=datetime.now(UTC))) == [(20002, 20002)]
    with pytest.raises(DataPlaneError) as raised:
        plane.clone(NAME, "plant:gone", point_in_time=first)
    assert raised.value.reason == "out-of-range"


@pytest.mark.parametrize("kind", ["lazy", "standing", "primary-dead"])
def test_failover_keeps_every_acknowledged_row_and_the_port(plane: PostgresPlane, kind: str) -> None:
    if kind != "lazy":
        plane.configure(NAME, high_availability=True)
        assert plane.describe(NAME).standby_pid is not None
    before = plane.describe(NAME)
    acknowledged: list[int] = []
    done = threading.Event()
    writer = threading.Thread(target=_write_until, args=(plane, acknowledged, done))
    writer.start()
    _await(lambda: len(acknowledged) > 10)
    if kind == "primary-dead":
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        _await(lambda: plane.describe(NAME).state == "DOWN")
    gap = plane.failover(NAME)
    reached = len(acknowledged)
    _await(lambda: len(acknowledged) > reached + 10)
    done.set()
    writer.join()
    after = plane.describe(NAME)
    assert (after.port, after.state) == (before.port, "RUNNING")
    assert after.pid != before.pid
    assert 0 < gap < 10
    stored = {row[0] for row in query(after, "owner", SECRET, "SELECT id FROM rows")}
    assert set(acknowledged) <= stored
    assert query(after, "owner", SECRET, "SELECT timeline_id > 1 FROM pg_control_checkpoint()") == [(True,)]
    assert (after.standby_pid is not None) == (kind != "lazy")
    moment = datetime.now(UTC)
    assert rows(plane.clone(NAME, "plant:afterwards", point_in_time=moment)) == rows(after)


def test_failover_keeps_rows_that_the_standby_never_saw(plane: PostgresPlane) -> None:
    plane.configure(NAME, high_availability=True)
    described = plane.describe(NAME)
    assert described.pid is not None
    assert described.standby_pid is not None
    os.kill(described.standby_pid, signal.SIGKILL)
    _await(lambda: plane.describe(NAME).standby_pid is None)
    insert(plane, 1, 30000)  # more than one WAL file
    insert(plane, 30001, 30001)
    os.kill(described.pid, signal.SIGKILL)
    _await(lambda: plane.describe(NAME).state == "DOWN")
    plane.failover(NAME)
    assert rows(plane.describe(NAME)) == [(30001, 30001)]


def test_a_second_failover_goes_back(plane: PostgresPlane) -> None:
    plane.configure(NAME, high_availability=True, flags={"max_connections": "40"})
    insert(plane, 1, 5)
    plane.failover(NAME)
    insert(plane, 6, 10)
    plane.configure(NAME, flags={"max_connections": "20"})
    plane.failover(NAME)
    assert rows(plane.describe(NAME)) == [(10, 10)]
    assert query(plane.describe(NAME), "owner", SECRET, "SHOW max_connections") == [("20",)]
    plane.configure(NAME, high_availability=False)
    assert plane.describe(NAME).standby_pid is None


KILLED = """
import os, signal, sys
from pathlib import Path
from plantctl.sandbox.dataplane.postgres import PostgresPlane
plane = PostgresPlane(Path(sys.argv[1]), sys.argv[2])
plane.create("plant:killed", high_availability=True)
plane.create("plant:asleep")
plane.stop("plant:asleep")
plane.sql("plant:killed", "postgres", "CREATE TABLE rows AS SELECT generate_series(1, 77) AS id")
print(plane.describe("plant:killed").pid, flush=True)
plane.create("plant:torn")
record = plane.base / "instances/plant:torn/instance.json"
record.write_text(record.read_text().replace('"wanted": "running"', '"wanted": "creating"'))
(plane.base / "instances/plant:half").mkdir()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("server_too", [False, True])
def test_a_killed_sandbox_is_taken_over(root: tuple[Path, str], server_too: bool) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(root[0]), root[1]], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    pid = int(ended.stdout)
    if server_too:
        os.kill(pid, signal.SIGKILL)
    plane = PostgresPlane(*root)
    try:
        found = {one.name: one.how for one in plane.adopt()}
        kept = "started" if server_too else "kept"
        discarded = {"plant:half": "discarded", "plant:torn": "discarded"}
        assert found == {"plant:killed": kept, "plant:asleep": "stopped", **discarded}
        assert plane.names() == ["plant:asleep", "plant:killed"]
        assert all("torn" not in server for server in _servers_below(plane.base))
        described = plane.describe("plant:killed")
        assert (described.pid == pid) is not server_too
        assert described.standby_pid is not None
        assert plane.sql("plant:killed", "postgres", "SELECT count(*) AS n FROM rows") == [{"n": 77}]
        followers = plane.sql("plant:killed", "postgres", "SELECT state FROM pg_stat_replication")
        assert followers == [{"state": "streaming"}]
    finally:
        plane.stop_all()
        assert _servers_below(plane.base) == []
        plane.clear()


def test_instances_are_made_side_by_side(root: tuple[Path, str]) -> None:
    plane = PostgresPlane(*root)
    outcomes: list[str] = []

    def make(name: str) -> None:
        try:
            described = plane.create(name)
            plane.create_user(name, "owner", password=SECRET)
            outcomes.append(f"{name} {query(described, 'owner', SECRET, 'SELECT 1')}")
        except DataPlaneError as error:
            outcomes.append(error.reason)

    threads = [threading.Thread(target=make, args=(name,)) for name in ("plant:a", "plant:b", "plant:b")]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["exists", "plant:a [(1,)]", "plant:b [(1,)]"]
        plane.backup("plant:a", "1")
    finally:
        plane.clear()
    assert plane.names() == []
    assert plane.backups("plant:a") == []


def _write_until(plane: PostgresPlane, acknowledged: list[int], done: threading.Event) -> None:
    """A client of libpq that reconnects for each row, and notes its id only after the commit was confirmed."""
    described = plane.describe(NAME)
    ca = plane.base / "seen-ca.pem"
    ca.write_text(described.server_ca)
    psql = binaries.find(described.source, accounts.Account.current(), plane.base).tool("psql")
    target = f"host=127.0.0.1 port={described.port} user=owner dbname=postgres sslmode=verify-full sslrootcert={ca}"
    for number in itertools.count(1):
        argv = [psql, "-XqAt", "-c", f"INSERT INTO rows VALUES ({number})", target]
        ended = subprocess.run(argv, env={"PGPASSWORD": SECRET}, capture_output=True, timeout=20, check=False)
        if ended.returncode == 0:
            acknowledged.append(number)
        if done.is_set():
            return


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _servers_below(folder: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, timeout=10, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line and "postgres" in line]
