"""Memorystore with real Redis behind it, through Google's own client: a server that keeps the API's word."""

from __future__ import annotations

import math
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import redis
from googleapiclient.errors import HttpError
from redis.exceptions import AuthenticationError, RedisError

from plantctl.sandbox.app import App
from plantctl.sandbox.dataplane.command import command_line
from plantctl.sandbox.dataplane.plane import DataPlane, redis_name
from plantctl.sandbox.services.storage_objects import put_object, read_object
from tests.sandbox import plane_kit
from tests.sandbox import redis_kit as kit
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.dataplane.redis_client import ask, client, until, write_through

pytestmark = pytest.mark.dataplane
NAME = redis_name(PROJECT, "us-central1", "plant-redis")
RDB = {"persistenceMode": "RDB", "rdbSnapshotPeriod": "TWENTY_FOUR_HOURS"}
BACKUP = f"plant-backup-sa@{PROJECT}.iam.gserviceaccount.com"
URI = {"uri": "gs://plant-test-backup/plant-redis.rdb"}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with a data plane, for all tests of this file, and a bucket that the instance may write to."""
    app = App(tmp_path_factory.mktemp("sandbox"), speed=math.inf, plane=True, strict=True)
    app.start()
    box = Sandbox(app)
    try:
        box.reset()
        kit.network(box)
        box.ok("POST", f"storage/storage/v1/b?project={PROJECT}", {"name": "plant-test-backup"})
        allow(box, "roles/storage.legacyBucketWriter", "roles/storage.objectAdmin")
        yield box
    finally:
        box.session.close()
        if app.world.plane is not None:
            app.world.plane.purge()
        app.stop()


@pytest.fixture(scope="module")
def instances(box: Sandbox) -> Iterator[Any]:
    """The collection of Google's client."""
    google = box.client("redis", "v1")
    yield google.projects().locations().instances()
    google.close()


@pytest.fixture(scope="module")
def plant(box: Sandbox) -> dict[str, Any]:
    """The instance."""
    return kit.make(box, redisConfigs={"maxmemory-policy": "volatile-ttl"}, persistenceConfig=RDB)


def allow(box: Sandbox, *roles: str) -> None:
    """The roles that the instance's identity has on the bucket, and no others."""
    policy = {"bindings": [{"role": role, "members": [kit.AGENT]} for role in roles]}
    box.ok("PUT", "storage/storage/v1/b/plant-test-backup/iam", policy)


def shown(box: Sandbox) -> dict[str, Any]:
    """What `GET /_sandbox/dataplane` tells of the instance."""
    found = box.ok("GET", "_sandbox/dataplane")["redis"]["instances"]
    return next(dict(one) for one in found if one["name"] == NAME)


def connect(box: Sandbox) -> redis.Redis:
    """A client with what the API gives: CA and AUTH string."""
    live = box.ok("GET", f"{kit.REST}/plant-redis")
    secret = box.ok("GET", f"{kit.REST}/plant-redis/authString").get("authString")
    ca = "".join(one["cert"] for one in live["serverCaCerts"])
    return client(shown(box)["port"], secret, ca=ca)


def test_ca_and_auth_string_of_the_api_open_the_door(box: Sandbox, plant: dict[str, Any]) -> None:
    assert ask(connect(box), "SET", "hello", "plant") is True
    (authority,) = plant["serverCaCerts"]
    assert authority["cert"] == Path(shown(box)["ca_file"]).read_text()
    with pytest.raises(AuthenticationError):
        ask(client(shown(box)["port"], ca=authority["cert"]), "PING")
    secret = box.ok("GET", f"{kit.REST}/plant-redis/authString")["authString"]
    with pytest.raises(RedisError, match="certificate verify failed"):
        ask(client(shown(box)["port"], secret, ssl=True), "PING")
    connection = connect(box)
    memory: Any = connection.info("memory")
    connection.close()
    assert (memory["maxmemory"], memory["maxmemory_policy"]) == (1024**3, "volatile-ttl")


@pytest.mark.skipif(which("redis-cli") is None, reason="redis-cli is not installed")
def test_redis_cli(box: Sandbox, plant: dict[str, Any]) -> None:
    secret = box.ok("GET", f"{kit.REST}/plant-redis/authString")["authString"]
    tls = ["redis-cli", "-p", str(shown(box)["port"]), "--tls", "--cacert", shown(box)["ca_file"]]

    def said(env: dict[str, str]) -> str:
        done = subprocess.run([*tls, "PING"], env={**os.environ, **env}, capture_output=True, text=True, timeout=20)
        return done.stdout.strip()

    assert said({"REDISCLI_AUTH": secret}) == "PONG"
    assert said({}).startswith("NOAUTH")


def test_auth_rotated_shuts_the_old_string_out(box: Sandbox, plant: dict[str, Any]) -> None:
    old = box.ok("GET", f"{kit.REST}/plant-redis/authString")["authString"]
    for on in (False, True):
        assert "error" not in kit.change(box, "authEnabled", authEnabled=on)
    with pytest.raises(AuthenticationError):
        ask(client(shown(box)["port"], old, ca=plant["serverCaCerts"][0]["cert"]), "PING")
    assert ask(connect(box), "PING") is True


def test_a_patch_reaches_the_server(box: Sandbox, plant: dict[str, Any]) -> None:
    configs = {"maxmemory-policy": "allkeys-lfu"}
    assert "error" not in kit.change(box, "memorySizeGb,redisConfigs", memorySizeGb=2, redisConfigs=configs)
    connection = connect(box)
    memory: Any = connection.info("memory")
    connection.close()
    assert (memory["maxmemory"], memory["maxmemory_policy"]) == (2 * 1024**3, "allkeys-lfu")


def test_failover_promotes_the_replica_with_its_data(box: Sandbox, instances: Any, plant: dict[str, Any]) -> None:
    before, zone = shown(box), box.ok("GET", f"{kit.REST}/plant-redis")["currentLocationId"]
    ask(connect(box), "SET", "kept", "7")
    answer = instances.failover(name=kit.ONE, body={"dataProtectionMode": "LIMITED_DATA_LOSS"}).execute()
    assert "error" not in kit.settle(box, answer)
    after, live = shown(box), instances.get(name=kit.ONE).execute()
    assert live["currentLocationId"] != zone
    assert (live["host"], after["port"], after["pid"]) == (plant["host"], before["port"], before["replica_pid"])
    assert ask(connect(box), "GET", "kept") == "7"


def test_a_failover_that_would_lose_too_much_is_aborted(box: Sandbox, plant: dict[str, Any]) -> None:
    before = shown(box)
    os.kill(before["replica_pid"], signal.SIGSTOP)
    try:
        connection = connect(box)
        for number in range(32):
            connection.set(f"large:{number}", "x" * 1024**2)
        connection.close()
        done = kit.act(box, "failover")
        assert (done["error"]["code"], "bytes behind" in done["error"]["message"]) == (9, True)
    finally:
        os.kill(before["replica_pid"], signal.SIGCONT)
    assert box.ok("GET", f"{kit.REST}/plant-redis")["state"] == "READY"
    assert "error" not in kit.act(box, "failover", dataProtectionMode="FORCE_DATA_LOSS")
    assert shown(box)["pid"] == before["replica_pid"]
    ask(connect(box), "FLUSHALL")


def test_a_primary_that_dies_is_replaced_and_the_api_shows_it(box: Sandbox, plant: dict[str, Any]) -> None:
    before, zone = shown(box), box.ok("GET", f"{kit.REST}/plant-redis")["currentLocationId"]
    write_through(connect(box), "kept", "8")
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: shown(box)["pid"] == before["replica_pid"])
    assert ask(connect(box), "GET", "kept") == "8"
    assert box.ok("GET", f"{kit.REST}/plant-redis")["currentLocationId"] != zone
    until(lambda: shown(box)["replica_pid"])


def test_export_then_import_brings_the_data_back(box: Sandbox, plant: dict[str, Any]) -> None:
    ask(connect(box), "MSET", "kept", "1", "also", "1")
    assert "error" not in kit.act(box, "export", outputConfig={"gcsDestination": URI})
    file = read_object(box.app.world, "plant-test-backup", "plant-redis.rdb")
    assert file[:5] in (b"REDIS", b"VALKE")
    ask(connect(box), "MSET", "kept", "2", "later", "2")
    done = kit.act(box, "import", inputConfig={"gcsSource": URI})
    assert done["response"]["state"] == "READY"
    assert ask(connect(box), "MGET", "kept", "also", "later") == ["1", "1", None]
    put_object(box.app.world, "plant-test-backup", "rubbish", b"no RDB", "")
    done = kit.act(box, "import", inputConfig={"gcsSource": {"uri": "gs://plant-test-backup/rubbish"}})
    assert "no RDB" in done["error"]["message"]
    assert box.ok("GET", f"{kit.REST}/plant-redis")["state"] == "READY"
    assert ask(connect(box), "GET", "kept") == "1"


def test_export_needs_rights_of_the_caller_and_of_the_instance(box: Sandbox, plant: dict[str, Any]) -> None:
    plane_kit.account(box, BACKUP)
    token, _ = box.app.world.access.mint(BACKUP, "access")
    headers = {"Authorization": f"Bearer {token}"}
    path, given = f"{kit.REST}/plant-redis:export", {"outputConfig": {"gcsDestination": URI}}
    allow(box, "roles/storage.legacyBucketReader", "roles/storage.objectAdmin")
    kit.settle(box, box.ok("POST", path, given))  # by the owner: from here on an export overwrites
    answer = box.post(path, given, headers=headers)
    assert answer.status_code == 403
    assert "redis.instances.export" in answer.json()["error"]["message"]
    project = f"cloudresourcemanager/v1/projects/{PROJECT}"
    plane_kit.grant(box, project, "roles/redis.editor", f"serviceAccount:{BACKUP}")
    assert box.call("DELETE", f"{kit.REST}/plant-redis", headers=headers).status_code == 403
    for roles, lacking in (
        ((), "storage.buckets.get, storage.objects.create, storage.objects.delete"),
        (("roles/storage.objectAdmin",), "storage.buckets.get"),
        (("roles/storage.legacyBucketReader", "roles/storage.objectCreator"), "storage.objects.delete"),
    ):
        allow(box, *roles)
        done = kit.settle(box, box.ok("POST", path, given, headers=headers))
        assert (done["error"]["code"], done["error"]["message"].split(": ")[1]) == (7, f"{lacking}.")
    allow(box, "roles/storage.legacyBucketReader", "roles/storage.objectAdmin")
    assert "error" not in kit.settle(box, box.ok("POST", path, given, headers=headers))


def test_export_refuses_what_is_no_place(box: Sandbox, plant: dict[str, Any]) -> None:
    given = {"outputConfig": {"gcsDestination": {"uri": "plant-redis.rdb"}}}
    assert "gs://bucket/object" in kit.refused(box, "POST", f"{kit.REST}/plant-redis:export", given)
    done = kit.act(box, "export", outputConfig={"gcsDestination": {"uri": "gs://no-such-bucket/x"}})
    assert done["error"]["code"] == 5


def test_a_snapshot_is_taken_when_the_clock_comes_to_it(box: Sandbox, plant: dict[str, Any]) -> None:
    start = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    kit.change(box, "persistenceConfig", persistenceConfig={**RDB, "rdbSnapshotStartTime": start})
    assert box.app.world.plane is not None
    plane = box.app.world.plane.redis
    due = box.ok("GET", f"{kit.REST}/plant-redis")["persistenceConfig"]["rdbNextSnapshotTime"]
    taken = plane.describe(NAME).snapshot
    box.call("PUT", "_sandbox/clock", {"advance_s": 3600})
    assert plane.describe(NAME).snapshot == taken
    box.call("PUT", "_sandbox/clock", {"advance_s": 3700})
    assert plane.describe(NAME).snapshot not in (None, taken)
    following = box.ok("GET", f"{kit.REST}/plant-redis")["persistenceConfig"]["rdbNextSnapshotTime"]
    day = datetime.fromisoformat(following) - datetime.fromisoformat(due)
    assert day == timedelta(hours=24)


def test_delete_leaves_no_server(box: Sandbox, instances: Any, plant: dict[str, Any]) -> None:
    before = shown(box)
    assert "error" not in kit.settle(box, instances.delete(name=kit.ONE).execute())
    assert [command_line(before[pid]) for pid in ("pid", "replica_pid")] == ["", ""]
    with pytest.raises(HttpError) as caught:
        instances.get(name=kit.ONE).execute()
    assert caught.value.status_code == 404
    assert box.ok("GET", "_sandbox/dataplane")["redis"]["instances"] == []


def test_create_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The process ends while the operation runs; the next one finishes it, another one keeps the data."""
    app = App(tmp_path, speed=math.inf, plane=True, strict=True)
    app.start()
    first = Sandbox(app)
    first.reset()
    kit.network(first)
    first.call("PUT", "_sandbox/clock", {"speed": 300})
    operation = first.ok("POST", f"{kit.REST}?instanceId=plant-redis", kit.body())
    assert operation["done"] is False
    first.session.close()
    app.stop()
    for round_ in range(2):
        app = App(tmp_path, speed=300, plane=True, strict=True)
        app.start()
        box = Sandbox(app)
        try:
            assert kit.settle(box, operation)["response"]["state"] == "READY"
            if round_ == 0:
                ask(connect(box), "SET", "kept", "1")
            assert ask(connect(box), "GET", "kept") == "1"
            served = shown(box)
        finally:
            box.session.close()
            app.stop()
        assert [command_line(served[pid]) for pid in ("pid", "replica_pid")] == ["", ""]
    DataPlane(tmp_path / "dataplane", app.world.access.mint).purge()
