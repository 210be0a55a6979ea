"""The real gcloud changes things behind plantctl's back, and makes by the seed's commands what plantctl takes over."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.e2e.conftest import Maker
from tests.e2e.gcloud import Gcloud
from tests.e2e.operator import PROJECT, Done, Operator
from tests.e2e.test_gcloud_witness import ACCOUNTS, INSTANCE_KEY, assert_instance

pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed here"),
]
PHASES = ("predeploy", "database")
JOB_RUN = "run.projects.locations.jobs.run"
BACKEND = f"serviceAccount:{ACCOUNTS['plant-backend-sa']}"

HOUR = "sql instances patch plant-postgres --backup-start-time=07:00"
API_OFF = "services disable cloudscheduler.googleapis.com --force"
BINDING_GONE = f"projects remove-iam-policy-binding {PROJECT} --member={BACKEND} --role=roles/monitoring.metricWriter"
TAMPERINGS = {
    HOUR: (
        "database.instance.backup",
        "plant-postgres.settings.backupConfiguration.startTime",
        ("07:00", "03:00"),
        "sql.instances.patch",
    ),
    API_OFF: (
        "predeploy.project.apis",
        "cloudscheduler.googleapis.com",
        ("DISABLED", "ENABLED"),
        "serviceusage.services.enable",
    ),
    BINDING_GONE: (
        "predeploy.sa.roles",
        f"{PROJECT} roles/monitoring.metricWriter",
        (None, BACKEND),
        "cloudresourcemanager.projects.setIamPolicy",
    ),
}


def plan_of(operator: Operator, *phases: str) -> tuple[Done, dict[str, dict[str, Any]]]:
    """The plan with exit codes told apart, and its items."""
    done = operator.do("phase", "plan", *phases, "--detailed-exitcode", "--format", "json")
    return done, {item["id"]: item for item in done.document["items"]}


def writes(operator: Operator, since: int) -> list[str]:
    """Method ids of what plantctl wrote, looks by a job left out."""
    return [entry["method_id"] for entry in operator.writes(since) if entry["method_id"] != JOB_RUN]


def assert_repaired(operator: Operator, *commands: str) -> None:
    """The plan names what these commands changed and nothing else; a plain run changes that and nothing else."""
    done, items = plan_of(operator, *PHASES)
    assert done.code == 3, done.out + done.err
    named = {item: i["changes"] for item, i in items.items() if i["changes"]}
    assert named.keys() == {TAMPERINGS[command][0] for command in commands}, named
    for item, field, (live, desired), _ in (TAMPERINGS[command] for command in commands):
        [change] = named[item]
        assert (change["field"], change["live"], change["desired"]) == (field, live, desired)
    since = operator.mark()
    run = operator.run(*PHASES)
    assert run.code == 0, run.failures
    assert sorted(writes(operator, since)) == sorted(TAMPERINGS[command][3] for command in commands)
    assert plan_of(operator, *PHASES)[0].code == 0


def test_three_changes_are_named_and_repaired(mended: Operator) -> None:
    gcloud = Gcloud(mended)
    for command in TAMPERINGS:
        gcloud(command)
    assert_repaired(mended, *TAMPERINGS)


@pytest.mark.acceptance
@pytest.mark.parametrize("command", TAMPERINGS, ids=("backup-hour", "api", "binding"))
def test_each_change_alone_is_named_and_repaired(mended: Operator, command: str) -> None:
    Gcloud(mended)(command)
    assert_repaired(mended, command)


@pytest.mark.acceptance
def test_a_tier_waits_for_the_word_that_allows_a_restart(mended: Operator) -> None:
    gcloud = Gcloud(mended)
    gcloud("sql instances patch plant-postgres --tier=db-custom-4-16384")
    done, items = plan_of(mended, "database")
    assert done.code == 3
    [change] = items["database.instance.tier"]["changes"]
    assert change["field"] == "plant-postgres.settings.tier"
    assert [item for item, found in items.items() if found["changes"]] == ["database.instance.tier"]
    since = mended.mark()
    blocked = mended.run("database")
    assert blocked.code == 4, blocked.failures
    assert "--allow-restart" in str(blocked.outcome("database.instance.tier"))
    assert writes(mended, since) == []
    assert mended.run("database", "--allow-restart").code == 0
    assert gcloud("sql instances describe plant-postgres")["settings"]["tier"] == "db-custom-2-8192"
    assert mended.run("database").finished["writes"] == 0


@pytest.mark.acceptance
def test_a_deleted_database_is_made_again_only_on_request(mended: Operator) -> None:
    gcloud = Gcloud(mended)
    gcloud("sql databases delete plant_db --instance=plant-postgres")
    done, items = plan_of(mended, "database")
    assert done.code == 3
    assert items["database.instance.database"]["verdict"] == "conflict"
    since = mended.mark()
    refused = mended.run("database")
    assert refused.code == 1, refused.failures
    assert "--recreate plant_db" in str(refused.outcome("database.instance.database"))
    assert writes(mended, since) == []
    assert [one["name"] for one in gcloud("sql databases list --instance=plant-postgres")] == ["postgres"]
    made = mended.run("database", "--recreate", "plant_db")
    assert made.code == 0, made.failures
    anew = {"database.instance.database", "database.init.migrate", "database.init.seed", "database.init.indexes"}
    assert anew <= made.items("changed")
    listed = {one["name"] for one in gcloud("sql databases list --instance=plant-postgres")}
    assert listed == {"plant_db", "postgres"}
    assert mended.run("database").finished["writes"] == 0


# -- by the seed's own commands

ON = "compute run sqladmin redis monitoring logging servicenetworking vpcaccess secretmanager iam"
SEED_FIRST = (
    "projects create {project}",
    "billing projects link {project} --billing-account={account}",
    f"services enable {' '.join(f'{api}.googleapis.com' for api in ON.split())}",
    "compute networks create plant-network --subnet-mode=custom",
    "compute addresses create google-managed-services-plant-network --global --purpose=VPC_PEERING"
    " --prefix-length=16 --network=plant-network",
    "services vpc-peerings connect --service=servicenetworking.googleapis.com"
    " --ranges=google-managed-services-plant-network --network=plant-network",
)
SEED_SQL = (
    "sql instances create plant-postgres --database-version=POSTGRES_15 --tier=db-custom-2-8192 --storage-size=100GB"
    " --backup-start-time=03:00 {availability} --region=us-central1 --network=plant-network --no-assign-ip"
)
SEED_INSIDE = (
    "sql databases create plant_db --instance=plant-postgres",
    "sql users create plant_app --instance=plant-postgres --password=Sunny-Plant-0914",
)
SEED_REST = (
    "iam service-accounts create plant-backend-sa --display-name='Plant Backend Service Account'",
    f"projects add-iam-policy-binding {{project}} --member={BACKEND} --role=roles/cloudsql.client",
    f"projects add-iam-policy-binding {{project}} --member={BACKEND} --role=roles/monitoring.metricWriter",
    "compute networks subnets create plant-subnet --network=plant-network --region=us-central1 --range=10.10.0.0/24",
    "compute networks vpc-access connectors create plant-vpc-connector --region=us-central1 --network=plant-network"
    " --range=10.8.0.0/28",
    "compute firewall-rules create plant-allow-internal --network=plant-network"
    " --allow=tcp:5432,tcp:6379,tcp:8000,icmp --source-ranges=10.10.0.0/24",
    "compute routers create plant-router --network=plant-network --region=us-central1",
    "compute routers nats create plant-nat --router=plant-router --region=us-central1"
    " --auto-allocate-nat-external-ips --nat-all-subnet-ip-ranges",
    "secrets create DATABASE_PASSWORD --replication-policy=automatic --data-file={password}",
)
ACCOUNT = "012345-6789AB-CDEF01"
HA = "--availability-type=REGIONAL --enable-point-in-time-recovery"
CREATE = "database.instance.create"


def by_the_seed(operator: Operator, *commands: str) -> Gcloud:
    """A sandbox in which only gcloud has worked so far."""
    operator.up()
    gcloud = Gcloud(operator)
    password = operator.folder / "password"
    password.write_text("Sunny-Plant-0914")
    for command in commands:
        gcloud(command, project=PROJECT, account=ACCOUNT, password=str(password), availability=HA)
    return gcloud


def fields(items: dict[str, dict[str, Any]], item: str, name: str) -> dict[str, Any]:
    """Differences of one resource that a plan names: what is desired, by field."""
    found = items[item]
    assert found["verdict"] == "foreign", found
    return {change["field"].removeprefix(f"{name}."): change["desired"] for change in found["changes"]}


def assert_taken_over(operator: Operator, gcloud: Gcloud, *phases: str) -> None:
    """A plain run leaves all alone; one that may adopt and restart brings all into place; the next is silent."""
    before = operator.resources(INSTANCE_KEY)[INSTANCE_KEY]
    plain = operator.run(*phases)
    assert plain.code == 4, plain.failures
    assert plain.items("failed") == set()
    assert "--adopt" in str(plain.outcome("predeploy.network.vpc"))
    assert operator.resources(INSTANCE_KEY)[INSTANCE_KEY] == before
    assert not {m for m in writes(operator, 0) if m.startswith(("sql.", "compute.networks.", "servicenetworking."))}

    _, items = plan_of(operator, *phases)
    [owner, app] = items["database.instance.users"]["changes"]
    assert (owner["field"], app["field"]) == ("user plant_owner", "user plant_app password")
    assert "reset" in app["desired"]

    careful = operator.run(*phases, "--adopt")
    assert careful.code == 4, careful.failures
    assert "--allow-restart" in str(careful.outcome(CREATE)), "max_connections restarts the server"
    taken = operator.run(*phases, "--adopt", "--allow-restart")
    assert taken.code == 0, taken.failures
    assert_instance(gcloud("sql instances describe plant-postgres"))

    since = operator.mark()
    silent = operator.run(*phases)
    assert silent.code == 0, silent.failures
    assert silent.finished["writes"] == 0
    assert operator.writes(since) == []
    assert plan_of(operator, *phases)[0].code == 0


def test_a_database_made_by_the_seeds_commands_is_taken_over(fresh: Maker) -> None:
    operator = fresh()
    gcloud = by_the_seed(operator, *SEED_FIRST, SEED_SQL, *SEED_INSIDE)
    done, items = plan_of(operator, "database")
    assert done.code == 3, done.err
    assert fields(items, CREATE, "plant-postgres") == {
        "settings.storageAutoResizeLimit": "500",
        "settings.ipConfiguration.sslMode": "ENCRYPTED_ONLY",
        "settings.databaseFlags[cloudsql.iam_authentication]": "on",
        "settings.databaseFlags[log_connections]": "on",
        "settings.databaseFlags[log_disconnections]": "on",
        "settings.databaseFlags[log_error_verbosity]": "default",
        "settings.databaseFlags[log_min_duration_statement]": "1000",
        "settings.databaseFlags[log_min_error_statement]": "error",
        "settings.databaseFlags[log_min_messages]": "warning",
        "settings.databaseFlags[log_statement]": "ddl",
        "settings.databaseFlags[max_connections]": "200",
        "settings.maintenanceWindow.day": 7,
        "settings.maintenanceWindow.hour": 5,
        "settings.maintenanceWindow.updateTrack": "stable",
        "settings.deletionProtectionEnabled": True,
        "settings.retainBackupsOnDelete": True,
        "settings.finalBackupConfig.enabled": True,
        "settings.finalBackupConfig.retentionDays": 30,
    }
    assert fields(items, "database.instance.tier", "plant-postgres") == {}
    assert fields(items, "database.instance.backup", "plant-postgres") == {
        "settings.backupConfiguration.location": "us"
    }
    assert fields(items, "database.instance.ha", "plant-postgres") == {}
    assert "settings.insightsConfig.queryInsightsEnabled" in fields(items, "database.init.insights", "plant-postgres")
    assert items["database.instance.database"]["verdict"] == "in-place"
    assert_taken_over(operator, gcloud, "database")


@pytest.mark.acceptance
def test_all_that_the_seed_makes_is_taken_over(fresh: Maker) -> None:
    operator = fresh()
    gcloud = by_the_seed(operator, *SEED_FIRST, *SEED_REST, SEED_SQL, *SEED_INSIDE)
    _, items = plan_of(operator, *PHASES)
    foreign = {item for item, found in items.items() if found["verdict"] == "foreign"}
    assert foreign == {
        "predeploy.network.vpc",
        "predeploy.network.psa",
        "predeploy.network.firewall",
        "predeploy.network.nat",
        "predeploy.sa.create",
        "predeploy.secret.database_password",
        CREATE,
        "database.instance.tier",
        "database.instance.backup",
        "database.instance.ha",
        "database.init.insights",
    }
    assert fields(items, "predeploy.network.vpc", "plant-subnet") == {
        "privateIpGoogleAccess": True,
        "logConfig.enable": True,
        "logConfig.aggregationInterval": "INTERVAL_5_SEC",
        "logConfig.flowSampling": 0.5,
    }
    assert items["predeploy.network.connector"]["verdict"] == "in-place"
    assert_taken_over(operator, gcloud, *PHASES)
    [version] = gcloud("secrets versions list DATABASE_PASSWORD")
    assert version["name"].endswith("/versions/1"), "the value that was given stays"
    policy = gcloud("projects get-iam-policy {project}", project=PROJECT)
    metric = next(binding for binding in policy["bindings"] if binding["role"] == "roles/monitoring.metricWriter")
    assert metric["members"] == [BACKEND]


@pytest.mark.acceptance
def test_without_point_in_time_recovery_google_refuses_two_zones(fresh: Maker) -> None:
    """The seed's command as it stands; one zone works, and plantctl then puts recovery before availability."""
    operator = fresh()
    gcloud = by_the_seed(operator, *SEED_FIRST)
    said = gcloud.refused(SEED_SQL, availability="--availability-type=REGIONAL")
    assert "Point-in-time recovery must be enabled" in said
    gcloud(SEED_SQL, availability="--availability-type=ZONAL")
    _, items = plan_of(operator, "database")
    assert fields(items, "database.instance.backup", "plant-postgres") == {
        "settings.backupConfiguration.location": "us",
        "settings.backupConfiguration.pointInTimeRecoveryEnabled": True,
    }
    assert fields(items, "database.instance.ha", "plant-postgres") == {"settings.availabilityType": "REGIONAL"}
    taken = operator.run("database", "--adopt", "--allow-restart")
    assert taken.code == 0, taken.failures
    assert_instance(gcloud("sql instances describe plant-postgres"))
    assert operator.run("database").finished["writes"] == 0
