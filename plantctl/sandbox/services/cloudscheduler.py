"""Cloud Scheduler v1: jobs with HTTP targets, by crontab schedules on the sandbox's clock. Runs: `scheduler_runs.py`.

No recording was at hand: defaults and rules are those of the discovery document's words, errors are unverified. The
English-like schedules of App Engine, and Pub/Sub and App Engine targets, are not taken.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.cron import Cron
from plantctl.sandbox.service import Body, Call, Service, World

service = Service("cloudscheduler", versions=("v1",))

JOBS = "cloudscheduler.projects.locations.jobs"
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
READ_ONLY = ("name", "state", "status", "scheduleTime", "lastAttemptTime", "userUpdateTime", "satisfiesPzs")
RETRIES = {
    "maxBackoffDuration": "3600s",
    "maxDoublings": 5,
    "maxRetryDuration": "0s",
    "minBackoffDuration": "5s",
}
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
WITH_BODY = ("POST", "PUT", "PATCH")
TARGETS = ("httpTarget", "pubsubTarget", "appEngineHttpTarget")


@service.method(f"{JOBS}.create")
def create_job(call: Call) -> Body:
    """The name may be left to the server; the schedule counts from now."""
    parent = call.name("parent")
    name = call.world.canonical(str(call.body.get("name") or f"{parent}/jobs/{secrets.randbelow(10**19)}"))
    if not name.startswith(f"{parent}/jobs/") or not JOB_ID.fullmatch(name.rsplit("/", 1)[1]):
        raise errors.invalid(
            'Job name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/jobs/<JOB_ID>".'
        )
    if f"cloudscheduler/{name}" in call.store:
        raise errors.already_exists(f"Job {name} already exists.")
    return _put(call, {**_given(call), "name": name, "state": "ENABLED"})


@service.method(f"{JOBS}.get")
def get_job(call: Call) -> Body:
    """One job."""
    return found(call)


@service.method(f"{JOBS}.list")
def list_jobs(call: Call) -> Body:
    """The jobs of a location."""
    jobs = [body for _, body in call.store.list(f"cloudscheduler/{call.name('parent')}/jobs/")]
    return standard.page(jobs, call.params, "jobs")


@service.method(f"{JOBS}.patch")
def patch_job(call: Call) -> Body:
    """The masked fields; what the last attempt left stays."""
    live = found(call)
    body = standard.masked(live, _given(call), str(call.params.get("updateMask") or ""))
    return _put(call, body)


@service.method(f"{JOBS}.delete")
def delete_job(call: Call) -> Body:
    """Gone at once; an attempt under way ends by itself."""
    call.store.delete(f"cloudscheduler/{found(call)['name']}")
    return {}


@service.method(f"{JOBS}.pause")
def pause_job(call: Call) -> Body:
    """Only an enabled one."""
    return _switch(call, "ENABLED", "PAUSED")


@service.method(f"{JOBS}.resume")
def resume_job(call: Call) -> Body:
    """Only a paused one; what it missed meanwhile is not made up for."""
    return _switch(call, "PAUSED", "ENABLED")


def _switch(call: Call, before: str, after: str) -> Body:
    body = found(call)
    if body["state"] != before:
        raise errors.failed_precondition(f"Job state must be {before} to be changed to {after}.")
    body |= {"state": after, "scheduleTime": next_time(call.world, body)}
    return call.store.put(f"cloudscheduler/{body['name']}", body)


def found(call: Call) -> Body:
    """The job that a call names, or 404."""
    body = call.store.get(f"cloudscheduler/{call.name()}")
    if body is None:
        raise errors.not_found("Job not found.")
    return body


def next_time(world: World, job: Body) -> str:
    """When the job is due next; 400 for a schedule or time zone that cannot be read."""
    try:
        return world.clock.rfc3339(Cron.parse(job["schedule"], job["timeZone"]).after(world.clock.now()))
    except ValueError:
        raise errors.invalid("Schedule or time zone is invalid.", "job.schedule") from None


def _given(call: Call) -> Body:
    return {key: value for key, value in call.body.items() if key not in READ_ONLY and value is not None}


def _put(call: Call, body: Body) -> Body:
    if "httpTarget" not in body:
        given = [kind for kind in TARGETS if kind in body]
        if given:
            raise errors.ApiError("UNIMPLEMENTED", f"the sandbox's scheduler has no {given[0]}")
        raise errors.invalid("A target is required.", "job.target")
    retries = {**RETRIES, **(body.get("retryConfig") or {})}
    if not 0 <= int(retries.get("retryCount", 0)) <= 5:
        raise errors.invalid("RetryConfig.retryCount must be in [0, 5].", "job.retry_config.retry_count")
    deadline = str(body.get("attemptDeadline") or "180s")
    if not 15 <= float(deadline.rstrip("s")) <= 1800:
        raise errors.invalid("The deadline must be in the interval [15s, 30m].", "job.attempt_deadline")
    if len(str(body.get("description", ""))) > 500:
        raise errors.invalid("The description must not exceed 500 characters.", "job.description")
    body = {"timeZone": "Etc/UTC", **body, "retryConfig": retries, "attemptDeadline": deadline}
    body["httpTarget"] = _target(call, dict(body["httpTarget"]))
    body["userUpdateTime"] = call.clock.rfc3339()
    body["scheduleTime"] = next_time(call.world, {"schedule": "", **body})
    return call.store.put(f"cloudscheduler/{body['name']}", body)


def _target(call: Call, target: Body) -> Body:
    uri = str(target.get("uri", ""))
    if not re.match(r"https?://[^/]+", uri) or len(uri) > 2083:
        raise errors.invalid("HttpTarget.url must start with 'http://' or 'https://'.", "job.http_target.uri")
    target.setdefault("httpMethod", "POST")
    if target.get("body") and target["httpMethod"] not in WITH_BODY:
        raise errors.invalid("HttpTarget.body is not allowed with this HTTP method.", "job.http_target.body")
    # replaced by Google (discovery document, HttpTarget.headers)
    target["headers"] = {**(target.get("headers") or {}), "User-Agent": "Google-Cloud-Scheduler"}
    for kind in ("oauthToken", "oidcToken"):
        if kind in target:
            target[kind] = _token(call, kind, dict(target[kind]))
    return target


def _token(call: Call, kind: str, token: dict[str, Any]) -> Body:
    """The account must be the project's, and the caller may act as it (discovery document, OAuthToken)."""
    email = str(token.get("serviceAccountEmail", ""))
    key = f"iam/projects/{call.project}/serviceAccounts/{email}"
    if key not in call.store:
        raise errors.not_found(f"Service account {email} does not exist in project {call.project}.")
    call.world.access.require(call.principal, "iam.serviceAccounts.actAs", key)
    return {"scope": SCOPE, **token} if kind == "oauthToken" else token
