"""Cloud Scheduler: jobs, and their executions with the job's own account, by schedule and by hand."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from plantctl.sandbox.app import App
from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

PLACE = f"projects/{PROJECT}/locations/us-central1"
JOBS = f"cloudscheduler/v1/{PLACE}/jobs"
EMAIL = f"plant-backup-sa@{PROJECT}.iam.gserviceaccount.com"
SECRETS = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"


def job(**more: Any) -> dict[str, Any]:
    """A job that makes a secret every night."""
    target = {
        "uri": f"{SECRETS}?secretId=NIGHTLY",
        "body": base64.b64encode(json.dumps({"replication": {"automatic": {}}}).encode()).decode(),
        "headers": {"Content-Type": "application/json"},
        "oauthToken": {"serviceAccountEmail": EMAIL},
    }
    return {"name": f"{PLACE}/jobs/nightly", "schedule": "0 3 * * *", "httpTarget": target, **more}


@pytest.fixture
def scheduled(sandbox: Sandbox) -> Sandbox:
    """A sandbox with the account; it may nothing yet."""
    sandbox.ok("POST", f"iam/v1/projects/{PROJECT}/serviceAccounts", {"accountId": EMAIL.split("@")[0]})
    return sandbox


def grant(sandbox: Sandbox) -> None:
    """The account may make secrets."""
    binding = {"role": "roles/secretmanager.admin", "members": [f"serviceAccount:{EMAIL}"]}
    path = f"cloudresourcemanager/v3/projects/{PROJECT}:setIamPolicy"
    sandbox.ok("POST", path, {"policy": {"bindings": [binding]}})


def until(found: Callable[[], Any]) -> Any:
    """What is found in the end; attempts run on threads of their own."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come about")


def finished(sandbox: Sandbox) -> list[dict[str, Any]]:
    """AttemptFinished entries."""
    body = {"resourceNames": [f"projects/{PROJECT}"], "filter": 'resource.type="cloud_scheduler_job"'}
    entries = sandbox.ok("POST", "logging/v2/entries:list", body).get("entries", [])
    return [one for one in entries if one["jsonPayload"]["@type"].endswith("AttemptFinished")]


def test_defaults_are_filled_in(scheduled: Sandbox) -> None:
    made = scheduled.ok("POST", JOBS, job())
    assert (made["state"], made["timeZone"], made["attemptDeadline"]) == ("ENABLED", "Etc/UTC", "180s")
    assert made["httpTarget"]["httpMethod"] == "POST"
    assert made["httpTarget"]["headers"]["User-Agent"] == "Google-Cloud-Scheduler"
    assert made["httpTarget"]["oauthToken"]["scope"].endswith("/cloud-platform")
    assert made["retryConfig"]["minBackoffDuration"] == "5s"
    assert made["scheduleTime"].endswith("T03:00:00.000000Z")
    assert scheduled.ok("GET", JOBS)["jobs"] == [made]
    assert scheduled.post(JOBS, job()).status_code == 409


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"schedule": "whenever"}, 400),
        ({"timeZone": "Mars/Olympus"}, 400),
        ({"httpTarget": {"uri": "ftp://x"}}, 400),
        ({"httpTarget": {"uri": "https://x", "httpMethod": "GET", "body": "aGk="}}, 400),
        ({"httpTarget": {"uri": "https://x", "oauthToken": {"serviceAccountEmail": f"no-one@{PROJECT}"}}}, 404),
        ({"retryConfig": {"retryCount": 6}}, 400),
        ({"attemptDeadline": "5s"}, 400),
        ({"name": f"{PLACE}/jobs/a b"}, 400),
        ({"name": "projects/other/locations/us-central1/jobs/a"}, 400),
    ],
)
def test_what_the_documents_forbid_is_refused(scheduled: Sandbox, change: dict[str, Any], status: int) -> None:
    assert scheduled.post(JOBS, job(**change)).status_code == status
    assert scheduled.ok("GET", JOBS) == {}


def test_a_run_by_hand_acts_as_the_account_and_may_what_it_may(scheduled: Sandbox) -> None:
    scheduled.ok("POST", JOBS, job())
    scheduled.ok("POST", f"{JOBS}/nightly:run", {})
    failed = until(lambda: scheduled.ok("GET", f"{JOBS}/nightly").get("status"))
    assert failed == {"code": 7}
    (entry,) = until(lambda: finished(scheduled))
    assert (entry["severity"], entry["httpRequest"]) == ("ERROR", {"status": 403})
    assert entry["jsonPayload"]["status"] == "PERMISSION_DENIED"
    grant(scheduled)
    scheduled.ok("POST", f"{JOBS}/nightly:run", {})
    until(lambda: scheduled.ok("GET", f"{JOBS}/nightly").get("status") == {})
    assert scheduled.get(f"secretmanager/v1/projects/{PROJECT}/secrets/NIGHTLY").status_code == 200
    sent = [one for one in scheduled.wire() if one["transport"] == "scheduler"]
    assert [one["status"] for one in sent] == [403, 200]
    assert {one["user_agent"] for one in sent} == {"Google-Cloud-Scheduler"}


def test_the_clock_fires_what_is_due_once(scheduled: Sandbox) -> None:
    grant(scheduled)
    before = scheduled.ok("POST", JOBS, job())["scheduleTime"]
    scheduled.ok("POST", JOBS, job(name=f"{PLACE}/jobs/paused"))
    scheduled.ok("POST", f"{JOBS}/paused:pause", {})
    scheduled.ok("PUT", "_sandbox/clock", {"advance_s": 86400})
    (entry,) = until(lambda: finished(scheduled))
    assert entry["severity"] == "INFO"
    assert entry["resource"]["labels"]["job_id"] == "nightly"
    now = scheduled.ok("GET", f"{JOBS}/nightly")
    assert now["scheduleTime"] > before
    assert now["lastAttemptTime"] > before[:10]
    assert "lastAttemptTime" not in scheduled.ok("GET", f"{JOBS}/paused")


def test_a_minute_of_the_machine_fires_too(scheduled: Sandbox, sandbox_app: App) -> None:
    """The ticker's event, without waiting for it: a schedule that is due is found at the next minute."""
    made = scheduled.ok("POST", JOBS, job(schedule="* * * * *"))
    key = f"cloudscheduler/{made['name']}"
    sandbox_app.world.store.put(key, {**made, "scheduleTime": "2026-01-01T00:00:00.000000Z"})
    sandbox_app.world.fire("minute")
    until(lambda: finished(scheduled))
    assert scheduled.ok("GET", f"{JOBS}/nightly")["scheduleTime"] > "2026-01-01T00:01"


def test_a_failed_attempt_is_tried_again_as_often_as_the_job_says(scheduled: Sandbox) -> None:
    grant(scheduled)
    scheduled.ok("POST", JOBS, job(retryConfig={"retryCount": 2}))
    create = "secretmanager.projects.secrets.create"
    scheduled.faults({"match": create, "do": {"status": 503}}, {"match": create, "nth": 2, "do": "reset"})
    scheduled.ok("POST", f"{JOBS}/nightly:run", {})
    entries = until(lambda: finished(scheduled) if len(finished(scheduled)) == 3 else None)
    assert [one["severity"] for one in entries] == ["ERROR", "ERROR", "INFO"]
    assert scheduled.ok("GET", "_sandbox/faults")["unfired"] == []


def test_it_reaches_nobody_else(scheduled: Sandbox) -> None:
    scheduled.ok("POST", JOBS, job(httpTarget={"uri": "https://example.com/hook"}))
    scheduled.ok("POST", f"{JOBS}/nightly:run", {})
    (entry,) = until(lambda: finished(scheduled))
    assert "Google's APIs only" in entry["jsonPayload"]["debugInfo"]


def test_pause_resume_patch_delete(scheduled: Sandbox) -> None:
    scheduled.ok("POST", f"cloudscheduler/v1/projects/{NUMBER}/locations/us-central1/jobs", job())
    path = f"{JOBS}/nightly"
    assert scheduled.post(f"{path}:resume", {}).status_code == 400
    assert scheduled.ok("POST", f"{path}:pause", {})["state"] == "PAUSED"
    assert scheduled.ok("POST", f"{path}:resume", {})["state"] == "ENABLED"
    patched = scheduled.ok("PATCH", f"{path}?updateMask=schedule", {"schedule": "30 4 * * *"})
    assert patched["scheduleTime"].endswith("T04:30:00.000000Z")
    assert patched["httpTarget"]["oauthToken"]["serviceAccountEmail"] == EMAIL
    assert scheduled.ok("DELETE", path) == {}
    assert scheduled.get(path).status_code == 404


def test_who_may_not_act_as_the_account_cannot_lend_it(scheduled: Sandbox, sandbox_app: App) -> None:
    binding = {"role": "roles/cloudscheduler.admin", "members": [f"serviceAccount:{EMAIL}"]}
    path = f"cloudresourcemanager/v3/projects/{PROJECT}:setIamPolicy"
    scheduled.ok("POST", path, {"policy": {"bindings": [binding]}})
    token, _ = sandbox_app.world.access.mint(EMAIL, "access")
    refused = scheduled.post(JOBS, job(), headers={"authorization": f"Bearer {token}"})
    assert refused.status_code == 403
    assert "iam.serviceAccounts.actAs" in refused.text


def test_the_export_of_redis_asks_for_the_right_to_export(scheduled: Sandbox) -> None:
    """What the daily backup is: Google's own API, called by Google's scheduler with the backup account's token."""
    uri = f"https://redis.googleapis.com/v1/{PLACE}/instances/plant-redis:export"
    where = {"outputConfig": {"gcsDestination": {"uri": "gs://plant-backups/plant-redis.rdb"}}}
    target = {**job()["httpTarget"], "uri": uri, "body": base64.b64encode(json.dumps(where).encode()).decode()}
    scheduled.ok("POST", JOBS, job(httpTarget=target))
    scheduled.ok("POST", f"{JOBS}/nightly:run", {})
    until(lambda: finished(scheduled))
    (sent,) = [one for one in scheduled.wire() if one["transport"] == "scheduler"]
    assert (sent["method_id"], sent["status"]) == ("redis.projects.locations.instances.export", 403)
    binding = {"role": "roles/redis.admin", "members": [f"serviceAccount:{EMAIL}"]}
    path = f"cloudresourcemanager/v3/projects/{PROJECT}:setIamPolicy"
    scheduled.ok("POST", path, {"policy": {"bindings": [binding]}})
    scheduled.ok("POST", f"{JOBS}/nightly:run", {})
    entries = until(lambda: finished(scheduled) if len(finished(scheduled)) == 2 else None)
    # let in, and told that there is no such instance
    assert entries[-1]["httpRequest"] == {"status": 404}
