"""The Redis plane as a customer sees it: TLS, AUTH, configuration, failover, RDB. On both distributions."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError, RedisError

from plantctl.sandbox.dataplane import accounts
from plantctl.sandbox.dataplane.cache import engine
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.forward import ForwardLoop
from plantctl.sandbox.dataplane.redis import RedisPlane, Wish
from tests.sandbox.dataplane.client import state_folder
from tests.sandbox.dataplane.redis_client import ask, client, of, until

pytestmark = pytest.mark.dataplane
NAME = "plant.us-central1.plant-redis"
SECRET = "0a6f2f6e-auth"
WISH = Wish(memory_gb=1, auth=SECRET, replica=True, persistent=True)


@pytest.fixture(scope="module")
def loop() -> Iterator[ForwardLoop]:
    loop = ForwardLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="module", params=["system", "wheel"])
def plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, loop: ForwardLoop
) -> Iterator[RedisPlane]:
    if request.param == "system" and engine.system(accounts.Account.current()) is None:
        pytest.skip("no Redis 7 of the system here")
    plane = RedisPlane(state_folder(tmp_path_factory), loop, request.param)
    try:
        plane.create(NAME, WISH, tls=True, names=["10.1.2.3"])
        yield plane
    finally:
        plane.purge()


@pytest.fixture(autouse=True)
def restored(plane: RedisPlane) -> Iterator[None]:
    """Every test finds the instance as it was made, and empty."""
    yield
    plane.configure(NAME, WISH)
    ask(of(plane.describe(NAME), SECRET), "FLUSHALL")


def test_tls_by_the_ca_and_auth_and_nothing_less(plane: RedisPlane) -> None:
    found = plane.describe(NAME)
    assert ask(of(found, SECRET), "PING") is True
    with pytest.raises(AuthenticationError):
        ask(of(found), "PING")
    with pytest.raises(AuthenticationError):
        ask(of(found, "wrong"), "PING")
    with pytest.raises(RedisError):  # no TLS at all
        ask(client(found.port, SECRET, socket_timeout=2), "PING")
    with pytest.raises(RedisError, match="certificate verify failed"):  # the public CAs do not know it
        ask(client(found.port, SECRET, ssl=True), "PING")


def test_the_description_tells_what_really_serves(plane: RedisPlane) -> None:
    found = plane.describe(NAME)
    told = of(found, SECRET)
    server: Any = told.info("server")
    told.close()
    said = server.get("valkey_version") or server["redis_version"]
    assert found.version == f"{'Valkey' if 'valkey_version' in server else 'Redis'} {said}"
    assert found.tls == ("server" if found.source == "system" else "tunnel")
    assert found.pid is not None
    if os.geteuid() == 0:  # never as root
        assert os.stat(f"/proc/{found.pid}").st_uid == accounts.UNPRIVILEGED


@pytest.mark.parametrize("command", ["CONFIG GET maxmemory", "ACL LIST", "BGSAVE", "SHUTDOWN", "REPLICAOF NO ONE"])
def test_commands_that_memorystore_blocks(plane: RedisPlane, command: str) -> None:
    with pytest.raises(NoPermissionError):
        ask(of(plane.describe(NAME), SECRET), *command.split())


def test_configuration_is_changed_in_place(plane: RedisPlane) -> None:
    before = plane.describe(NAME)
    connection = of(before, SECRET)
    memory: Any = connection.info("memory")
    assert (memory["maxmemory"], memory["maxmemory_policy"]) == (1024**3, "volatile-lru")
    configs = {"maxmemory-policy": "volatile-ttl", "maxmemory-gb": "1.5", "activedefrag": "yes"}
    assert plane.configure(NAME, replace(WISH, memory_gb=2, configs=configs)) is False
    memory = connection.info("memory")
    assert (memory["maxmemory"], memory["maxmemory_policy"]) == (3 * 512 * 1024**2, "volatile-ttl")
    connection.close()
    after = plane.describe(NAME)
    assert after.pid == before.pid
    assert list(after.ignored) == ["activedefrag"]


def test_a_number_of_databases_needs_a_restart_that_keeps_the_data(plane: RedisPlane) -> None:
    before = plane.describe(NAME)
    ask(of(before, SECRET), "SET", "kept", "1")
    assert plane.configure(NAME, replace(WISH, configs={"databases": "20"})) is True
    after = plane.describe(NAME)
    assert (after.port, after.replica_pid is not None) == (before.port, True)
    assert after.pid != before.pid
    assert ask(of(after, SECRET), "GET", "kept") == "1"
    assert ask(of(after, SECRET), "SELECT", "19") is True


def test_a_new_auth_string_shuts_the_old_one_out(plane: RedisPlane) -> None:
    found = plane.describe(NAME)
    plane.configure(NAME, replace(WISH, auth="another"))
    with pytest.raises(AuthenticationError):
        ask(of(found, SECRET), "PING")
    assert ask(of(found, "another"), "PING") is True
    plane.configure(NAME, replace(WISH, auth=""))
    assert ask(of(found), "PING") is True


def test_the_replica_serves_readers(plane: RedisPlane) -> None:
    found = plane.describe(NAME)
    ask(of(found, SECRET), "SET", "seen", "yes")
    reader = client(found.read_port, SECRET, ca=found.server_ca)
    assert until(lambda: reader.get("seen")) == "yes"
    with pytest.raises(ReadOnlyError):
        reader.set("seen", "no")
    reader.close()


def test_failover_keeps_every_acknowledged_write_and_drops_the_connections(plane: RedisPlane) -> None:
    # without TLS: redis-py leaves a socket open when a handshake breaks off, and the writer dials all the time
    name = f"{NAME}.plain"
    before = plane.create(name, WISH)
    idle = of(before, SECRET)
    held: Any = idle.connection_pool.get_connection()
    acknowledged: list[int] = []
    stop = threading.Event()

    def write() -> None:
        connection, number = of(before, SECRET), 0
        while not stop.is_set():
            number += 1
            with contextlib.suppress(RedisError):
                connection.set(f"key:{number}", number)
                acknowledged.append(number)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: len(acknowledged) > 50)
    gap = plane.failover(name)
    reached = len(acknowledged)
    until(lambda: len(acknowledged) > reached + 50)
    stop.set()
    writer.join()
    after = plane.describe(name)
    with pytest.raises(redis.ConnectionError):
        held.send_command("PING")
        held.read_response()
    idle.close()
    connection = of(after, SECRET)
    values = connection.mget([f"key:{number}" for number in acknowledged])
    connection.close()
    assert [value for value in values if value is None] == []
    assert gap < 5
    assert (after.port, after.index) == (before.port, 1 - before.index)
    assert after.pid == before.replica_pid
    assert after.replica_pid not in (None, before.pid, before.replica_pid)
    plane.delete(name)


def test_limited_data_loss_refuses_a_replica_that_is_far_behind(plane: RedisPlane) -> None:
    found = plane.describe(NAME)
    assert found.replica_pid is not None
    os.kill(found.replica_pid, signal.SIGSTOP)
    try:
        connection = of(found, SECRET)
        for number in range(32):
            connection.set(f"large:{number}", "x" * 1024**2)
        connection.close()
        with pytest.raises(DataPlaneError, match="bytes behind") as caught:
            plane.failover(NAME)
        assert caught.value.reason == "out-of-range"
    finally:
        os.kill(found.replica_pid, signal.SIGCONT)
    assert plane.describe(NAME).pid == found.pid
    plane.failover(NAME, force=True)
    assert plane.describe(NAME).pid == found.replica_pid
    assert ask(of(found, SECRET), "PING") is True  # over TLS, on the same port


def test_export_and_import_bring_the_data_back(plane: RedisPlane) -> None:
    found = plane.describe(NAME)
    ask(of(found, SECRET), "SET", "kept", "1")
    file = plane.export_rdb(NAME)
    assert file[:5] in (b"REDIS", b"VALKE")
    ask(of(found, SECRET), "MSET", "kept", "2", "later", "2")
    plane.import_rdb(NAME, file)
    assert ask(of(found, SECRET), "MGET", "kept", "later") == ["1", None]
    reader = client(plane.describe(NAME).read_port, SECRET, ca=found.server_ca)
    assert reader.mget("kept", "later") == ["1", None]
    reader.close()
    with pytest.raises(DataPlaneError, match="no RDB"):
        plane.import_rdb(NAME, b"no such file")
    assert ask(of(found, SECRET), "GET", "kept") == "1"
