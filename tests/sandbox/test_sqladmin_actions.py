"""Cloud SQL Admin, control plane: databases, users, backups by the clock, restore, clone, failover, export, lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from plantctl.sandbox.services import sqladmin_plane as plane
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.sqladmin_kit import BACKUP, BASE, INSTANCES, ONE, body, make, reason, refused, settle


def test_databases_and_users(sandbox: Sandbox) -> None:
    """Answered when done (recorded exchanges); an existing database is a 400, no password is ever shown."""
    make(sandbox)
    created = sandbox.ok("POST", f"{ONE}/databases", {"name": "plant_db", "charset": "UTF8", "collation": "en_US.UTF8"})
    assert (created["status"], created["operationType"]) == ("DONE", "CREATE_DATABASE")
    settle(sandbox, sandbox.ok("POST", f"{ONE}/databases", {"name": "plain"}))
    plain = sandbox.ok("GET", f"{ONE}/databases/plain")
    assert (plain["charset"], plain["collation"]) == ("UTF8", "en_US.UTF8")
    settle(sandbox, sandbox.ok("DELETE", f"{ONE}/databases/plain"))
    names = [one["name"] for one in sandbox.ok("GET", f"{ONE}/databases")["items"]]
    assert names == ["postgres", "plant_db"]
    assert "already exists" in refused(sandbox, {"name": "plant_db"}, "POST", f"{ONE}/databases")
    created = sandbox.ok("POST", f"{ONE}/users", {"name": "plant_app", "password": "p4ss-w0rd", "databaseRoles": ["x"]})
    assert (created["status"], created["operationType"]) == ("DONE", "CREATE_USER")
    listed = sandbox.get(f"{ONE}/users")
    assert [one["name"] for one in listed.json()["items"]] == ["postgres", "plant_app"]
    assert "p4ss-w0rd" not in listed.text
    assert all("p4ss-w0rd" not in str(found) for _, found in sandbox.app.world.store.list(""))
    assert sandbox.ok("DELETE", f"{ONE}/users?name=plant_app")["status"] == "DONE"
    assert sandbox.get(f"{ONE}/users/plant_app").status_code == 404
    settle(sandbox, sandbox.ok("DELETE", f"{ONE}/databases/plant_db"))
    assert sandbox.get(f"{ONE}/databases/plant_db").status_code == 404


def test_stopped_instance_serves_nothing(sandbox: Sandbox) -> None:
    """activationPolicy NEVER: state stays RUNNABLE (recorded exchange), but there is nothing to talk to."""
    make(sandbox)
    settle(sandbox, sandbox.ok("PATCH", ONE, {"settings": {"activationPolicy": "NEVER"}}))
    assert sandbox.ok("GET", ONE)["state"] == "RUNNABLE"
    assert "not running" in refused(sandbox, {}, "GET", f"{ONE}/databases")


def test_backup_on_demand_and_restore_resets_the_configuration(sandbox: Sandbox) -> None:
    """backupContext names the run; RESTORE_VOLUME resets the backup configuration (gcp-foundation section 5)."""
    make(sandbox, backupConfiguration=BACKUP)
    operation = settle(sandbox, sandbox.ok("POST", f"{ONE}/backupRuns", {"description": "before release"}))
    run = sandbox.ok("GET", f"{ONE}/backupRuns/{operation['backupContext']['backupId']}")
    assert (run["status"], run["type"], run["description"]) == ("SUCCESSFUL", "ON_DEMAND", "before release")
    context = {"restoreBackupContext": {"backupRunId": run["id"], "instanceId": "plant", "project": PROJECT}}
    operation = settle(sandbox, sandbox.ok("POST", f"{ONE}/restoreBackup", context))
    assert operation["operationType"] == "RESTORE_VOLUME"
    live = sandbox.ok("GET", ONE)
    assert live["state"] == "RUNNABLE"
    assert live["settings"]["backupConfiguration"]["enabled"] is False


def test_automatic_backups_follow_the_clock(sandbox: Sandbox) -> None:
    """One a day in its window, the oldest beyond the number to retain goes; none where backups are off."""
    kept = {**BACKUP, "backupRetentionSettings": {"retainedBackups": 2}, "transactionLogRetentionDays": 2}
    make(sandbox, backupConfiguration=kept)
    make(sandbox, "without")
    for _ in range(4):
        sandbox.call("PUT", "_sandbox/clock", {"advance_s": 86400})
        for operation in sandbox.app.world.operations.all():
            settle(sandbox, {"name": operation.name})
    runs = sandbox.ok("GET", f"{ONE}/backupRuns")["items"]
    assert [run["type"] for run in runs] == ["AUTOMATED", "AUTOMATED"]
    assert len({run["windowStartTime"][:10] for run in runs}) == 2
    assert all(run["windowStartTime"][11:16] == "03:00" for run in runs)
    assert "items" not in sandbox.ok("GET", f"{INSTANCES}/without/backupRuns")


def test_final_backup_outlives_the_instance_and_expires(sandbox: Sandbox) -> None:
    """finalBackupConfig, and retained runs, show as backups of the project."""
    make(sandbox, finalBackupConfig={"enabled": True, "retentionDays": 30}, retainBackupsOnDelete=True)
    settle(sandbox, sandbox.ok("POST", f"{ONE}/backupRuns", {}))
    settle(sandbox, sandbox.ok("DELETE", ONE))
    found = sandbox.ok("GET", f"{BASE}/backups")["backups"]
    assert sorted(one["type"] for one in found) == ["FINAL", "ON_DEMAND"]
    sandbox.call("PUT", "_sandbox/clock", {"advance_s": 31 * 86400})
    assert [one["type"] for one in sandbox.ok("GET", f"{BASE}/backups")["backups"]] == ["ON_DEMAND"]


def test_failover_swaps_zones_and_needs_high_availability(sandbox: Sandbox) -> None:
    """gcp-foundation section 2, database.instance.ha."""
    make(sandbox, "single")
    assert "high availability" in refused(sandbox, {}, "POST", f"{INSTANCES}/single/failover")
    before = make(sandbox, availabilityType="REGIONAL", backupConfiguration=BACKUP)
    stale = {"failoverContext": {"settingsVersion": "1"}}
    assert reason(sandbox.post(f"{ONE}/failover", stale), 412) == "staleData"
    context = {"failoverContext": {"settingsVersion": before["settings"]["settingsVersion"]}}
    assert settle(sandbox, sandbox.ok("POST", f"{ONE}/failover", context))["operationType"] == "FAILOVER"
    after = sandbox.ok("GET", ONE)
    assert (after["gceZone"], after["secondaryGceZone"]) == (before["secondaryGceZone"], before["gceZone"])


def test_replica_and_promotion(sandbox: Sandbox) -> None:
    """CREATE_REPLICA names its primary; a primary with replicas cannot be deleted; promotion is one way."""
    request = {**body("dr"), "region": "us-east1", "masterInstanceName": "plant"}
    assert reason(sandbox.post(INSTANCES, request), 404) == "instanceDoesNotExist"
    make(sandbox, backupConfiguration=BACKUP)
    operation = settle(sandbox, sandbox.ok("POST", INSTANCES, request))
    assert (operation["operationType"], operation["targetId"]) == ("CREATE_REPLICA", "plant")
    assert sandbox.ok("GET", ONE)["replicaNames"] == ["dr"]
    assert "replicas" in refused(sandbox, {}, "DELETE", ONE)
    settle(sandbox, sandbox.ok("POST", f"{INSTANCES}/dr/promoteReplica"))
    alone = sandbox.ok("GET", f"{INSTANCES}/dr")
    assert alone["instanceType"] == "CLOUD_SQL_INSTANCE"
    assert "masterInstanceName" not in alone


def test_clone_to_a_point_in_time_has_a_window(sandbox: Sandbox) -> None:
    """Outside of it the request is refused; without point-in-time recovery too."""
    make(sandbox, "off")
    asked = {"cloneContext": {"destinationInstanceName": "copy", "pointInTime": "2020-01-01T00:00:00Z"}}
    assert "not enabled" in refused(sandbox, asked, "POST", f"{INSTANCES}/off/clone")
    make(sandbox, backupConfiguration=BACKUP)
    assert "outside" in refused(sandbox, asked, "POST", f"{ONE}/clone")
    window = sandbox.ok("GET", f"{ONE}/getLatestRecoveryTime")
    asked["cloneContext"]["pointInTime"] = window["latestRecoveryTime"]
    assert settle(sandbox, sandbox.ok("POST", f"{ONE}/clone", asked))["operationType"] == "CLONE"
    copy = sandbox.ok("GET", f"{INSTANCES}/copy")
    assert copy["state"] == "RUNNABLE"
    assert copy["settings"]["backupConfiguration"]["startTime"] == "03:00"


def export(box: Sandbox, **more: Any) -> dict[str, Any]:
    """Run an export to gs://plant-exports/dump.sql."""
    context = {"fileType": "SQL", "uri": "gs://plant-exports/dump.sql", "databases": ["postgres"], **more}
    return settle(box, box.ok("POST", f"{ONE}/export", {"exportContext": context}))


def test_export_needs_rights_and_a_free_name(sandbox: Sandbox) -> None:
    """The request succeeds, the operation fails (hazards Q14, gcp-foundation section 5)."""
    live = make(sandbox)
    sandbox.ok("POST", f"storage/storage/v1/b?project={PROJECT}", {"name": "plant-exports"})
    assert "required permissions" in export(sandbox)["error"]["errors"][0]["message"]
    member = f"serviceAccount:{live['serviceAccountEmailAddress']}"
    policy = {"bindings": [{"role": "roles/storage.objectAdmin", "members": [member]}]}
    sandbox.ok("PUT", "storage/storage/v1/b/plant-exports/iam", policy)
    assert "error" not in export(sandbox)
    found = sandbox.ok("GET", "storage/storage/v1/b/plant-exports/o")["items"]
    assert [one["name"] for one in found] == ["dump.sql"]
    assert "already exists" in export(sandbox)["error"]["errors"][0]["message"]


def test_other_engines_do_not_crash(sandbox: Sandbox) -> None:
    """MySQL and SQL Server: state only."""
    for version, name in (("MYSQL_8_0", "my"), ("SQLSERVER_2022_EXPRESS", "ms")):
        request = {**body(name), "databaseVersion": version}
        settle(sandbox, sandbox.ok("POST", INSTANCES, request))
        live = sandbox.ok("GET", f"{INSTANCES}/{name}")
        assert (live["state"], live["databaseVersion"]) == ("RUNNABLE", version)
        sandbox.ok("POST", f"{INSTANCES}/{name}/databases", {"name": "plant_db"})
        sandbox.ok("POST", f"{INSTANCES}/{name}/users", {"name": "plant_app", "password": "x"})
        settle(sandbox, sandbox.ok("POST", f"{INSTANCES}/{name}/backupRuns", {}))


def test_connect_settings_and_lists(sandbox: Sandbox) -> None:
    """What clients and preflights read: CA, addresses, flags, tiers."""
    live = make(sandbox)
    settings = sandbox.ok("GET", f"{ONE}/connectSettings")
    assert settings["serverCaCert"]["cert"] == live["serverCaCert"]["cert"]
    assert settings["ipAddresses"] == live["ipAddresses"]
    assert sandbox.ok("GET", f"{ONE}/listServerCas")["activeVersion"] == live["serverCaCert"]["sha1Fingerprint"]
    flags = {one["name"]: one for one in sandbox.ok("GET", "sqladmin/v1/flags?databaseVersion=POSTGRES_15")["items"]}
    assert flags["max_connections"]["requiresRestart"] is True
    assert flags["log_min_duration_statement"]["requiresRestart"] is False
    assert "db-f1-micro" in [one["tier"] for one in sandbox.ok("GET", f"{BASE}/tiers")["items"]]


def test_discovery_client(sandbox: Sandbox) -> None:
    """Google's own client, both versions: insert, poll, list with a filter."""
    for version, name in (("v1", "one"), ("v1beta4", "two")):
        client = sandbox.client("sqladmin", version)
        operation = client.instances().insert(project=PROJECT, body=body(name)).execute()
        while operation["status"] != "DONE":
            operation = client.operations().get(project=PROJECT, operation=operation["name"]).execute()
        found = client.instances().list(project=PROJECT, filter=f"name:{name} AND state:RUNNABLE").execute()
        assert [one["name"] for one in found["items"]] == [name]


def test_moments_before_and_after_a_leap_find_their_place(sandbox: Sandbox) -> None:
    """Servers log in wall time; the sandbox's clock may leap. A moment inside the leap is the instant of the leap."""
    world = sandbox.app.world
    plane.note_offset(world)
    before, wall = world.clock.now(), datetime.now(UTC)
    sandbox.call("PUT", "_sandbox/clock", {"advance_s": 7200})
    after = world.clock.now()
    for moment in (before, after, before + timedelta(hours=1)):
        assert abs((plane.to_wall(world, moment) - wall).total_seconds()) < 5
    assert abs((plane.to_sandbox(world, plane.to_wall(world, after)) - after).total_seconds()) < 0.01
    assert abs((plane.to_sandbox(world, plane.to_wall(world, before)) - before).total_seconds()) < 0.01
