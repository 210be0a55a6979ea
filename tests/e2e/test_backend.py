"""All four phases on an empty project, silent after that; releases under load; what breaks is told, or mended."""

from __future__ import annotations

import shutil
import time
from typing import Any

import pytest

from tests.e2e.conftest import FOUR_PHASES
from tests.e2e.load import SERVICE, Load, get
from tests.e2e.operator import PROJECT, Done, Operator

OPTIONAL = "database.instance.dr_replica"
DAY_S = 86_400
SECRETS = f"secretmanager/v1/projects/{PROJECT}/secrets"
CONNECTOR = f"vpcaccess/v1/projects/{PROJECT}/locations/us-central1/connectors/plant-vpc-connector"
REDIS = f"redis/v1/projects/{PROJECT}/locations/us-central1/instances/plant-redis"
CRASH = '\nraise SystemExit("the dilithium is out")'
FINDING = {
    "kind": "VULNERABILITY",
    "discovery": {"analysisStatus": "FINISHED_SUCCESS"},
    "vulnerability": {"effectiveSeverity": "CRITICAL", "fixAvailable": True, "shortDescription": "CVE-2026-1234"},
}


def version_of(operator: Operator) -> str:
    """What the code that serves calls itself."""
    return str(get(operator, "/version").json()["version"])


def another(operator: Operator, word: str, *, code: str = "") -> str:
    """From now on commands build this version from a source of its own: it says its name, and runs `code` first."""
    folder = operator.folder / word
    if not folder.exists():
        shutil.copytree(operator.folder.parent / "source", folder)
        main = folder / "backend" / "main.py"
        text = main.read_text(encoding="utf-8")
        assert 'VERSION = "0.1.0"' in text
        main.write_text(text.replace('VERSION = "0.1.0"', f'VERSION = "{word}"{code}'), encoding="utf-8")
    operator.variables |= {"PLANTCTL_BACKEND_SOURCE": str(folder), "PLANTCTL_BACKEND_VERSION": word}
    return word


def released(operator: Operator, *words: str, code: int = 0) -> Done:
    """A release command that has to end with this code."""
    done = operator.do("release", *words)
    assert done.code == code, f"{done.code}\n{done.out}\n{done.err}"
    return done


def ended(operator: Operator, operation: dict[str, Any], api: str) -> None:
    """Wait for an operation behind plantctl's back."""
    deadline = time.monotonic() + 60
    while not operation.get("done"):
        assert time.monotonic() < deadline, operation
        time.sleep(0.02)
        operation = operator.call("GET", f"{api}/{operation['name']}")
    assert "error" not in operation, operation


def failed(done: Done, item: str) -> str:
    """Message, cause and hint of an item that did not come into place."""
    event = done.outcome(item)
    assert event["outcome"] in ("failed", "blocked"), event
    return " | ".join(str(event.get(word, "")) for word in ("message", "cause", "hint"))


def test_every_item_of_four_phases_is_verified(four_phases: tuple[Operator, Done]) -> None:
    operator, run = four_phases
    assert run.code == 0, run.failures
    checklist = operator.checklist()
    mine = {item: entry for item, entry in checklist.items() if item.split(".")[0] in FOUR_PHASES}
    wrong = {item: entry["status"] for item, entry in mine.items() if entry["status"] != "verified"}
    assert wrong == {OPTIONAL: "not-applicable"}
    assert len([item for item, entry in mine.items() if not entry["added"]]) == 48
    words = {item: "\n".join(entry["evidence"]) for item, entry in mine.items()}
    assert "none failed" in words["backend.health.lifecycle"]
    assert "ended by SIGTERM in order" in words["backend.health.lifecycle"]
    assert "enqueued through the API, was done" in words["backend.worker.deploy"]
    assert "database answers the service in" in words["backend.health.database"]
    assert "redis answers the service in" in words["backend.health.redis"]


def test_a_second_run_writes_nothing_and_neither_does_one_on_the_next_day(served: Operator) -> None:
    for label in ("second", "next day"):
        since = served.mark()
        done = served.run(*FOUR_PHASES)
        assert done.code == 0, done.failures
        assert (done.finished["writes"], done.finished["changed"]) == (0, 0), label
        assert served.writes(since) == []
        if label == "second":
            served.control("PUT", "clock", {"advance_s": DAY_S})


def test_the_service_answers_from_the_real_stores(served: Operator) -> None:
    answer = get(served, "/api/v1/industries")
    assert answer.status_code == 200
    assert len(answer.json()["items"]) > 2


@pytest.mark.acceptance
def test_a_version_is_deployed_promoted_and_rolled_back_under_load(served: Operator) -> None:
    new = another(served, "1.1.0")
    released(served, "build")
    with Load(served) as users:
        done = released(served, "deploy", "--format", "json")
        assert done.document["release"]["percent"] == 0
        users.more(30)
        assert set(users.versions) == {"0.1.0"}, "no traffic before a promotion"
        again = released(served, "deploy", "--format", "json")
        assert again.document["release"]["changed"] is False
        released(served, "promote", "--watch", "2")
        assert version_of(served) == new
        users.more(30)
        since = served.mark()
        released(served, "rollback")
        assert served.writes(since) != []
        assert version_of(served) == "0.1.0", "older code runs"
        since = served.mark()
        released(served, "rollback")
        assert served.writes(since) == []
    assert users.wrong == {}
    assert users.versions[new] > 0
    print(f"{users.sent} requests, none wrong: {dict(users.versions)}")
    rows = released(served, "list", "--format", "json").document["revisions"]
    assert [row["percent"] for row in rows if row["version"] == "v1.0.0"].count(100) == 1
    released(served, "promote", "--watch", "1")
    run = served.run("backend")
    assert run.code == 0, run.failures
    assert version_of(served) == new


@pytest.mark.acceptance
def test_a_run_does_not_undo_a_rollback(served: Operator) -> None:
    another(served, "1.1.0")
    done = served.run("backend")
    assert done.code == 0, done.failures
    released(served, "rollback")
    done = served.run("backend")
    assert done.code == 1
    assert "a release is under way" in failed(done, "backend.service.deploy")
    assert "plantctl release promote" in failed(done, "backend.service.deploy")
    released(served, "promote", "--watch", "1")
    done = served.run("backend")
    assert done.code == 0, done.failures


def test_a_version_that_crashes_never_gets_traffic(served: Operator) -> None:
    serving = version_of(served)
    another(served, "9.9.9", code=CRASH)
    released(served, "build")
    with Load(served) as users:
        done = released(served, "deploy", code=1)
        assert "is not ready" in done.err
        assert "keeps serving" in done.err
        assert "the dilithium is out" in done.err
        assert "container-not-ready" in done.err
        released(served, "promote", code=1)
    assert (users.wrong, set(users.versions)) == ({}, {serving})


@pytest.mark.acceptance
def test_a_run_with_a_version_that_crashes_leaves_the_old_one_serving(served: Operator) -> None:
    another(served, "1.1.0")
    done = served.run("backend")
    assert done.code == 0, done.failures
    another(served, "9.9.9", code=CRASH)
    with Load(served) as users:
        done = served.run("backend")
        assert done.code == 1
        words = failed(done, "backend.service.deploy")
        assert "keeps serving" in words
        assert "the dilithium is out" in words
    assert (users.wrong, set(users.versions)) == ({}, {"1.1.0"})
    another(served, "1.1.0")
    done = served.run("backend")
    assert done.code == 0, done.failures


def test_a_critical_finding_stops_run_and_release_with_exit_6(served: Operator) -> None:
    before = version_of(served)
    another(served, "1.2.0")
    method = "containeranalysis.projects.occurrences.list"
    served.faults({"match": method, "times": 100, "do": {"status": 200, "body": {"occurrences": [FINDING]}}})
    done = released(served, "build", "--format", "json", code=6)
    assert "CVE-2026-1234" in failed(done, "backend.image.scan")
    done = released(served, "deploy", code=6)
    assert "CVE-2026-1234" in done.err
    assert served.unfired() == []
    assert version_of(served) == before
    served.faults()


@pytest.mark.acceptance
def test_a_version_that_listens_on_the_wrong_port_is_told(served: Operator) -> None:
    before = version_of(served)
    another(served, "8.8.8")
    main = served.folder / "8.8.8" / "backend" / "main.py"
    text = main.read_text(encoding="utf-8")
    assert '"port": settings.port' in text
    main.write_text(text.replace('"port": settings.port', '"port": 9999'), encoding="utf-8")
    released(served, "build")
    done = released(served, "deploy", code=1)
    assert "container-not-ready" in done.err
    assert version_of(served) == before


@pytest.mark.acceptance
def test_an_image_that_is_gone_is_told(served: Operator) -> None:
    before = version_of(served)
    registry = "artifactregistry.projects.locations.repositories"
    gone = {"times": 100, "do": {"status": 404}}
    served.faults({"match": f"{registry}.packages.tags.get", **gone}, {"match": f"{registry}.dockerImages.get", **gone})
    done = served.run("backend")
    assert done.code == 1
    assert "is gone from the registry" in done.out or "the registry does not have" in done.out
    assert "raise backend.version" in done.out
    assert f"{registry}.dockerImages.get" not in [rule["match"] for rule in served.unfired()]
    served.faults()
    assert version_of(served) == before


@pytest.mark.acceptance
def test_an_accessor_that_was_taken_away_is_told_by_a_release_and_mended_by_a_run(served: Operator) -> None:
    before = version_of(served)
    another(served, "1.2.0")
    released(served, "build")
    policy = served.call("GET", f"{SECRETS}/JWT_SECRET_KEY:getIamPolicy")
    served.call("POST", f"{SECRETS}/JWT_SECRET_KEY:setIamPolicy", {"policy": {"bindings": []}})
    done = released(served, "deploy", code=1)
    assert "secret-unreadable" in done.err
    assert "predeploy.secret.jwt_secret_key" in done.err
    assert version_of(served) == before
    assert policy["bindings"] != []
    another(served, "1.1.0")
    done = served.run("predeploy", "backend")
    assert done.code == 0, done.failures
    assert "predeploy.secret.jwt_secret_key" in done.items("changed")


@pytest.mark.acceptance
def test_a_disabled_version_is_told_with_the_command_that_enables_it(served: Operator) -> None:
    before = version_of(served)
    served.call("POST", f"{SECRETS}/JWT_SECRET_KEY/versions/1:disable", {})
    done = served.run("backend")
    assert done.code == 1
    assert "gcloud secrets versions enable 1 --secret JWT_SECRET_KEY" in failed(done, "predeploy.secret.jwt_secret_key")
    another(served, "1.2.0")
    done = released(served, "deploy", code=1)
    assert "secret-version-unusable" in done.err
    assert version_of(served) == before
    served.call("POST", f"{SECRETS}/JWT_SECRET_KEY/versions/1:enable", {})
    another(served, "1.1.0")
    done = served.run("backend")
    assert done.code == 0, done.failures


@pytest.mark.acceptance
def test_a_connector_that_was_deleted_is_told_and_made_again(served: Operator) -> None:
    before = version_of(served)
    ended(served, served.call("DELETE", CONNECTOR), "vpcaccess/v1")
    another(served, "1.2.0")
    done = released(served, "deploy", code=1)
    assert "connector-missing" in done.err
    assert "predeploy.network.connector" in done.err
    assert version_of(served) == before
    another(served, "1.1.0")
    done = served.run(*FOUR_PHASES)
    assert done.code == 0, done.failures
    assert "predeploy.network.connector" in done.items("changed")


@pytest.mark.acceptance
def test_a_database_password_changed_behind_our_back_is_told_and_set_again(served: Operator) -> None:
    another(served, "1.1.0")
    served.sql("PUT", "/users?name=plant_app", {"name": "plant_app", "password": "somebody-elses-password"})
    ended(served, served.call("PATCH", f"{SERVICE}?updateMask=template", renewed(served)), "run/v2")
    assert ailing(served)["database"]["reason"] == "auth-failed"
    plan = served.do("phase", "plan", "database")
    assert "user plant_app password" in plan.out
    done = served.run(*FOUR_PHASES)
    assert done.code == 0, done.failures
    assert "database.instance.users" in done.items("changed")


def ailing(served: Operator) -> Any:
    """What `/health/ready` says once it is not well; connections that stood may last a moment."""
    deadline = time.monotonic() + 60
    while (answer := get(served, "/health/ready?strict=1")).status_code == 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    return answer.json()["checks"]


def renewed(served: Operator) -> dict[str, Any]:
    """The service's template with another annotation: instances that connect anew."""
    template = served.call("GET", SERVICE)["template"]
    return {"template": {**template, "annotations": {"by": "hand"}}}


@pytest.mark.acceptance
def test_a_rotated_redis_password_is_told_and_deployed(served: Operator) -> None:
    another(served, "1.1.0")
    for on in (False, True):
        ended(served, served.call("PATCH", f"{REDIS}?updateMask=authEnabled", {"authEnabled": on}), "redis/v1")
    assert ailing(served)["redis"]["ok"] is False
    plan = served.do("phase", "plan", "cache")
    assert "REDIS_PASSWORD is not what plant-redis asks for" in plan.out
    done = served.run(*FOUR_PHASES)
    assert done.code == 0, done.failures
    assert {"cache.instance.secrets", "backend.service.secrets"} <= done.items("changed")
