"""Executions of Cloud Run jobs: the image's entry point really runs, with the template's environment and identity.

Tasks run one after the other; one that fails is tried again as often as `maxRetries` says.
"""

from __future__ import annotations

import secrets
import time
import uuid

from plantctl.sandbox import errors, standard
from plantctl.sandbox.clock import pause
from plantctl.sandbox.dataplane.build_context import BuildError
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.metadata import Identity
from plantctl.sandbox.dataplane.process import Launch
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services import run_instances
from plantctl.sandbox.services.logging import from_line, write_entry
from plantctl.sandbox.services.run import JOBS, TYPE, ready, service

EXECUTIONS = f"{JOBS}.executions"
CANNOT_START = (errors.ApiError, BuildError, DataPlaneError, KeyError, OSError, ValueError)
"""What a launch raises (ProcessPlane.run): the execution fails with its words."""


@service.method(f"{JOBS}.run")
def run_job(call: Call) -> Body:
    """Each call makes an execution: no natural key (hazards section 2). Overrides hold for this execution only."""
    return start_execution(call, f"run/{call.name()}", call.body.get("overrides") or {})


def start_execution(call: Call, key: str, overrides: Body) -> Body:
    """Make an execution of the job under this key and start it; gives the operation's first answer."""
    job = call.store.get(key)
    if job is None:
        raise errors.not_found(f'job "{key.removeprefix("run/")}" not found')
    given_etag = call.body.get("etag")
    if given_etag and standard.stale(given_etag, job["etag"]):
        raise errors.aborted("Conflict for resource: version mismatch.")
    if call.body.get("validateOnly"):
        return {"name": "", "done": True, "response": {"@type": f"{TYPE}.Execution"}}
    body = _new(call, key, job, overrides)
    identity, now = body["name"].rsplit("/", 1)[1], body["createTime"]
    call.store.put(f"run/{body['name']}", body)
    job["executionCount"] = job.get("executionCount", 0) + 1
    job["latestCreatedExecution"] = {"name": identity, "createTime": now, "completionStatus": "EXECUTION_RUNNING"}
    call.store.put(key, job)
    return call.operations.start(
        call,
        kind="lro",
        finisher="run.execute",
        duration_s=DURATIONS[f"{JOBS}.run"],
        name="/".join(body["name"].split("/")[:4]),
        project=body["name"].split("/")[1],
        target=f"run/{body['name']}",
        metadata={"@type": f"{TYPE}.Execution", **body},
        response_type=f"{TYPE}.Execution",
        args={"key": f"run/{body['name']}", "job": key},
    )


def _new(call: Call, key: str, job: Body, overrides: Body) -> Body:
    identity = f"{key.rsplit('/', 1)[1]}-{secrets.token_hex(3)[:5]}"
    name = f"{key.removeprefix('run/')}/executions/{identity}"
    now = call.clock.rfc3339()
    template = _overridden(job["template"], overrides)
    body: Body = {
        "name": name,
        "uid": str(uuid.uuid4()),
        "creator": call.email,
        "generation": "1",
        "createTime": now,
        "updateTime": now,
        "launchStage": job["launchStage"],
        "job": key.rsplit("/", 1)[1],
        "parallelism": template.get("parallelism") or template["taskCount"],
        "taskCount": template["taskCount"],
        "template": template["template"],
        "reconciling": True,
        "conditions": [{"type": "Completed", "state": "CONDITION_PENDING", "lastTransitionTime": now}],
        "labels": {**job.get("labels", {}), **template.get("labels", {})},
        "logUri": f"https://console.cloud.google.com/logs/viewer?project={name.split('/')[1]}&execution={identity}",
    }
    body["etag"] = f'"{standard.etag(body)}"'
    return body


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
    with world.store.transaction():
        body = world.store.get(op.args["key"])
        if body is None:
            raise errors.not_found("The execution was deleted.")
        if body.get("completionTime"):  # it ended just before the sandbox was restarted
            return body
        # a start time without an end: the sandbox that ran it is gone, and its processes with it
        lost = "startTime" in body
        body |= {"startTime": world.clock.rfc3339(), "runningCount": 1}
        world.store.put(op.args["key"], body)
    counts = {"succeededCount": 0, "failedCount": 0, "cancelledCount": 0, "retriedCount": 0}
    try:
        message = "The execution was lost when the sandbox stopped." if lost else _tasks(world, op, body, counts)
    except CANNOT_START as error:
        message = error.message if isinstance(error, errors.ApiError) else str(error)
    if message and not counts["cancelledCount"]:
        counts["failedCount"] = counts["failedCount"] or 1
    with world.store.transaction():
        done = _completed(world, world.store.get(op.args["key"]) or body, counts, message)
        world.store.put(op.args["key"], done)
        _tell_job(world, op.args["job"], done, succeeded=not message)
    op.metadata = {"@type": f"{TYPE}.Execution", **done}
    if message:
        # the operation fails with the execution; its message is the condition's
        raise errors.ApiError("CANCELLED" if counts["cancelledCount"] else "UNKNOWN", message)
    return done


def _completed(world: World, body: Body, counts: dict[str, int], message: str) -> Body:
    now = world.clock.rfc3339()
    condition = ready(world, "CONDITION_FAILED" if message else "CONDITION_SUCCEEDED")
    condition["type"] = "Completed"
    if message:
        condition["executionReason"] = "CANCELLED" if counts["cancelledCount"] else "NON_ZERO_EXIT_CODE"
        condition["message"] = message
    body.pop("runningCount", None)
    return {
        **body, **{key: count for key, count in counts.items() if count}, "completionTime": now, "updateTime": now,
        "reconciling": False, "observedGeneration": "1", "conditions": [condition],
    }  # fmt: skip


def _tell_job(world: World, key: str, execution: Body, *, succeeded: bool) -> None:
    job = world.store.get(key)
    name = execution["name"].rsplit("/", 1)[1]
    if job is not None and job.get("latestCreatedExecution", {}).get("name") == name:
        job["latestCreatedExecution"] |= {
            "completionTime": execution["completionTime"],
            "completionStatus": "EXECUTION_SUCCEEDED" if succeeded else "EXECUTION_FAILED",
        }
        world.store.put(key, job)


def _tasks(world: World, op: Operation, body: Body, counts: dict[str, int]) -> str:
    """Run every task; empty, or why the execution failed. Counts them as it goes."""
    retries = int(body["template"]["maxRetries"])
    for index in range(int(body["taskCount"])):
        for attempt in range(retries + 1):
            if _cancelled(world, op):
                counts["cancelledCount"] = 1
                return "The execution was cancelled."
            code = _attempt(world, op, body, index, attempt)
            if code == 0:
                counts["succeededCount"] += 1
                break
            if attempt < retries:
                counts["retriedCount"] += 1
        else:
            if _cancelled(world, op):
                counts["cancelledCount"] = 1
                return "The execution was cancelled."
            counts["failedCount"] += 1
            # unverified: no recording and no page has these words
            task = f"{body['name'].rsplit('/', 1)[1]}-task{index}"
            return f"Task {task} failed with exit code: {code} and message: The container exited with an error."
    return ""


def _cancelled(world: World, op: Operation) -> bool:
    return f"run-cancel/{op.args['key']}" in world.store


def _attempt(world: World, op: Operation, body: Body, index: int, attempt: int) -> int:
    if world.plane is None:
        raise errors.failed_precondition("This sandbox runs without a data plane: nothing can be executed.")
    template, name = body["template"], body["name"]
    container = template["containers"][0]
    env = run_instances.environment(world, op.project, template, container) | {
        "CLOUD_RUN_JOB": str(body["job"]),
        "CLOUD_RUN_EXECUTION": name.rsplit("/", 1)[1],
        "CLOUD_RUN_TASK_INDEX": str(index),
        "CLOUD_RUN_TASK_ATTEMPT": str(attempt),
        "CLOUD_RUN_TASK_COUNT": str(body["taskCount"]),
    }
    running = world.plane.processes.run(
        Launch(
            digest=run_instances.image_digest(world, op.project, container["image"]),
            identity=Identity(
                service_account=template["serviceAccount"],
                project_id=op.project,
                project_number=world.project_number(op.project),
                region=name.split("/")[3],
            ),
            command=tuple(container.get("command", ())),
            args=tuple(container.get("args", ())),
            env=env,
            files=run_instances.secret_files(world, op.project, template, container),
            forwards=run_instances.open_ways(world, op.project, template),
            timeout_s=float(str(template["timeout"]).rstrip("s")),
            workdir=container.get("workingDir"),
            on_line=lambda stream, line: _log(world, op, body, index, stream, line),
        )
    )
    world.plane.remember(op.args["key"], running)
    if _cancelled(world, op):  # asked for between the look and the start
        world.plane.stop(op.args["key"])
    code = running.wait()
    return -1 if code is None else code


def _log(world: World, op: Operation, body: Body, index: int, stream: str, line: str) -> None:
    execution = body["name"].rsplit("/", 1)[1]
    labels = {
        "run.googleapis.com/execution_name": execution,
        "run.googleapis.com/task_index": str(index),
    }
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


def _execution(call: Call) -> tuple[str, Body]:
    key = f"run/{call.name()}"
    found = call.store.get(key)
    if found is None:
        raise errors.not_found(f'execution "{call.name()}" not found')
    return key, found


@service.method(f"{EXECUTIONS}.get")
def get_execution(call: Call) -> Body:
    """One execution."""
    return _execution(call)[1]


@service.method(f"{EXECUTIONS}.list")
def list_executions(call: Call) -> Body:
    """Newest first: how a lost answer to `run` is looked for, by the environment of the template."""
    found = [body for _, body in reversed(call.store.list(f"run/{call.name('parent')}/executions/"))]
    return standard.page(found, call.params, "executions")


@service.method(f"{EXECUTIONS}.cancel")
def cancel_execution(call: Call) -> Body:
    """SIGTERM, and SIGKILL after ten seconds, as Cloud Run ends an instance; refused when it has ended."""
    return start_cancel(call, f"run/{call.name()}")


def start_cancel(call: Call, key: str) -> Body:
    """Ask for the end of an execution; gives the operation's first answer."""
    body = call.store.get(key)
    if body is None:
        raise errors.not_found(f'execution "{key.removeprefix("run/")}" not found')
    if body.get("completionTime"):  # unverified: Google's words for it
        raise errors.failed_precondition("The execution has already completed.")
    call.store.put(f"run-cancel/{key}", {"by": call.email})
    return _begin(call, key, "cancel", body, slow_s=0.0)


def _begin(call: Call, key: str, verb: str, body: Body, slow_s: float) -> Body:
    return call.operations.start(
        call,
        kind="lro",
        finisher=f"run.{verb}",
        duration_s=slow_s,
        name="/".join(key.split("/")[1:5]),
        project=key.split("/")[2],
        target=key,
        metadata={"@type": f"{TYPE}.Execution", **body},
        response_type=f"{TYPE}.Execution",
        args={"key": key, "body": body},
    )


@service.finisher("cancel", slow=True)
def finish_cancel(world: World, op: Operation) -> Body:
    """Stop what runs and wait until the execution says so."""
    if world.plane is not None:
        world.plane.stop(op.args["key"])
    end = time.monotonic() + 30
    while time.monotonic() < end:
        body = world.store.get(op.args["key"])
        if body is None or body.get("completionTime"):
            return body or {}
        pause(0.02)
    raise errors.ApiError("DEADLINE_EXCEEDED", "The execution did not end.")


@service.method(f"{EXECUTIONS}.delete")
def delete_execution(call: Call) -> Body:
    """Refused while it runs (run v2 reference)."""
    key, body = _execution(call)
    if not body.get("completionTime"):
        raise errors.failed_precondition("The execution is still running; cancel it first.")
    return _begin(call, key, "delete_execution", body, DURATIONS[f"{EXECUTIONS}.delete"])


@service.finisher("delete_execution")
def finish_delete_execution(world: World, op: Operation) -> Body:
    """Gone."""
    world.store.delete(op.args["key"])
    world.store.delete(f"run-cancel/{op.args['key']}")
    return {**op.args["body"], "deleteTime": world.clock.rfc3339()}
