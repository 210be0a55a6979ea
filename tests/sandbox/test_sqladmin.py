"""Cloud SQL Admin, control plane: what is filled in and refused, one operation at a time, private addresses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox
from tests.sandbox.sqladmin_kit import BACKUP, BASE, INSTANCES, NETWORK, ONE, body, make, reason, refused, settle


def test_defaults_of_a_postgres_instance(sandbox: Sandbox) -> None:
    """Recorded exchanges: what a read shows that nobody sent."""
    live = make(sandbox)
    assert live["state"] == "RUNNABLE"
    assert live["connectionName"] == f"{PROJECT}:us-central1:plant"
    assert live["serviceAccountEmailAddress"].startswith(f"p{NUMBER}-")
    assert [one["type"] for one in live["ipAddresses"]] == ["PRIMARY", "OUTGOING"]
    settings = live["settings"]
    assert settings["edition"] == "ENTERPRISE"
    assert (settings["dataDiskSizeGb"], settings["dataDiskType"]) == ("10", "PD_SSD")
    assert settings["deletionProtectionEnabled"] is False
    assert settings["ipConfiguration"]["sslMode"] == "ALLOW_UNENCRYPTED_AND_ENCRYPTED"
    backup = settings["backupConfiguration"]
    assert backup["enabled"] is False
    assert "pointInTimeRecoveryEnabled" not in backup
    assert backup["backupRetentionSettings"] == {"retentionUnit": "COUNT", "retainedBackups": 7}


def test_both_versions_show_one_instance(sandbox: Sandbox) -> None:
    """v1 and v1beta4, project id and number, are one resource; only links differ."""
    make(sandbox)
    first = sandbox.ok("GET", ONE)
    second = sandbox.ok("GET", f"sqladmin/sql/v1beta4/projects/{NUMBER}/instances/plant")
    assert first["selfLink"].startswith("https://sqladmin.googleapis.com/v1/")
    assert second["selfLink"].startswith("https://sqladmin.googleapis.com/sql/v1beta4/")
    assert {k: v for k, v in first.items() if k != "selfLink"} == {k: v for k, v in second.items() if k != "selfLink"}


def test_missing_and_forbidden_are_told_apart_only_by_project(sandbox: Sandbox) -> None:
    """404 instanceDoesNotExist (recorded exchange); 403 for a project that is not there (hazards Q04, S14)."""
    assert reason(sandbox.get(ONE), 404) == "instanceDoesNotExist"
    assert sandbox.get("sqladmin/v1/projects/nobody-knows/instances/plant").status_code == 403


def test_postgres_16_defaults_to_the_larger_edition(sandbox: Sandbox) -> None:
    """A db-custom tier is then refused (gcp-foundation section 2, database.instance.tier)."""
    asked = {**body(), "databaseVersion": "POSTGRES_16"}
    assert "for (ENTERPRISE_PLUS) Edition" in refused(sandbox, asked)
    assert sandbox.get(ONE).status_code == 404


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tier": "db-custom-3-8192"}, "even number"),
        ({"tier": "db-custom-2-2048"}, "Memory"),
        ({"dataDiskSizeGb": "5"}, "Disk size"),
        ({"availabilityType": "REGIONAL"}, "Automated backups"),
        ({"availabilityType": "REGIONAL", "backupConfiguration": {"enabled": True}}, "Point-in-time"),
        ({"backupConfiguration": {**BACKUP, "transactionLogRetentionDays": 8}}, "between 1 and 7"),
        ({"backupConfiguration": {**BACKUP, "startTime": "3 am"}}, "HH:MM"),
        ({"ipConfiguration": {"ipv4Enabled": False}}, "At least one of Public IP"),
        ({"ipConfiguration": {"sslMode": "ENCRYPTED_ONLY", "requireSsl": True}}, "conflicts"),
        ({"databaseFlags": [{"name": "no_such_flag", "value": "on"}]}, "Invalid flag name"),
        ({"databaseFlags": [{"name": "max_connections", "value": "many"}]}, "Invalid flag value"),
        ({"databaseFlags": [{"name": "log_statement", "value": "some"}]}, "Invalid flag value"),
        ({"userLabels": {"Upper": "no"}}, "Invalid label"),
        ({"locationPreference": {"zone": "europe-west1-b"}}, "not in region"),
    ],
)
def test_refused_settings(sandbox: Sandbox, settings: dict[str, Any], words: str) -> None:
    """Rules that no schema states: refused at once, and nothing is made."""
    assert words in refused(sandbox, body(**settings))
    assert sandbox.get(ONE).status_code == 404


@pytest.mark.parametrize("name", ["Plant", "1plant", "plant-", "p" * 99])
def test_refused_names(sandbox: Sandbox, name: str) -> None:
    """instance-settings page, "Instance ID"."""
    assert "name" in refused(sandbox, body(name))


def test_unknown_region(sandbox: Sandbox) -> None:
    """A region that Cloud SQL does not have."""
    assert "region" in refused(sandbox, {**body(), "region": "us-moon1"})


def test_name_is_taken_then_free_again_at_once(sandbox: Sandbox) -> None:
    """409 instanceAlreadyExists; after deletion the name can be used immediately (gcp-foundation 2, S 3)."""
    make(sandbox)
    assert reason(sandbox.post(INSTANCES, body()), 409) == "instanceAlreadyExists"
    settle(sandbox, sandbox.ok("DELETE", ONE))
    assert reason(sandbox.get(ONE), 404) == "instanceDoesNotExist"
    make(sandbox)


def test_deletion_protection(sandbox: Sandbox) -> None:
    """400 until it is switched off (hazards Q11)."""
    make(sandbox, deletionProtectionEnabled=True)
    assert "deletion protection" in refused(sandbox, {}, "DELETE", ONE)
    settle(sandbox, sandbox.ok("PATCH", ONE, {"settings": {"deletionProtectionEnabled": False}}))
    settle(sandbox, sandbox.ok("DELETE", ONE))


def test_settings_version_is_an_optimistic_lock(sandbox: Sandbox) -> None:
    """It counts up with each change; an old one is refused with 412 (hazards Q10)."""
    before = make(sandbox)
    version = before["settings"]["settingsVersion"]
    change = {"settings": {"settingsVersion": version, "userLabels": {"a": "b"}}}
    settle(sandbox, sandbox.ok("PATCH", ONE, change))
    after = sandbox.ok("GET", ONE)
    assert int(after["settings"]["settingsVersion"]) == int(version) + 1
    assert after["etag"] != before["etag"]
    assert reason(sandbox.call("PATCH", ONE, change), 412) == "staleData"


def test_patch_replaces_lists_and_keeps_the_rest(sandbox: Sandbox) -> None:
    """databaseFlags are replaced whole (gcp-foundation 0.3)."""
    flags = [{"name": "max_connections", "value": "50"}, {"name": "log_statement", "value": "ddl"}]
    make(sandbox, databaseFlags=flags, backupConfiguration=BACKUP)
    settle(sandbox, sandbox.ok("PATCH", ONE, {"settings": {"databaseFlags": flags[:1]}}))
    settings = sandbox.ok("GET", ONE)["settings"]
    assert settings["databaseFlags"] == flags[:1]
    assert settings["backupConfiguration"]["startTime"] == "03:00"
    assert settings["backupConfiguration"]["enabled"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"dataDiskSizeGb": "10"}},
        {"settings": {"dataDiskType": "PD_HDD"}},
        {"region": "us-east1"},
        {"databaseVersion": "POSTGRES_14"},
    ],
)
def test_what_cannot_change(sandbox: Sandbox, change: dict[str, Any]) -> None:
    """Disk never shrinks; disk type and region are immutable; versions only go up (gcp-foundation 0.3)."""
    make(sandbox, dataDiskSizeGb="20")
    refused(sandbox, change, "PATCH", ONE)


def test_one_operation_at_a_time(sandbox: Sandbox) -> None:
    """409 operationInProgress while CREATE runs, for updates, databases, users and backups (hazards Q01)."""
    sandbox.reset(speed=1)
    answer = sandbox.ok("POST", INSTANCES, body())
    assert answer["status"] == "PENDING"
    assert sandbox.ok("GET", ONE)["state"] == "PENDING_CREATE"
    assert reason(sandbox.call("PATCH", ONE, {"settings": {"userLabels": {"a": "b"}}}), 409) == "invalidState"
    assert reason(sandbox.call("DELETE", ONE), 409) == "operationInProgress"
    sandbox.call("PUT", "_sandbox/clock", {"speed": "max"})
    settle(sandbox, answer)
    sandbox.call("PUT", "_sandbox/clock", {"speed": 1})
    running = sandbox.ok("PATCH", ONE, {"settings": {"userLabels": {"a": "b"}}})
    for verb, path, request in [
        ("PATCH", ONE, {"settings": {"userLabels": {}}}),
        ("POST", f"{ONE}/databases", {"name": "plant_db"}),
        ("POST", f"{ONE}/users", {"name": "plant_app", "password": "secret"}),
        ("POST", f"{ONE}/backupRuns", {}),
    ]:
        assert reason(sandbox.call(verb, path, request), 409) == "operationInProgress"
    listed = sandbox.ok("GET", f"{BASE}/operations?instance=plant")["items"]
    assert [one["operationType"] for one in listed] == ["UPDATE", "CREATE"]
    assert listed[0]["name"] == running["name"]


def test_private_address_needs_a_connection(sandbox: Sandbox) -> None:
    """400 NETWORK_NOT_PEERED where there is no connection at all (gcp-foundation 0.4)."""
    private = {"ipv4Enabled": False, "privateNetwork": NETWORK}
    assert "NETWORK_NOT_PEERED" in refused(sandbox, body(ipConfiguration=private))


def connect(box: Sandbox, state: str = "ACTIVE", length: int = 16) -> None:
    """What compute and servicenetworking keep after private services access was set up."""
    store, prefix = box.app.world.store, f"compute/projects/{PROJECT}/global"
    store.put(f"{prefix}/networks/plant-network", {"name": "plant-network", "peerings": [{"state": state}]})
    store.put(f"{prefix}/addresses/psa", {"address": "10.77.0.0", "prefixLength": length})
    connection = {"network": NETWORK, "reservedPeeringRanges": ["psa"]}
    store.put(f"servicenetworking/connections/{PROJECT}/plant-network", connection)


PRIVATE = {"ipv4Enabled": False, "privateNetwork": NETWORK, "sslMode": "ENCRYPTED_ONLY"}


def test_private_address_comes_from_the_reserved_range(sandbox: Sandbox) -> None:
    """Two instances of a region share a block, each with its own address."""
    connect(sandbox)
    first, second = make(sandbox, ipConfiguration=PRIVATE), make(sandbox, "other", ipConfiguration=PRIVATE)
    addresses = [one["ipAddresses"] for one in (first, second)]
    assert [[entry["type"] for entry in entries] for entries in addresses] == [["PRIVATE"], ["PRIVATE"]]
    values = [entries[0]["ipAddress"] for entries in addresses]
    assert len(set(values)) == 2
    assert all(value.startswith("10.77.0.") for value in values)


@pytest.mark.parametrize(
    ("state", "length", "words"), [("INACTIVE", 16, "Service Networking"), ("ACTIVE", 28, "free blocks")]
)
def test_failed_create_leaves_a_failed_instance(sandbox: Sandbox, state: str, length: int, words: str) -> None:
    """HTTP 200, DONE, and an error inside; the instance stays FAILED (hazards N07, Q06)."""
    connect(sandbox, state, length)
    operation = settle(sandbox, sandbox.ok("POST", INSTANCES, body(ipConfiguration=PRIVATE)))
    assert words in operation["error"]["errors"][0]["message"]
    assert sandbox.ok("GET", ONE)["state"] == "FAILED"
    assert reason(sandbox.call("PATCH", ONE, {"settings": {}}), 409) == "invalidState"
    settle(sandbox, sandbox.ok("DELETE", ONE))
