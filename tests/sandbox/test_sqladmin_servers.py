"""Cloud SQL Admin with real PostgreSQL behind it, through Google's own client: a server that keeps the API's word."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import requests
from googleapiclient.errors import HttpError

from plantctl.sandbox.app import App
from plantctl.sandbox.dataplane.plane import DataPlane, sql_name
from plantctl.sandbox.services.storage_objects import read_object
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.sqladmin_kit import ONE, body

pytestmark = pytest.mark.dataplane
PASSWORD = "p%40ss w0rd'\""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with a data plane, for all tests of this file."""
    app = App(tmp_path_factory.mktemp("sandbox"), speed=math.inf, plane=True, strict=True)
    app.start()
    box = Sandbox(app)
    try:
        box.reset()
        yield box
    finally:
        box.session.close()
        if app.world.plane is not None:
            app.world.plane.purge()
        app.stop()


@pytest.fixture(scope="module")
def sql(box: Sandbox) -> Iterator[Any]:
    """Google's client."""
    client = box.client("sqladmin", "v1")
    yield client
    client.close()


def done(sql: Any, operation: dict[str, Any]) -> dict[str, Any]:
    """Wait for an operation that has to succeed."""
    while operation["status"] != "DONE":
        time.sleep(0.05)
        operation = sql.operations().get(project=PROJECT, operation=operation["name"]).execute()
    assert "error" not in operation, operation
    return operation


@pytest.fixture(scope="module")
def plant(box: Sandbox, sql: Any) -> dict[str, Any]:
    """The instance `plant` with database plant_db and user plant_app."""
    request = body(
        availabilityType="REGIONAL",
        backupConfiguration={"enabled": True, "pointInTimeRecoveryEnabled": True, "startTime": "03:00"},
        ipConfiguration={"sslMode": "ENCRYPTED_ONLY"},
        databaseFlags=[{"name": "max_connections", "value": "60"}],
    )
    done(sql, sql.instances().insert(project=PROJECT, body=request).execute())
    names = {"project": PROJECT, "instance": "plant"}
    done(sql, sql.databases().insert(**names, body={"name": "plant_db"}).execute())
    done(sql, sql.users().insert(**names, body={"name": "plant_app", "password": PASSWORD}).execute())
    return dict(sql.instances().get(**names).execute())


async def connect(box: Sandbox, live: dict[str, Any], tls: bool = True, **login: Any) -> Any:
    """A client's connection: the CA comes from the API, and the server's certificate has to verify by it."""
    assert box.app.world.plane is not None
    port = box.app.world.plane.sql_port(PROJECT, live["name"])
    context = ssl.create_default_context(cadata=live["serverCaCert"]["cert"])
    login = {"user": "plant_app", "password": PASSWORD, "database": "plant_db"} | login
    return await asyncpg.connect(host="127.0.0.1", port=port, ssl=context if tls else False, timeout=10, **login)


def query(box: Sandbox, live: dict[str, Any], *statements: str, **login: Any) -> Any:
    """Run statements as the application's user; gives the last one's first value."""

    async def run() -> Any:
        connection = await connect(box, live, **login)
        try:
            value = None
            for statement in statements:
                value = await connection.fetchval(statement)
            return value
        finally:
            await connection.close()

    return asyncio.run(run())


def refused(box: Sandbox, live: dict[str, Any], **login: Any) -> None:
    """A connection that must not come about."""

    async def run() -> None:
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await connect(box, live, **login)
        await asyncio.sleep(0.05)  # asyncpg's transport closes itself a moment after the error

    asyncio.run(run())


def test_tls_version_flags_and_certificate(box: Sandbox, plant: dict[str, Any]) -> None:
    """The server that the API describes is the one that answers."""
    assert query(box, plant, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "TLSv1.3"
    assert query(box, plant, "SHOW max_connections") == "60"
    major = query(box, plant, "SHOW server_version").split(".")[0]
    assert plant["databaseInstalledVersion"].startswith(f"POSTGRES_{major}_")
    refused(box, plant, tls=False)
    refused(box, plant, password="wrong")


def test_certificate_verifies_for_the_address(box: Sandbox, plant: dict[str, Any]) -> None:
    """Clients check the address that the API shows."""
    assert box.app.world.plane is not None
    described = box.app.world.plane.postgres.describe(sql_name(PROJECT, "plant"))
    assert plant["ipAddresses"][0]["ipAddress"] in described.names


def test_user_rights(box: Sandbox, sql: Any, plant: dict[str, Any]) -> None:
    """Without databaseRoles a member of cloudsqlsuperuser, with them of these only; a role that owns cannot go."""
    member = "SELECT pg_has_role(current_user, 'cloudsqlsuperuser', 'member')"
    assert query(box, plant, member) is True
    names = {"project": PROJECT, "instance": "plant"}
    request = {"name": "reader", "password": "r", "databaseRoles": ["pg_read_all_data"]}
    done(sql, sql.users().insert(**names, body=request).execute())
    assert query(box, plant, member, user="reader", password="r") is False
    # once more: the password is the new one (hazards section 2)
    done(sql, sql.users().insert(**names, body={**request, "password": "s"}).execute())
    assert query(box, plant, "SELECT 1", user="reader", password="s") == 1
    query(box, plant, "CREATE TABLE owned (id int)")
    with pytest.raises(HttpError, match="cannot be dropped"):
        sql.users().delete(**names, name="plant_app").execute()
    query(box, plant, "DROP TABLE owned")
    done(sql, sql.users().delete(**names, name="reader").execute())
    refused(box, plant, user="reader", password="s")


def test_update_reaches_the_server(box: Sandbox, sql: Any, plant: dict[str, Any]) -> None:
    """A flag that needs a restart, and a stop and start."""
    names = {"project": PROJECT, "instance": "plant"}
    flags = [{"name": "max_connections", "value": "70"}]
    done(sql, sql.instances().patch(**names, body={"settings": {"databaseFlags": flags}}).execute())
    assert query(box, plant, "SHOW max_connections") == "70"
    done(sql, sql.instances().patch(**names, body={"settings": {"activationPolicy": "NEVER"}}).execute())
    refused(box, plant)
    done(sql, sql.instances().patch(**names, body={"settings": {"activationPolicy": "ALWAYS"}}).execute())
    assert query(box, plant, "SELECT 1") == 1


def test_dropped_behind_its_back(box: Sandbox, sql: Any, plant: dict[str, Any]) -> None:
    """The API shows what the server has, not what was once asked for."""
    names = {"project": PROJECT, "instance": "plant"}
    done(sql, sql.databases().insert(**names, body={"name": "doomed"}).execute())
    assert "doomed" in [one["name"] for one in sql.databases().list(**names).execute()["items"]]
    query(box, plant, "DROP DATABASE doomed")
    with pytest.raises(HttpError) as caught:
        sql.databases().get(**names, database="doomed").execute()
    assert caught.value.status_code == 404
    query(box, plant, "CREATE DATABASE made_by_sql")
    assert "made_by_sql" in [one["name"] for one in sql.databases().list(**names).execute()["items"]]
    with pytest.raises(HttpError, match="already exists"):
        sql.databases().insert(**names, body={"name": "made_by_sql"}).execute()


def test_backup_restore_and_clone(box: Sandbox, sql: Any, plant: dict[str, Any]) -> None:
    """Two rows at the backup, three at a moment, four at the end: each is found again."""
    names = {"project": PROJECT, "instance": "plant"}
    query(box, plant, "CREATE TABLE seen (id int)", "INSERT INTO seen VALUES (1), (2)")
    operation = done(sql, sql.backupRuns().insert(**names, body={"description": "two"}).execute())
    run = operation["backupContext"]["backupId"]
    assert int(sql.backupRuns().get(**names, id=run).execute()["maxChargeableBytes"]) > 1_000_000
    query(box, plant, "INSERT INTO seen VALUES (3)")
    time.sleep(0.05)
    moment = datetime.now(UTC).isoformat()
    time.sleep(0.05)
    # a leap of the clock between the moment and now must not move the moment
    requests.put(f"{box.rest}/_sandbox/clock", json={"advance_s": 3600}, timeout=30)
    query(box, plant, "INSERT INTO seen VALUES (4)")
    window = sql.projects().instances().getLatestRecoveryTime(**names).execute()
    assert window["earliestRecoveryTime"] < moment < window["latestRecoveryTime"]
    context = {"destinationInstanceName": "plant-pitr", "pointInTime": moment}
    done(sql, sql.instances().clone(**names, body={"cloneContext": context}).execute())
    clone = sql.instances().get(project=PROJECT, instance="plant-pitr").execute()
    assert query(box, clone, "SELECT count(*) FROM seen") == 3
    assert clone["serverCaCert"]["cert"] != plant["serverCaCert"]["cert"]
    assert query(box, plant, "SELECT count(*) FROM seen") == 4
    context = {"backupRunId": run, "instanceId": "plant", "project": PROJECT}
    done(sql, sql.instances().restoreBackup(**names, body={"restoreBackupContext": context}).execute())
    assert query(box, plant, "SELECT count(*) FROM seen") == 2
    assert sql.instances().get(**names).execute()["settings"]["backupConfiguration"]["enabled"] is False


def test_failover_keeps_data(box: Sandbox, sql: Any, plant: dict[str, Any]) -> None:
    """The standby has every commit; the login and the certificate stay."""
    query(box, plant, "CREATE TABLE kept AS SELECT 7 AS id")
    done(sql, sql.instances().failover(project=PROJECT, instance="plant", body={}).execute())
    assert query(box, plant, "SELECT id FROM kept") == 7


def test_export_is_an_object(box: Sandbox, sql: Any, plant: dict[str, Any]) -> None:
    """A query's rows as CSV in the bucket, written with the instance's identity."""
    box.ok("POST", f"storage/storage/v1/b?project={PROJECT}", {"name": "plant-exports"})
    member = f"serviceAccount:{plant['serviceAccountEmailAddress']}"
    policy = {"bindings": [{"role": "roles/storage.objectAdmin", "members": [member]}]}
    box.ok("PUT", "storage/storage/v1/b/plant-exports/iam", policy)
    context = {
        "fileType": "CSV",
        "uri": "gs://plant-exports/rows.csv",
        "databases": ["plant_db"],
        "offload": True,
        "csvExportOptions": {"selectQuery": "SELECT n, 'a,b' FROM generate_series(1, 2) AS n"},
    }
    done(sql, sql.instances().export(project=PROJECT, instance="plant", body={"exportContext": context}).execute())
    assert read_object(box.app.world, "plant-exports", "rows.csv") == b'1,"a,b"\n2,"a,b"\n'


def test_delete_leaves_no_server(box: Sandbox, sql: Any, plant: dict[str, Any]) -> None:
    """The last word: nothing listens any more, and the name is free."""
    assert box.app.world.plane is not None
    servers = box.app.world.plane.postgres
    for name in ("plant", "plant-pitr"):
        if box.get(f"{ONE.removesuffix('plant')}{name}").status_code == 200:
            done(sql, sql.instances().delete(project=PROJECT, instance=name).execute())
        assert sql_name(PROJECT, name) not in servers.names()
    assert box.get(ONE).status_code == 404


def test_create_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The process ends while CREATE runs; the next one finishes it, and the server answers. Another one keeps it."""
    app = App(tmp_path, speed=300, plane=True, strict=True)
    app.start()
    first = Sandbox(app)
    given = {"projectId": PROJECT, "projectNumber": "518915279", "services": ["*"]}
    first.post("_sandbox/reset", {"projects": [given], "speed": 300})
    operation = first.ok("POST", ONE.removesuffix("/plant"), body())
    assert operation["status"] != "DONE"
    first.session.close()
    app.stop()
    for _ in range(2):
        app = App(tmp_path, speed=300, plane=True, strict=True)
        app.start()
        box = Sandbox(app)
        try:
            live = settle_slowly(box, operation)
            assert live["state"] == "RUNNABLE"
            assert app.world.plane is not None
            rows = app.world.plane.postgres.sql(sql_name(PROJECT, "plant"), "postgres", "SELECT 1 AS one")
            assert rows == [{"one": 1}]
        finally:
            box.session.close()
            app.stop()
    DataPlane(tmp_path / "dataplane", app.world.access.mint).purge()


def settle_slowly(box: Sandbox, operation: dict[str, Any]) -> dict[str, Any]:
    """Wait for an operation at a finite speed; gives the instance."""
    path = f"{ONE.partition('/instances')[0]}/operations/{operation['name']}"
    while box.ok("GET", path)["status"] != "DONE":
        time.sleep(0.1)
    return dict(box.ok("GET", ONE))
