"""Cloud Run v2: jobs and operations. Executions are in run_executions.py, services in run_services.py."""

from __future__ import annotations

import re
import uuid
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, Service, World

service = Service("run", versions=("v2",))

JOBS = "run.projects.locations.jobs"
JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
TYPE = "type.googleapis.com/google.cloud.run.v2"
OUTPUT_ONLY = {
    "name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime", "creator", "lastModifier",
    "observedGeneration", "terminalCondition", "conditions", "executionCount", "latestCreatedExecution",
    "reconciling", "satisfiesPzs", "etag",
}  # fmt: skip
NOT_IN_METADATA = {"uid"}
"""The first answer's copy of the job has no uid (recorded exchange)."""


def ready(world: World, state: str = "CONDITION_SUCCEEDED", **more: str) -> Body:
    """The terminal condition."""
    return {"type": "Ready", "state": state, "lastTransitionTime": world.clock.rfc3339(), **more}


def _job(call: Call, param: str = "name") -> tuple[str, Body]:
    key = "run/" + "/".join(call.name(param).split("/")[:6])
    found = call.store.get(key)
    if found is None:
        raise errors.not_found(f'job "{key.removeprefix("run/")}" not found')
    return key, found


def _filled(call: Call, given: Body) -> Body:
    """Defaults of the template (recorded exchanges): one task, three retries, 600 s, 1 CPU, 512 MiB, GEN2."""
    body: Body = {k: v for k, v in given.items() if k not in OUTPUT_ONLY}
    outer: dict[str, Any] = {"taskCount": 1, **body.get("template", {})}
    number = call.world.project_number(call.project)
    inner: dict[str, Any] = {
        "maxRetries": 3,
        "timeout": "600s",
        "serviceAccount": f"{number}-compute@developer.gserviceaccount.com",
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        **outer.get("template", {}),
    }
    inner["containers"] = [_container(container) for container in inner.get("containers", [])]
    body["launchStage"] = body.get("launchStage", "GA")
    return {**body, "template": {**outer, "template": inner}}


def _container(given: Body) -> Body:
    limits = {"cpu": "1000m", "memory": "512Mi", **given.get("resources", {}).get("limits", {})}
    filled = {**given, "resources": {**given.get("resources", {}), "limits": limits}}
    if "startupProbe" in given:
        filled["startupProbe"] = {"failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 1} | given[
            "startupProbe"
        ]
    return filled


def _check(call: Call, body: Body) -> None:
    template = body["template"]["template"]
    if not template["containers"]:
        raise errors.invalid("Violation in CreateJobRequest.job.template.template.containers: required.", "job")
    for container in template["containers"]:
        if not container.get("image"):
            raise errors.invalid(
                "Violation: containers[].image: must not be empty.", "job.template.template.containers"
            )
    seconds = float(str(template["timeout"]).rstrip("s"))
    if not 0 < seconds <= 604_800:  # a task runs 168 hours at most (Cloud Run documentation)
        raise errors.invalid(
            "Violation: template.timeout: must be between 1s and 168h.", "job.template.template.timeout"
        )
    check_account(call, template["serviceAccount"])


def check_account(call: Call, account: str) -> None:
    """404 when a service account of the project is not there, 403 when the caller may not act as it (hazards I)."""
    key = f"iam/projects/{call.project}/serviceAccounts/{account}"
    own = account.endswith(f"@{call.project}.iam.gserviceaccount.com")
    if own and key not in call.store:
        raise errors.not_found(f"Service account {account} was not found.")
    if own and not call.world.access.allows(call.principal, "iam.serviceAccounts.actAs", key):
        raise errors.denied(f"Permission 'iam.serviceaccounts.actAs' denied on service account {account}.")


def _start(call: Call, key: str, verb: str, body: Body) -> Body:
    first = {k: v for k, v in body.items() if k not in NOT_IN_METADATA}
    return call.operations.start(
        call,
        kind="lro",
        finisher=f"run.{verb}",
        duration_s=DURATIONS.get(f"{JOBS}.{call.method.id.rsplit('.', 1)[1]}", 10.0),
        name="/".join(key.split("/")[1:5]),
        project=key.split("/")[2],
        target=key,
        metadata={"@type": f"{TYPE}.Job", **first},
        response_type=f"{TYPE}.Job",
        args={"key": key, "body": body},
    )


@service.method(f"{JOBS}.create")
def create_job(call: Call) -> Body:
    """`validateOnly` checks and changes nothing."""
    return _create(call)


def _create(call: Call) -> Body:
    job_id = str(call.params.get("jobId") or "")
    name = f"{call.name('parent')}/jobs/{job_id}"
    if not JOB_ID.fullmatch(job_id):
        raise errors.invalid(f"Violation in CreateJobRequest.job_id: invalid value {job_id!r}", "job_id")
    if f"run/{name}" in call.store or call.operations.of_target(f"run/{name}", running=True):
        raise errors.already_exists(f"Resource '{job_id}' already exists.")
    body = _filled(call, call.body)
    _check(call, body)
    now = call.clock.rfc3339()
    body |= {
        "name": name,
        "uid": str(uuid.uuid4()),
        "generation": "1",
        "createTime": now,
        "updateTime": now,
        "creator": call.email,
        "lastModifier": call.email,
        "latestCreatedExecution": {},
        "terminalCondition": ready(call.world),
    }
    body["etag"] = f'"{standard.etag(body)}"'
    if str(call.params.get("validateOnly")).lower() == "true":
        return {"name": "", "done": True, "response": {"@type": f"{TYPE}.Job", **body}}
    return _start(call, f"run/{name}", "put_job", body)


@service.method(f"{JOBS}.patch")
def patch_job(call: Call) -> Body:
    """The whole job is replaced; `allowMissing` makes it where there is none; a stale etag answers 409."""
    key = f"run/{call.name()}"
    live = call.store.get(key)
    if live is None:
        if str(call.params.get("allowMissing")).lower() == "true":
            call.params |= {"parent": "/".join(key.split("/")[1:5]), "jobId": key.rsplit("/", 1)[1]}
            return _create(call)
        raise errors.not_found(f'job "{call.name()}" not found')
    given_etag = call.body.get("etag")
    if given_etag and given_etag != live["etag"]:
        raise errors.aborted("Conflict for resource: version mismatch.")
    body = _filled(call, call.body)
    _check(call, body)
    kept = {k: live[k] for k in OUTPUT_ONLY if k in live}
    body |= kept
    body |= {
        "generation": str(int(live["generation"]) + 1),
        "updateTime": call.clock.rfc3339(),
        "lastModifier": call.email,
    }
    body["etag"] = f'"{standard.etag(body)}"'
    return _start(call, key, "put_job", body)


@service.finisher("put_job")
def finish_put(world: World, op: Operation) -> Body:
    """The job is there, or changed; executions made meanwhile stay."""
    body = op.args["body"]
    live = world.store.get(op.args["key"])
    if live is not None:
        for field in ("executionCount", "latestCreatedExecution"):
            if field in live:
                body[field] = live[field]
    return world.store.put(op.args["key"], body)


@service.method(f"{JOBS}.get")
def get_job(call: Call) -> Body:
    """One job."""
    return _job(call)[1]


@service.method(f"{JOBS}.list")
def list_jobs(call: Call) -> Body:
    """Jobs of a location; `-` for all."""
    project, location = call.name("parent").split("/")[1::2]
    found = []
    for key, body in call.store.list(f"run/projects/{project}/locations/"):
        parts = key.split("/")
        if len(parts) == 7 and parts[5] == "jobs" and location in ("-", parts[4]):
            found.append(body)
    return standard.page(found, call.params, "jobs")


@service.method(f"{JOBS}.delete")
def delete_job(call: Call) -> Body:
    """Executions go with it."""
    return start_delete(call, *_job(call))


def start_delete(call: Call, key: str, live: Body) -> Body:
    """Begin the deletion of a job; gives the operation's first answer."""
    return _start(call, key, "delete_job", live)


@service.finisher("delete_job")
def finish_delete(world: World, op: Operation) -> Body:
    """Gone; the operation's response is the job as it was."""
    for key, _ in world.store.list(f"{op.args['key']}/"):
        world.store.delete(key)
    world.store.delete(op.args["key"])
    body: Body = op.args["body"]
    return body


@service.method("run.projects.locations.operations.get")
def get_operation(call: Call) -> Body:
    """One operation."""
    return _operation(call).render()


@service.method("run.projects.locations.operations.wait", blocking=True)
def wait_operation(call: Call) -> Body:
    """Best effort: may return before the end (discovery)."""
    seconds = min(30.0, float(str(call.body.get("timeout") or "30s").rstrip("s")))
    found = call.operations.wait(_operation(call).key, seconds)
    assert found is not None
    return found.render()


def _operation(call: Call) -> Operation:
    found = call.operations.get(f"operation/run/{call.name()}")
    if found is None:
        raise errors.not_found(f"Operation {call.name()} was not found.")
    return found


def _policy_key(call: Call) -> str:
    return _job(call, "resource")[0]


iam_policy_handlers(
    service, (f"{JOBS}.getIamPolicy", f"{JOBS}.setIamPolicy", f"{JOBS}.testIamPermissions"), _policy_key
)
