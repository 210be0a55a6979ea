"""Waiting for long-running operations: three shapes on the wire, one wait with deadline, progress and words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from plantctl.errors import ApiFailure, DeadlineExceeded, OperationFailed
from plantctl.gcp.bundle import Gcp
from plantctl.model.events import OperationFinished, OperationPolled, OperationStarted
from plantctl.model.facts import CURRENT_ITEM
from plantctl.model.step import Body

# usual seconds on Google Cloud, for progress lines (gcp-foundation sections 1 to 4; ranges there, upper third here)
EXPECT_S = {
    "cloudresourcemanager.projects.create": 30.0,
    "serviceusage.services.batchEnable": 60.0,
    "compute.networks.insert": 25.0,
    "compute.subnetworks.insert": 25.0,
    "compute.globalAddresses.insert": 15.0,
    "compute.firewalls.insert": 10.0,
    "compute.routers.insert": 20.0,
    "servicenetworking.services.connections.create": 90.0,
    "vpcaccess.projects.locations.connectors.create": 180.0,
    "sql.instances.insert": 900.0,
    "sql.instances.patch": 60.0,
    "sql.databases.insert": 6.0,
    "sql.users.insert": 6.0,
    "sql.users.update": 6.0,
    "sql.backupRuns.insert": 180.0,
    "artifactregistry.projects.locations.repositories.create": 10.0,
    "cloudbuild.projects.locations.builds.create": 240.0,
    "run.projects.locations.jobs.create": 10.0,
    "run.projects.locations.jobs.patch": 10.0,
    "run.projects.locations.jobs.run": 30.0,
}
NOT_VISIBLE_YET_S = 60.0
"""A fresh operation may answer 404 for a while (hazards T19)."""


@dataclass(frozen=True)
class Shape:
    """How one API's operations are polled: method, parameters, and what is in an answer."""

    method_id: str
    params: dict[str, Any]


def shape_of(method_id: str, operation: Body, project: str) -> Shape:
    """Where to poll an operation that `method_id` started; LookupError when its shape is none of the three."""
    kind, name = str(operation.get("kind", "")), str(operation["name"])
    if kind == "sql#operation":
        return Shape("sql.operations.get", {"project": project, "operation": name})
    if kind == "compute#operation":
        if "region" in operation:
            region = str(operation["region"]).rsplit("/", 1)[-1]
            return Shape("compute.regionOperations.get", {"project": project, "region": region, "operation": name})
        return Shape("compute.globalOperations.get", {"project": project, "operation": name})
    api = method_id.split(".", 1)[0]
    if re.match(r"projects/[^/]+/locations/", name):
        return Shape(f"{api}.projects.locations.operations.get", {"name": name})
    if name.startswith("operations/"):
        return Shape(f"{api}.operations.get", {"name": name})
    raise LookupError(f"{method_id} answered an operation of an unknown shape: {name}")


def finished(operation: Body) -> bool:
    """True when it ended, well or not."""
    return operation.get("done") is True or operation.get("status") == "DONE"


def error_of(operation: Body) -> tuple[str, str]:
    """(code, words) of a failed operation, empty when it did not fail. HTTP 200 and DONE can carry errors (0.2)."""
    error = operation.get("error") or {}
    if "errors" in error:
        first = (error["errors"] or [{}])[0]
        return str(first.get("code", "")), str(first.get("message", ""))
    if error:
        build = operation.get("metadata", {}).get("build", {})
        detail = build.get("failureInfo", {}).get("detail", "")
        words = f"{error.get('message', '')} {detail}".strip()
        return str(error.get("code", "")), words
    return "", ""


def own_seconds(operation: Body, observed: float) -> float:
    """The operation's own duration where it tells its times, else as observed."""
    metadata = operation.get("metadata") or {}
    start = operation.get("insertTime") or metadata.get("createTime")
    end = operation.get("endTime") or metadata.get("endTime")
    if not (isinstance(start, str) and isinstance(end, str)):
        return observed
    first, last = (datetime.fromisoformat(moment.replace("Z", "+00:00")) for moment in (start, end))
    return max(0.0, (last - first).total_seconds())


def wait(gcp: Gcp, method_id: str, operation: Body, *, deadline_s: float, must_succeed: bool = True) -> Body:
    """Wait until an operation ends; gives it. Raises OperationFailed (unless told not to), DeadlineExceeded.

    A deadline ends the waiting only: the work goes on in the cloud, and the next run re-attaches.
    """
    begun = gcp.clock.monotonic()
    name = str(operation["name"])
    expect_s = EXPECT_S.get(method_id, 0.0)
    at, item = gcp.clock.now, CURRENT_ITEM.get()
    gcp.recorder.emit(OperationStarted(at=at(), item=item, operation=name, method_id=method_id, expect_s=expect_s))
    pause = gcp.target.poll_s[0]
    while not finished(operation):
        elapsed = gcp.clock.monotonic() - begun
        if elapsed > deadline_s:
            raise _too_late(gcp, method_id, name, elapsed, expect_s)
        gcp.clock.sleep(pause)
        pause = min(pause * 1.5, gcp.target.poll_s[1])
        operation = _look(gcp, method_id, operation, elapsed)
        elapsed = gcp.clock.monotonic() - begun
        gcp.recorder.emit(OperationPolled(at=at(), item=item, operation=name, elapsed_s=elapsed, expect_s=expect_s))
    code, words = error_of(operation)
    seconds = own_seconds(operation, gcp.clock.monotonic() - begun)
    gcp.recorder.emit(
        OperationFinished(
            at=at(), item=item, operation=name, method_id=method_id, seconds=seconds, failed=bool(code or words)
        )
    )
    if must_succeed and (code or words):
        raise OperationFailed(
            f"{method_id} failed: {words or code}",
            cause=f"operation {name} ended with error {code}",
            hint="see docs/troubleshooting.md; run the same command again once the cause is gone",
            reason=code,
            method_id=method_id,
        )
    return operation


def _look(gcp: Gcp, method_id: str, operation: Body, elapsed: float) -> Body:
    shape = shape_of(method_id, operation, gcp.target.project)
    try:
        found = gcp.call(shape.method_id, **shape.params)
    except ApiFailure as failure:
        if failure.code == 404 and elapsed < NOT_VISIBLE_YET_S:
            return operation
        raise
    # compute's and sql's links say where they live: keep them when a poll leaves them out
    return {**({"region": operation["region"]} if "region" in operation else {}), **found}


def _too_late(gcp: Gcp, method_id: str, name: str, elapsed: float, expect_s: float) -> DeadlineExceeded:
    commands = {
        "sql": f"gcloud sql operations describe {name} --project {gcp.target.project}",
        "compute": f"gcloud compute operations describe {name} --project {gcp.target.project}",
    }
    look = commands.get(method_id.split(".", 1)[0], f"the operation {name} in the console")
    return DeadlineExceeded(
        f"{method_id} did not end within {elapsed:.0f} s (usual: {expect_s:.0f} s)",
        cause="it may still succeed: operations go on in the cloud when nobody waits",
        hint=f"look with `{look}`; the same plantctl command waits on",
        method_id=method_id,
    )
