"""Cloud Run v1 (Knative), the part that gcloud uses for jobs: the v2 resources, written the older way.

One job, one key: nothing is kept here. Conditions and fields that gcloud needs: sandbox 4 ("server details").
"""

from __future__ import annotations

import re
from typing import Any

from plantctl.sandbox import errors
from plantctl.sandbox.service import Body, Call
from plantctl.sandbox.services import run, run_executions
from plantctl.sandbox.services.run import service

JOBS = "run.namespaces.jobs"
EXECUTIONS = "run.namespaces.executions"
API = "run.googleapis.com/v1"
REGIONAL = re.compile(r"^([a-z]+-[a-z]+\d+)-run\.googleapis\.com")
STATES = {"CONDITION_SUCCEEDED": "True", "CONDITION_FAILED": "False"}


def region_of(call: Call) -> str:
    """The region of a regional host, as gcloud calls it; empty for the global one."""
    found = REGIONAL.match(call.headers.get("host", ""))
    return found.group(1) if found else ""


def _jobs(call: Call, project: str) -> list[tuple[str, Body]]:
    region = region_of(call)
    return [
        (key, body)
        for key, body in call.store.list(f"run/projects/{call.world.project_id(project)}/locations/")
        if len(key.split("/")) == 7 and key.split("/")[5] == "jobs" and region in ("", key.split("/")[4])
    ]


def _job(call: Call) -> tuple[str, Body]:
    _, project, _, name = str(call.params["name"]).split("/")
    for key, body in _jobs(call, project):
        if key.endswith(f"/jobs/{name}"):
            return key, body
    raise errors.not_found(f"Job '{name}' not found.")


def _executions(call: Call, project: str) -> list[tuple[str, Body]]:
    found = [pair for key, _ in _jobs(call, project) for pair in call.store.list(f"{key}/executions/")]
    return sorted(found, key=lambda pair: str(pair[1]["createTime"]), reverse=True)


def _execution(call: Call) -> tuple[str, Body]:
    _, project, _, name = str(call.params["name"]).split("/")
    for key, body in _executions(call, project):
        if key.endswith(f"/executions/{name}"):
            return key, body
    raise errors.not_found(f"Execution '{name}' not found.")


@service.method(f"{JOBS}.list", versions=("v1",))
def list_jobs(call: Call) -> Body:
    """Jobs of a namespace (a project), of the region that the host names."""
    found = [job(call, key, body) for key, body in _jobs(call, str(call.params["parent"]).split("/")[1])]
    return {"apiVersion": API, "kind": "JobList", "metadata": {}, "items": found}


@service.method(f"{JOBS}.get", versions=("v1",))
def get_job(call: Call) -> Body:
    """One job."""
    return job(call, *_job(call))


@service.method(f"{JOBS}.run", versions=("v1",))
def run_job(call: Call) -> Body:
    """Starts an execution and answers it; overrides are v2's but for the timeout in seconds."""
    key, _ = _job(call)
    overrides: Body = dict(call.body.get("overrides") or {})
    if overrides.pop("timeoutSeconds", None):
        overrides["timeout"] = f"{call.body['overrides']['timeoutSeconds']}s"
    operation = run_executions.start_execution(call, key, overrides)
    name = operation["metadata"]["name"]
    found = call.store.get(f"run/{name}")
    assert found is not None
    return execution(call, f"run/{name}", found)


@service.method(f"{JOBS}.delete", versions=("v1",))
def delete_job(call: Call) -> Body:
    """Gone with its executions."""
    key, body = _job(call)
    run.start_delete(call, key, body)
    return {"status": "Success", "details": {"name": key.rsplit("/", 1)[1], "kind": "jobs"}}


@service.method(f"{EXECUTIONS}.list", versions=("v1",))
def list_executions(call: Call) -> Body:
    """Newest first; `labelSelector` knows `run.googleapis.com/job=NAME`, as gcloud asks."""
    found = _executions(call, str(call.params["parent"]).split("/")[1])
    selector = str(call.params.get("labelSelector") or "")
    wanted = re.fullmatch(r"run\.googleapis\.com/job\s*=\s*([\w-]+)", selector)
    if selector and not wanted:
        raise errors.invalid(f"invalid label selector {selector!r}", "labelSelector")
    items = [execution(call, key, body) for key, body in found if not wanted or body["job"] == wanted.group(1)]
    return {"apiVersion": API, "kind": "ExecutionList", "metadata": {}, "items": items}


@service.method(f"{EXECUTIONS}.get", versions=("v1",))
def get_execution(call: Call) -> Body:
    """One execution."""
    return execution(call, *_execution(call))


@service.method(f"{EXECUTIONS}.cancel", versions=("v1",))
def cancel_execution(call: Call) -> Body:
    """Ask for the end; the answer is the execution as it is."""
    key, body = _execution(call)
    run_executions.start_cancel(call, key)
    return execution(call, key, body)


def job(call: Call, key: str, body: Body) -> Body:
    """A v2 job as Knative writes it."""
    status: Body = {
        "observedGeneration": int(body["generation"]),
        "conditions": [condition_of(body["terminalCondition"], "Ready")],
    }
    if body.get("executionCount"):
        status["executionCount"] = body["executionCount"]
    latest = body.get("latestCreatedExecution") or {}
    if latest:
        reference = {"name": latest["name"], "creationTimestamp": latest["createTime"]}
        if "completionTime" in latest:
            reference["completionTimestamp"] = latest["completionTime"]
        if "completionStatus" in latest:
            reference["completionStatus"] = latest["completionStatus"]
        status["latestCreatedExecution"] = reference
    template = body["template"]
    spec = _execution_spec(template, template["template"])
    annotations = {"run.googleapis.com/creator": body["creator"], **annotations_of(template["template"])}
    return {
        "apiVersion": API,
        "kind": "Job",
        "metadata": metadata_of(call, key, body, annotations),
        "spec": {"template": {"metadata": {"annotations": annotations_of(template["template"])}, "spec": spec}},
        "status": status,
    }


def execution(call: Call, key: str, body: Body) -> Body:
    """A v2 execution as Knative writes it."""
    condition = body["conditions"][0]
    counts = ("succeededCount", "failedCount", "cancelledCount", "retriedCount", "runningCount")
    started = {"type": "Started", "state": "CONDITION_SUCCEEDED", "lastTransitionTime": condition["lastTransitionTime"]}
    status: Body = {
        "observedGeneration": int(body["generation"]),
        "conditions": [condition_of(condition, "Completed"), condition_of(started, "Started")],
        "logUri": body["logUri"],
        **{count: body[count] for count in counts if body.get(count)},
    }
    for field in ("startTime", "completionTime"):
        if field in body:
            status[field] = body[field]
    metadata = metadata_of(call, key, body, annotations_of(body["template"]))
    metadata["labels"] |= {"run.googleapis.com/job": body["job"]}
    metadata["annotations"]["run.googleapis.com/creator"] = body["creator"]
    return {
        "apiVersion": API,
        "kind": "Execution",
        "metadata": metadata,
        "spec": _execution_spec(body, body["template"]),
        "status": status,
    }


def metadata_of(call: Call, key: str, body: Body, annotations: Body, api: str = API) -> Body:
    """A resource's metadata; the namespace is the project's number."""
    project = key.split("/")[2]
    return {
        "name": key.rsplit("/", 1)[1],
        "namespace": call.world.project_number(project),
        "uid": body["uid"],
        "resourceVersion": body["etag"].strip('"'),
        "generation": int(body["generation"]),
        "creationTimestamp": body["createTime"],
        "labels": {"cloud.googleapis.com/location": key.split("/")[4], **body.get("labels", {})},
        "annotations": {**annotations, **body.get("annotations", {})},
        "selfLink": f"/apis/{api}/namespaces/{project}/{key.split('/')[-2]}/{key.rsplit('/', 1)[1]}",
    }


def condition_of(body: Body, kind: str) -> Body:
    """A condition; its reason in one word, HealthCheckContainerError."""
    reason = body.get("executionReason") or body.get("revisionReason") or body.get("reason") or ""
    condition = {
        "type": kind,
        "status": STATES.get(body["state"], "Unknown"),
        "lastTransitionTime": body["lastTransitionTime"],
    }
    if body.get("message"):
        condition |= {
            "message": body["message"],
            "reason": str(reason).title().replace("_", ""),
        }
    return condition


def annotations_of(task: Body) -> Body:
    """What v2 has fields for and Knative writes into annotations of a template."""
    environment = str(task.get("executionEnvironment", "EXECUTION_ENVIRONMENT_GEN2")).rsplit("_", 1)[1].lower()
    annotations: Body = {"run.googleapis.com/execution-environment": environment}
    access = task.get("vpcAccess") or {}
    if access.get("connector"):
        annotations["run.googleapis.com/vpc-access-connector"] = access["connector"]
    if access.get("egress"):
        annotations["run.googleapis.com/vpc-access-egress"] = access["egress"].lower().replace("_", "-")
    return annotations


def _execution_spec(outer: Body, task: Body) -> Body:
    inner: Body = {
        "containers": [container_of(container) for container in task["containers"]],
        "maxRetries": task["maxRetries"],
        "timeoutSeconds": task["timeout"].rstrip("s"),
        "serviceAccountName": task["serviceAccount"],
    }
    spec: Body = {"taskCount": outer["taskCount"], "template": {"spec": inner}}
    if outer.get("parallelism"):
        spec["parallelism"] = outer["parallelism"]
    return spec


def container_of(given: Body) -> Body:
    """A container, its secrets by name and key."""
    plain: Body = {key: given[key] for key in ("name", "image", "command", "args", "workingDir") if key in given}
    limits = given.get("resources", {}).get("limits", {})
    container: Body = {**plain, "resources": {"limits": limits}}
    if given.get("env"):
        container["env"] = [_variable(entry) for entry in given["env"]]
    return container


def _variable(entry: Body) -> Body:
    reference: Any = entry.get("valueSource", {}).get("secretKeyRef")
    if reference is None:
        return {"name": entry["name"], "value": entry.get("value", "")}
    name = str(reference["secret"]).rsplit("/", 1)[-1]
    key = {"name": name, "key": str(reference.get("version") or "latest")}
    return {"name": entry["name"], "valueFrom": {"secretKeyRef": key}}
