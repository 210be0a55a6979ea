"""The real gcloud looks at what plantctl made, makes what plantctl takes over, and changes things behind its back."""

from __future__ import annotations

import ipaddress
import json
import shutil
from typing import Any

import pytest

from plantctl.desired.project import APIS
from tests.e2e.conftest import Maker
from tests.e2e.gcloud import PLANTCTL, Gcloud, shell, within
from tests.e2e.operator import PROJECT, Operator

pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed here"),
]
INSTANCE_KEY = f"sqladmin/projects/{PROJECT}/instances/plant-postgres"
PHASES = ("predeploy", "database")
JOB_RUN = "run.projects.locations.jobs.run"
ACCOUNTS = {name: f"{name}@{PROJECT}.iam.gserviceaccount.com" for name in (
    "plant-backend-sa", "plant-build-sa", "plant-backup-sa", "plant-migrator"
)}  # fmt: skip
LABELS = {"managed-by": "plantctl", "plantctl-env": "production"}

INSTANCE = {
    "databaseVersion": "POSTGRES_15",
    "region": "us-central1",
    "state": "RUNNABLE",
    "settings.tier": "db-custom-2-8192",
    "settings.edition": "ENTERPRISE",
    "settings.availabilityType": "REGIONAL",
    "settings.dataDiskSizeGb": "100",
    "settings.dataDiskType": "PD_SSD",
    "settings.storageAutoResize": True,
    "settings.backupConfiguration.enabled": True,
    "settings.backupConfiguration.startTime": "03:00",
    "settings.backupConfiguration.location": "us",
    "settings.backupConfiguration.pointInTimeRecoveryEnabled": True,
    "settings.backupConfiguration.transactionLogRetentionDays": 7,
    "settings.backupConfiguration.backupRetentionSettings.retainedBackups": 7,
    "settings.ipConfiguration.ipv4Enabled": False,
    "settings.ipConfiguration.sslMode": "ENCRYPTED_ONLY",
    "settings.insightsConfig.queryInsightsEnabled": True,
    "settings.insightsConfig.queryStringLength": 1024,
    "settings.insightsConfig.recordApplicationTags": True,
    "settings.maintenanceWindow.day": 7,
    "settings.maintenanceWindow.hour": 5,
    "settings.deletionProtectionEnabled": True,
    "settings.userLabels": LABELS,
}
FLAGS = {
    "cloudsql.iam_authentication": "on",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_error_verbosity": "default",
    "log_min_duration_statement": "1000",
    "log_min_error_statement": "error",
    "log_min_messages": "warning",
    "log_statement": "ddl",
    "max_connections": "200",
}


def assert_instance(described: dict[str, Any]) -> None:
    """Tier, availability, storage, backups, log, addresses, flags, insights, as seed and decisions have them."""
    assert {path: within(described, path) for path in INSTANCE} == INSTANCE
    assert {flag["name"]: flag["value"] for flag in described["settings"]["databaseFlags"]} == FLAGS
    assert not described["settings"]["insightsConfig"].get("recordClientAddress")
    network = within(described, "settings.ipConfiguration.privateNetwork")
    assert network.endswith(f"projects/{PROJECT}/global/networks/plant-network"), "as whoever made it wrote it"
    assert [address["type"] for address in described["ipAddresses"]] == ["PRIVATE"]
    assert ipaddress.ip_address(described["ipAddresses"][0]["ipAddress"]).is_private
    assert described["gceZone"] != described["secondaryGceZone"]


# -- what plantctl made


def test_gcloud_shows_the_database(plant: Operator) -> None:
    gcloud = Gcloud(plant)
    assert plant.do("backup", "create").code == 0
    assert_instance(gcloud("sql instances describe plant-postgres"))
    databases = {one["name"]: one for one in gcloud("sql databases list --instance=plant-postgres")}
    assert set(databases) == {"plant_db", "postgres"}
    assert (databases["plant_db"]["charset"], databases["plant_db"]["collation"]) == ("UTF8", "en_US.UTF8")
    users = {one["name"]: one for one in gcloud("sql users list --instance=plant-postgres")}
    assert set(users) == {"plant_app", "plant_owner", "postgres"}
    assert not any("password" in user for user in users.values())
    [backup] = gcloud("sql backups list --instance=plant-postgres")
    assert {key: backup[key] for key in ("type", "status", "location", "instance")} == {
        "type": "ON_DEMAND",
        "status": "SUCCESSFUL",
        "location": "us",
        "instance": "plant-postgres",
    }
    listed = plant.do("backup", "list")
    assert backup["id"] in listed.out
    assert all(entry["status"] < 400 and entry["transport"] == "proxy" for entry in gcloud.requests())


def test_gcloud_shows_network_identities_and_rights(still: Operator) -> None:
    gcloud = Gcloud(still)
    network = gcloud("compute networks describe plant-network")
    assert network["autoCreateSubnetworks"] is False
    assert network["routingConfig"]["routingMode"] == "REGIONAL"
    assert network["x_gcloud_subnet_mode"] == "CUSTOM"
    [peering] = network["peerings"]
    assert (peering["name"], peering["state"]) == ("servicenetworking-googleapis-com", "ACTIVE")

    accounts = {one["email"]: one for one in gcloud("iam service-accounts list")}
    assert set(accounts) == set(ACCOUNTS.values())
    assert accounts[ACCOUNTS["plant-backend-sa"]]["displayName"] == "Plant Backend Service Account"
    assert not any(one["disabled"] for one in accounts.values())

    policy = gcloud("projects get-iam-policy {project}", project=PROJECT)
    roles = {binding["role"]: set(binding["members"]) for binding in policy["bindings"]}
    member = {name: f"serviceAccount:{email}" for name, email in ACCOUNTS.items()}
    number = gcloud("projects describe {project}", project=PROJECT)["projectNumber"]
    assert roles == {
        "roles/owner": {"user:owner@example.com"},
        "roles/run.serviceAgent": {f"serviceAccount:service-{number}@serverless-robot-prod.iam.gserviceaccount.com"},
        "roles/cloudsql.client": {member["plant-backend-sa"], member["plant-migrator"]},
        "roles/monitoring.metricWriter": {member["plant-backend-sa"]},
        "roles/cloudtrace.agent": {member["plant-backend-sa"]},
        "roles/logging.logWriter": set(member.values()),
    }


def test_gcloud_shows_secrets_apis_image_and_jobs(still: Operator) -> None:
    gcloud = Gcloud(still)
    for secret in ("DATABASE_PASSWORD", "JWT_SECRET_KEY"):
        [version] = gcloud("secrets versions list {secret}", secret=secret)
        assert version["name"].endswith(f"/secrets/{secret}/versions/1")
        assert version["state"] == "ENABLED"
    assert gcloud("secrets versions list REDIS_PASSWORD") == []
    enabled = {one["config"]["name"] for one in gcloud("services list --enabled")}
    assert set(APIS) <= enabled
    repository = gcloud("artifacts repositories describe plant --location=us-central1")
    assert (repository["format"], repository["mode"], repository["labels"]) == ("DOCKER", "STANDARD_REPOSITORY", LABELS)
    assert repository["dockerConfig"]["immutableTags"] is True
    jobs = {job["metadata"]["name"]: job for job in gcloud("run jobs list")}
    assert set(jobs) == {"plant-ops", "plant-migrate"}
    for name, account in (("plant-ops", "plant-backend-sa"), ("plant-migrate", "plant-migrator")):
        task = within(jobs[name], "spec.template.spec.template.spec")
        assert task["serviceAccountName"] == ACCOUNTS[account]
        image = task["containers"][0]["image"]
        assert image.startswith(f"us-central1-docker.pkg.dev/{PROJECT}/plant/plant-backend@sha256:")
        assert within(jobs[name], "metadata.labels")["managed-by"] == "plantctl"
    assert all(entry["status"] < 400 for entry in gcloud.requests())


def test_the_environment_is_safe_to_evaluate_anywhere(fresh: Maker) -> None:
    operator = fresh()
    operator.home = operator.folder / 'it\'s a "home" $(exit 9) `x` $HOME'
    operator.up()
    gcloud = Gcloud(operator)
    assert gcloud.environ["CLOUDSDK_CONFIG"] == str(operator.home / "sandbox" / "gcloud")
    assert "127.0.0.1" in gcloud.environ["NO_PROXY"].split(",")
    assert gcloud("billing accounts list")[0]["open"] is True
    assert [entry["transport"] for entry in gcloud.requests()] == ["proxy"]
    inside = shell(
        operator, f"{PLANTCTL} sandbox status >&2; {PLANTCTL} phase plan predeploy --format json", cwd="/tmp"
    )
    assert inside.returncode == 0, inside.stderr
    assert f"running in {operator.home}" in inside.stderr
    planned = {item["id"]: item["verdict"] for item in json.loads(inside.stdout)["items"]}
    assert planned["predeploy.project.create"] == "missing"
    sent = [entry for entry in operator.wire() if entry["method_id"].startswith("cloudresourcemanager.")]
    assert {entry["transport"] for entry in sent} == {"rest"}, "plantctl itself goes round the proxy"
