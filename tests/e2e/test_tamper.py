"""Changes behind plantctl's back: found and named to the field, repaired by exactly one write, or left to a person."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

import asyncpg
import pytest

from tests.e2e.operator import PROJECT, Done, Operator

INSTANCE_KEY = f"sqladmin/projects/{PROJECT}/instances/plant-postgres"
DATABASE_KEY = f"{INSTANCE_KEY}/databases/plant_db"
PHASES = ("predeploy", "database")
RUN = "run.projects.locations.jobs.run"


def change_hour(operator: Operator) -> None:
    """The hour of the daily backup."""
    operator.sql("PATCH", body={"settings": {"backupConfiguration": {"startTime": "07:00"}}})


def disable_api(operator: Operator) -> None:
    """An API that nothing uses at present."""
    operator.call("POST", f"serviceusage/v1/projects/{PROJECT}/services/cloudscheduler.googleapis.com:disable", {})


def delete_binding(operator: Operator) -> None:
    """A role of the backend's account on the project."""
    path = f"cloudresourcemanager/v3/projects/{PROJECT}"
    policy = operator.call("POST", f"{path}:getIamPolicy", {"options": {"requestedPolicyVersion": 3}})
    policy["bindings"] = [b for b in policy["bindings"] if b["role"] != "roles/monitoring.metricWriter"]
    operator.call("POST", f"{path}:setIamPolicy", {"policy": policy})


def planned(done: Done) -> dict[str, list[dict[str, Any]]]:
    """Changes by item, of the items that are not in place."""
    items = done.document["items"]
    return {item["id"]: item.get("changes", []) for item in items if item.get("changes")}


TAMPERINGS = (
    pytest.param(
        change_hour,
        "database.instance.backup",
        "settings.backupConfiguration.startTime",
        "sql.instances.patch",
        id="backup-hour",
    ),
    pytest.param(
        disable_api,
        "predeploy.project.apis",
        "cloudscheduler.googleapis.com",
        "serviceusage.services.enable",
        id="api",
    ),
    pytest.param(
        delete_binding,
        "predeploy.sa.roles",
        "roles/monitoring.metricWriter",
        "cloudresourcemanager.projects.setIamPolicy",
        id="binding",
    ),
)


@pytest.mark.parametrize(("tamper", "item", "field", "method"), TAMPERINGS)
def test_one_field_is_named_and_repaired(mended: Operator, tamper: Any, item: str, field: str, method: str) -> None:
    before = mended.mark()
    tamper(mended)
    plan = mended.do("phase", "plan", *PHASES, "--detailed-exitcode", "--format", "json")
    assert plan.code == 3, plan.out + plan.err
    found = planned(plan)
    assert list(found) == [item], found
    assert len(found[item]) == 1
    assert field in str(found[item][0]["field"])
    assert mended.writes(before) == []
    human = mended.do("phase", "plan", *PHASES)
    assert human.code == 0
    assert field in human.out

    since = mended.mark()
    done = mended.run(*PHASES)
    assert done.code == 0, done.failures
    applied = [entry["method_id"] for entry in mended.writes(since) if entry["method_id"] != RUN]
    assert applied == [method]
    assert done.finished["writes"] == 1
    assert item in done.items("changed")
    assert mended.do("phase", "plan", *PHASES, "--detailed-exitcode").code == 0
    again = mended.run(*PHASES)
    assert again.finished["writes"] == 0, again.out


def test_a_tier_waits_for_the_word_that_allows_a_restart(mended: Operator) -> None:
    mended.sql("PATCH", body={"settings": {"tier": "db-custom-4-16384"}})
    plan = mended.do("phase", "plan", "database", "--detailed-exitcode", "--format", "json")
    assert plan.code == 3
    assert list(planned(plan)) == ["database.instance.tier"]
    since = mended.mark()
    blocked = mended.run("database")
    assert blocked.code == 4, blocked.failures
    assert "--allow-restart" in str(blocked.outcome("database.instance.tier"))
    assert mended.writes(since) == []
    assert mended.resources(INSTANCE_KEY)[INSTANCE_KEY]["settings"]["tier"] == "db-custom-4-16384"
    done = mended.run("database", "--allow-restart")
    assert done.code == 0, done.failures
    assert mended.resources(INSTANCE_KEY)[INSTANCE_KEY]["settings"]["tier"] == "db-custom-2-8192"
    assert [e["method_id"] for e in mended.writes(since) if e["method_id"] != RUN] == ["sql.instances.patch"]


def test_a_dropped_database_is_made_again_only_on_request(mended: Operator) -> None:
    mended.sql("DELETE", "/databases/plant_db")
    since = mended.mark()
    plan = mended.do("phase", "plan", "database", "--detailed-exitcode")
    assert "--recreate plant_db" in plan.out
    refused = mended.run("database")
    assert refused.code == 1, refused.failures
    assert "--recreate plant_db" in str(refused.outcome("database.instance.database"))
    assert [e for e in mended.writes(since) if e["method_id"] != RUN] == []
    assert DATABASE_KEY not in mended.resources(INSTANCE_KEY)
    again = mended.run("database")
    assert again.code == 1, "it stays refused"

    since = mended.mark()
    done = mended.run("database", "--recreate", "plant_db")
    assert done.code == 0, done.failures
    assert DATABASE_KEY in mended.resources(INSTANCE_KEY)
    built = {"database.instance.database", "database.init.migrate", "database.init.seed", "database.init.indexes"}
    assert built <= done.items("changed")
    applied = [entry["method_id"] for entry in mended.writes(since)]
    assert applied.count("sql.databases.insert") == 1
    words = "\n".join(mended.checklist()["database.init.seed"]["evidence"])
    assert "agent: 53 rows" in words
    silent = mended.run("database")
    assert silent.finished["writes"] == 0
    assert silent.code == 0


def test_an_older_backup_behind_its_back_voids_what_was_proved(mended: Operator) -> None:
    mended.sql("POST", "/backupRuns", {"description": "by hand"})
    runs = mended.call("GET", f"sqladmin/v1/projects/{PROJECT}/instances/plant-postgres/backupRuns")["items"]
    silent = mended.run("database")
    assert silent.finished["writes"] == 0, "a backup voids nothing"
    before = {item: entry["since"] for item, entry in mended.checklist().items()}
    mended.sql("POST", "/restoreBackup", {"restoreBackupContext": {"backupRunId": runs[0]["id"], "project": PROJECT}})
    done = mended.run("database")
    # Google's restore also sets the backup schedule back, and point-in-time recovery needs a restart to come on again
    assert done.code == 4, done.failures
    assert done.items("failed") == set()
    assert done.items("blocked") == {"database.instance.backup", "database.instance.ha"}
    after = mended.checklist()
    for item in ("database.init.migrate", "database.init.seed", "database.init.indexes", "database.proxy.connect"):
        assert after[item]["status"] == "verified"
        assert after[item]["since"] > before[item], f"{item} was not proved anew"
    assert after["predeploy.network.vpc"]["since"] == before["predeploy.network.vpc"]
    assert mended.run("database", "--allow-restart").code == 0
    assert mended.run("database").finished["writes"] == 0


def test_rows_deleted_by_hand_are_found_by_verify(plant: Operator) -> None:
    delete_rows(plant)
    silent = plant.run("database")
    assert silent.code == 0, "a run trusts its evidence"
    found = plant.do("phase", "verify", "database", "--format", "json")
    assert found.code == 1
    assert found.items("failed") == {"database.init.seed"}
    assert re.search("agent_skill", str(found.outcome("database.init.seed"))), found.outcome("database.init.seed")
    assert plant.checklist()["database.init.seed"]["status"] in ("failed", "drifted")


def delete_rows(operator: Operator) -> None:
    """As somebody with the owner's password would, past plantctl."""
    name = f"secretmanager/v1/projects/{PROJECT}/secrets/DATABASE_OWNER_PASSWORD/versions/1:access"
    password = base64.b64decode(operator.call("GET", name)["payload"]["data"]).decode()
    port = operator.control("GET", "dataplane")["postgres"]["instances"][0]["port"]

    async def work() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user="plant_owner", password=password, database="plant_db", ssl="require"
        )
        try:
            assert await connection.execute("DELETE FROM plant.agent_skill") == "DELETE 182"
        finally:
            await connection.close()

    asyncio.run(work())
