"""Executions of Cloud Scheduler: the target's request, sent into the sandbox with the job's account, retried, logged.

Google's own agent, which makes the token, is taken to have its role: Google grants it when the API is enabled. Only
Google's APIs are reached. A clock that is put forward past several due times fires once.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from plantctl.sandbox import errors
from plantctl.sandbox.clock import pause
from plantctl.sandbox.errors import RPC_CODE
from plantctl.sandbox.gateway import Request
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services.cloudscheduler import JOBS, found, next_time, service
from plantctl.sandbox.services.logging import write_entry

log = logging.getLogger("plantctl.sandbox")
HOST = re.compile(r"(?:[a-z0-9-]+-)?([a-z0-9]+)\.googleapis\.com")
CODES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
EVENT = "type.googleapis.com/google.cloud.scheduler.logging"


@dataclass(frozen=True)
class Outcome:
    """Of one attempt: a google.rpc.Code name, empty when it went well; the HTTP status, 0 where none came; words."""

    code: str = ""
    http: int = 0
    words: str = ""


@service.method(f"{JOBS}.run")
def run_job(call: Call) -> Body:
    """Now, whatever the schedule and state; answered before the attempt ends."""
    body = found(call)
    _start(call.world, f"cloudscheduler/{body['name']}", call.clock.rfc3339())
    return body


@service.on("minute")
def each_minute(world: World) -> None:
    """Fire what is due."""
    fire_due(world)


@service.on("clock-advanced")
def jump(world: World, *, seconds: float) -> None:
    """Fire what became due, once each."""
    fire_due(world)


def fire_due(world: World) -> None:
    """Start every enabled job whose time has come, and set its next time."""
    now = world.clock.now()
    with world.store.transaction():
        due = [
            (key, str(job["scheduleTime"]))
            for key, job in world.store.list("cloudscheduler/")
            if job["state"] == "ENABLED" and _moment(job["scheduleTime"]) <= now
        ]
        for key, _ in due:
            job = world.store.get(key) or {}
            world.store.put(key, {**job, "scheduleTime": next_time(world, job)})
    for key, scheduled in due:
        _start(world, key, scheduled)


def _start(world: World, key: str, scheduled: str) -> None:
    # on a thread of its own: an attempt may take as long as the target does
    threading.Thread(target=_execute, args=(world, key, scheduled), name="scheduler", daemon=True).start()


def _execute(world: World, key: str, scheduled: str) -> None:
    """All attempts of one execution. Its job may go, or the world be reset, at any time."""
    incarnation = world.incarnation
    try:
        delay = 0.0
        for attempt in range(6):
            job = world.store.get(key)
            if job is None or world.incarnation != incarnation:
                return
            outcome = _attempt(world, key, job, scheduled)
            if not outcome.code or attempt >= int(job["retryConfig"].get("retryCount", 0)):
                return
            delay = _backoff(job["retryConfig"], attempt)
            pause(world.clock.real_seconds(delay))
    except Exception:  # the thread has nobody to tell
        log.exception("defect in an execution of %s", key)


def _backoff(retries: Body, attempt: int) -> float:
    """Doubles as often as `maxDoublings` says, then grows by the last step (discovery document, RetryConfig)."""
    least, most = (float(str(retries[key]).rstrip("s")) for key in ("minBackoffDuration", "maxBackoffDuration"))
    doublings = int(retries["maxDoublings"])
    longest: float = least * float(2**doublings)
    step: float = least * float(2 ** min(attempt, doublings))
    return min(most, step + max(0, attempt - doublings) * longest)


def _attempt(world: World, key: str, job: Body, scheduled: str) -> Outcome:
    _tell(world, job, "AttemptStarted", {"scheduledTime": scheduled}, Outcome())
    _note(world, key, {"lastAttemptTime": world.clock.rfc3339()})
    try:
        outcome = _send(world, job, scheduled)
    except errors.ApiError as error:
        outcome = Outcome(error.status, 0, error.message)
    _note(world, key, {"status": {"code": RPC_CODE[outcome.code]} if outcome.code else {}})
    said = {"status": outcome.code, "debugInfo": outcome.words} if outcome.code else {}
    _tell(world, job, "AttemptFinished", said, outcome)
    return outcome


def _send(world: World, job: Body, scheduled: str) -> Outcome:
    """The target's request, with a token of the job's account; IAM and everything else is the gateway's affair."""
    target = job["httpTarget"]
    address = urlsplit(str(target["uri"]))
    host = HOST.fullmatch(address.netloc)
    if host is None:
        return Outcome("UNAVAILABLE", 0, f"the sandbox's scheduler reaches Google's APIs only, not {address.netloc}")
    headers = {str(name).lower(): str(value) for name, value in target["headers"].items()}
    headers |= {"x-cloudscheduler": "true", "x-cloudscheduler-jobname": str(job["name"]).rsplit("/", 1)[1]}
    headers["x-cloudscheduler-scheduletime"] = scheduled
    if "oauthToken" in target:
        email = str(target["oauthToken"]["serviceAccountEmail"])
        if f"iam/projects/{str(job['name']).split('/')[1]}/serviceAccounts/{email}" not in world.store:
            raise errors.ApiError("UNAUTHENTICATED", f"no token can be made: {email} does not exist")
        headers["authorization"] = f"Bearer {world.access.mint(email, 'access')[0]}"
    reply = world.hooks["request"](
        Request(
            transport="scheduler",
            api=host.group(1),
            verb=str(target["httpMethod"]),
            path=address.path.lstrip("/"),
            query=address.query,
            headers=headers,
            body=base64.b64decode(str(target.get("body", ""))),
        )
    )
    if reply.cut is not None:
        return Outcome("UNAVAILABLE", 0, "URL_UNREACHABLE-UNREACHABLE. The connection broke")
    if reply.status < 300:
        return Outcome(http=reply.status)
    kind = "URL_ERROR-ERROR_AUTHENTICATION" if reply.status in (401, 403) else "URL_ERROR-ERROR_OTHER"
    words = f"{kind}. Original HTTP response code number = {reply.status}"
    return Outcome(CODES.get(reply.status, "UNKNOWN"), reply.status, words)


def _note(world: World, key: str, fields: Body) -> None:
    with world.store.transaction():
        job = world.store.get(key)
        if job is not None:
            world.store.put(key, {**job, **fields})


def _tell(world: World, job: Body, event: str, fields: Body, outcome: Outcome) -> None:
    """The entry that Scheduler writes about an attempt (Cloud Scheduler docs, "logging")."""
    _, project, _, location, _, name = str(job["name"]).split("/")
    entry: Body = {
        "logName": f"projects/{project}/logs/cloudscheduler.googleapis.com%2Fexecutions",
        "resource": {
            "type": "cloud_scheduler_job",
            "labels": {"project_id": project, "location": location, "job_id": name},
        },
        "severity": "ERROR" if outcome.code else "INFO",
        "jsonPayload": {
            "@type": f"{EVENT}.{event}",
            "jobName": job["name"],
            "targetType": "HTTP",
            "url": job["httpTarget"]["uri"],
            **fields,
        },
    }
    if outcome.http:
        entry["httpRequest"] = {"status": outcome.http}
    with world.store.transaction():
        write_entry(world, project, entry)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(str(text).replace("Z", "+00:00"))
