"""Executions of Cloud Run jobs: the image's entry point really runs, with the template's environment and identity.

Before it starts, what breaks real deployments is checked: image, secrets, service account, way into the network.
"""

from __future__ import annotations

import base64
import re
import secrets
import uuid
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.dataplane.forward import ForwardSet
from plantctl.sandbox.dataplane.metadata import Identity
from plantctl.sandbox.dataplane.process import Launch
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services import artifactregistry
from plantctl.sandbox.services.logging import from_line, write_entry
from plantctl.sandbox.services.run import JOBS, TYPE, ready, service

EXECUTIONS = f"{JOBS}.executions"
SQL_PORT = 5432


@service.method(f"{JOBS}.run")
def run_job(call: Call) -> Body:
    """Each call makes an execution: no natural key (hazards section 2). Overrides hold for this execution only."""
    key = f"run/{call.name()}"
    job = call.store.get(key)
    if job is None:
        raise errors.not_found(f'job "{call.name()}" not found')
    given_etag = call.body.get("etag")
    if given_etag and given_etag != job["etag"]:
        raise errors.aborted("Conflict for resource: version mismatch.")
    identity = f"{key.rsplit('/', 1)[1]}-{secrets.token_hex(3)[:5]}"
    name = f"{call.name()}/executions/{identity}"
    now = call.clock.rfc3339()
    template = _overridden(job["template"], call.body.get("overrides") or {})
    body: Body = {
        "name": name,
        "uid": str(uuid.uuid4()),
        "creator": call.email,
        "generation": "1",
        "createTime": now,
        "updateTime": now,
        "launchStage": job["launchStage"],
        "job": call.name().rsplit("/", 1)[1],
        "parallelism": 1,
        "taskCount": template["taskCount"],
        "template": template["template"],
        "reconciling": True,
        "conditions": [{"type": "Completed", "state": "CONDITION_PENDING", "lastTransitionTime": now}],
        "labels": {**job.get("labels", {}), **template.get("labels", {})},
        "logUri": f"https://console.cloud.google.com/logs/viewer?project={call.project}&execution={identity}",
    }
    body["etag"] = f'"{standard.etag(body)}"'
    call.store.put(f"run/{name}", body)
    job["executionCount"] = job.get("executionCount", 0) + 1
    job["latestCreatedExecution"] = {"name": identity, "createTime": now, "completionStatus": "EXECUTION_RUNNING"}
    call.store.put(key, job)
    return call.operations.start(
        call,
        kind="lro",
        finisher="run.execute",
        duration_s=DURATIONS.get(call.method.id, 15.0),
        name="/".join(name.split("/")[:4]),
        target=f"run/{name}",
        metadata={"@type": f"{TYPE}.Execution", **body},
        response_type=f"{TYPE}.Execution",
        args={"key": f"run/{name}", "job": key},
    )


def _overridden(template: Body, overrides: Body) -> Body:
    """containerOverrides replace args and add to env, by container name (run v2 reference, Overrides)."""
    result: Body = {**template, **({"taskCount": overrides["taskCount"]} if overrides.get("taskCount") else {})}
    inner: Body = {**template["template"]}
    if overrides.get("timeout"):
        inner["timeout"] = overrides["timeout"]
    containers = [dict(container) for container in inner["containers"]]
    for change in overrides.get("containerOverrides") or []:
        for container in containers:
            if change.get("name") and change["name"] != container.get("name"):
                continue
            if change.get("clearArgs"):
                container["args"] = []
            elif change.get("args"):
                container["args"] = change["args"]
            if change.get("env"):
                names = {entry["name"] for entry in change["env"]}
                container["env"] = [e for e in container.get("env", []) if e["name"] not in names] + change["env"]
    inner["containers"] = containers
    return {**result, "template": inner}


@service.finisher("execute", slow=True)
def finish_execution(world: World, op: Operation) -> Body:
    """Runs the container to its end; the operation's response is the execution, its error why it failed."""
    body = world.store.get(op.args["key"])
    if body is None:
        raise errors.not_found("The execution was deleted.")
    if body.get("completionTime"):  # run again after a restart of the sandbox
        return body
    started = world.clock.rfc3339()
    try:
        code, reason = _run(world, op, body)
    except errors.ApiError as error:
        code, reason = -1, error.message
    live = world.store.get(op.args["key"]) or body
    if _cancelled(live):
        code, reason = -1, "The execution was cancelled."
    done = _completed(world, live, started, code, reason)
    with world.store.transaction():
        world.store.put(op.args["key"], done)
        _tell_job(world, op.args["job"], done, code)
    op.metadata = {"@type": f"{TYPE}.Execution", **done}
    if code != 0:
        # the operation fails with the execution; its message is the condition's
        raise errors.ApiError("UNKNOWN", done["conditions"][0]["message"])
    return done


def _completed(world: World, body: Body, started: str, code: int, reason: str) -> Body:
    now = world.clock.rfc3339()
    count = {"succeededCount": 1} if code == 0 else {"cancelledCount": 1} if _cancelled(body) else {"failedCount": 1}
    condition: Body = ready(world, "CONDITION_SUCCEEDED" if code == 0 else "CONDITION_FAILED")
    condition["type"] = "Completed"
    if code != 0:
        condition["executionReason"] = "CANCELLED" if _cancelled(body) else "NON_ZERO_EXIT_CODE"
        condition["message"] = reason or f"Task {body['name'].rsplit('/', 1)[1]}-task0 failed with exit code {code}."
    return {
        **body, **count, "startTime": started, "completionTime": now, "updateTime": now,
        "reconciling": False, "observedGeneration": "1", "conditions": [condition],
    }  # fmt: skip


def _cancelled(body: Body) -> bool:
    return "sandbox/cancel" in body.get("annotations", {})


def _tell_job(world: World, key: str, execution: Body, code: int) -> None:
    job = world.store.get(key)
    name = execution["name"].rsplit("/", 1)[1]
    if job is not None and job.get("latestCreatedExecution", {}).get("name") == name:
        job["latestCreatedExecution"] |= {
            "completionTime": execution["completionTime"],
            "completionStatus": "EXECUTION_SUCCEEDED" if code == 0 else "EXECUTION_FAILED",
        }
        world.store.put(key, job)


def _run(world: World, op: Operation, body: Body) -> tuple[int, str]:
    if world.plane is None:
        raise errors.failed_precondition("This sandbox runs without a data plane: nothing can be executed.")
    template = body["template"]
    container = template["containers"][0]
    digest = _image(world, op.project, container["image"])
    env = _environment(world, op.project, template, container)
    name = body["name"]
    execution = name.rsplit("/", 1)[1]
    env |= {
        "CLOUD_RUN_JOB": str(body["job"]),
        "CLOUD_RUN_EXECUTION": execution,
        "CLOUD_RUN_TASK_INDEX": "0",
        "CLOUD_RUN_TASK_ATTEMPT": "0",
        "CLOUD_RUN_TASK_COUNT": str(body["taskCount"]),
    }
    forwards = open_ways(world, op.project, template)
    running = world.plane.processes.run(
        Launch(
            digest=digest,
            identity=Identity(
                service_account=template["serviceAccount"],
                project_id=op.project,
                project_number=world.project_number(op.project),
                region=name.split("/")[3],
            ),
            command=tuple(container.get("command", ())),
            args=tuple(container.get("args", ())),
            env=env,
            forwards=forwards,
            timeout_s=float(str(template["timeout"]).rstrip("s")),
            on_line=lambda stream, line: _log(world, op, body, stream, line),
        )
    )
    world.plane.remember(op.args["key"], running)
    code = running.wait()
    return (code if code is not None else -1), ""


def _image(world: World, project: str, image: str) -> str:
    found = artifactregistry.resolve(world, image)
    if found is None:
        raise errors.not_found(f"Image '{image}' not found.")
    key, digest = found
    if key.split("/")[2] != project:
        agent = f"service-{world.project_number(project)}@serverless-robot-prod.iam.gserviceaccount.com"
        if not world.access.allows(f"serviceAccount:{agent}", "artifactregistry.repositories.downloadArtifacts", key):
            message = f"Google Cloud Run Service Agent {agent} must have permission to read the image, {image}."
            raise errors.denied(message)
    return digest


def _environment(world: World, project: str, template: Body, container: Body) -> dict[str, str]:
    """Plain values, and secrets as they are now: the job's account needs the accessor role on each (hazards U04)."""
    env: dict[str, str] = {}
    for entry in container.get("env", []):
        reference: Any = entry.get("valueSource", {}).get("secretKeyRef")
        if reference is None:
            env[entry["name"]] = str(entry.get("value", ""))
        else:
            env[entry["name"]] = read_secret(world, project, template["serviceAccount"], reference)
    return env


def read_secret(world: World, project: str, account: str, reference: Body) -> str:
    """The value of a secretKeyRef for an account; raises in Cloud Run's words when it may not or cannot be read."""
    given = world.canonical(str(reference["secret"]))
    name = given if given.startswith("projects/") else f"projects/{project}/secrets/{given}"
    version = str(reference.get("version") or "latest")
    key = f"secretmanager/{name}"
    shown = f"{name}/versions/{version}"
    if not world.access.allows(f"serviceAccount:{account}", "secretmanager.versions.access", key):
        message = f"Permission denied on secret: {shown} for Revision service account {account}."
        raise errors.denied(
            f"{message} The service account used must be granted the 'Secret Manager Secret Accessor' role."
        )
    if version == "latest":
        version = str(max((int(k.rsplit("/", 1)[1]) for k, _ in world.store.list(f"{key}/versions/")), default=0))
    found = world.store.get(f"{key}/versions/{version}")
    if found is None or found["state"] != "ENABLED":
        state = found["state"] if found else "not found"
        raise errors.failed_precondition(f"Secret version {shown} is {state}.")
    return base64.b64decode(found["sandboxPayload"]).decode()


def open_ways(world: World, project: str, template: Body) -> ForwardSet:
    """Forwarders to the project's private servers, if the template has VPC access and the peering is ACTIVE.

    Every reserved address gets a stand-in: one that leads to the server, or one where nothing listens.
    """
    assert world.plane is not None
    ways = world.plane.forwards()
    network = _reachable_network(world, project, template.get("vpcAccess") or {})
    for key, instance in world.store.list(f"sqladmin/projects/{project}/instances/"):
        if not re.fullmatch(r"sqladmin/projects/[^/]+/instances/[^/]+", key):
            continue
        private = [a["ipAddress"] for a in instance.get("ipAddresses", []) if a["type"] == "PRIVATE"]
        if not private:
            continue
        home = str(instance["settings"].get("ipConfiguration", {}).get("privateNetwork", ""))
        port = world.plane.sql_port(project, instance["name"])
        if network and port and world.canonical(home) == network and peered(world, network):
            ways.open(private[0], SQL_PORT, ("127.0.0.1", port))
        else:
            ways.unreachable(private[0])
    return ways


def _reachable_network(world: World, project: str, access: Body) -> str:
    """The network that a template reaches: by a READY connector or by interfaces of its own; empty when none."""
    if access.get("connector"):
        given = world.canonical(str(access["connector"]))
        found = world.store.get(f"vpcaccess/{given}")
        if found is None or found.get("state") != "READY":
            return ""
        return f"projects/{given.split('/')[1]}/global/networks/{str(found.get('network', '')).rsplit('/', 1)[-1]}"
    for interface in access.get("networkInterfaces") or []:
        name = str(interface.get("network") or "").rsplit("/", 1)[-1]
        if name:
            return f"projects/{project}/global/networks/{name}"
    return ""


def peered(world: World, network: str) -> bool:
    """True while the network's private services access peering is ACTIVE."""
    live = world.store.get(f"compute/{network}") or {}
    return any(
        p["name"] == "servicenetworking-googleapis-com" and p["state"] == "ACTIVE" for p in live.get("peerings", [])
    )


def _log(world: World, op: Operation, body: Body, stream: str, line: str) -> None:
    execution = body["name"].rsplit("/", 1)[1]
    labels = {"run.googleapis.com/execution_name": execution, "run.googleapis.com/task_index": "0"}
    entry = {
        "logName": f"projects/{op.project}/logs/run.googleapis.com%2F{stream}",
        "resource": {
            "type": "cloud_run_job",
            "labels": {"project_id": op.project, "job_name": body["job"], "location": body["name"].split("/")[3]},
        },
    }
    parsed = from_line(line)
    parsed["labels"] = {**parsed.get("labels", {}), **labels}
    write_entry(world, op.project, {**entry, **parsed})


@service.method(f"{EXECUTIONS}.get")
def get_execution(call: Call) -> Body:
    """One execution."""
    found = call.store.get(f"run/{call.name()}")
    if found is None:
        raise errors.not_found(f'execution "{call.name()}" not found')
    return found


@service.method(f"{EXECUTIONS}.list")
def list_executions(call: Call) -> Body:
    """Newest first: how a lost answer to `run` is looked for, by the environment of the template."""
    found = [body for _, body in reversed(call.store.list(f"run/{call.name('parent')}/executions/"))]
    return standard.page(found, call.params, "executions")


@service.method(f"{EXECUTIONS}.cancel")
def cancel_execution(call: Call) -> Body:
    """SIGTERM, and SIGKILL after ten seconds, as Cloud Run ends an instance."""
    key = f"run/{call.name()}"
    body = call.store.get(key)
    if body is None:
        raise errors.not_found(f'execution "{call.name()}" not found')
    if not body.get("completionTime"):
        body.setdefault("annotations", {})["sandbox/cancel"] = "requested"
        call.store.put(key, body)
        if call.world.plane is not None:
            call.world.plane.stop(key)
    found = [op for op in call.operations.of_target(key) if op.method_id == f"{JOBS}.run"]
    if not found:
        raise errors.not_found(f'the operation of execution "{call.name()}" was not found')
    return found[-1].render()
