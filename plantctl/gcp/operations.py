"""Waiting for long-running operations: three shapes on the wire, one wait with deadline, progress and words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from plantctl.errors import DeadlineExceeded, OperationFailed, UnknownOutcome
from plantctl.gcp.bundle import Gcp, ReadBack
from plantctl.model.events import OperationFinished, OperationPolled, OperationStarted
from plantctl.model.facts import CURRENT_ITEM
from plantctl.model.step import Body

# usual seconds on Google Cloud, for progress lines (gcp-foundation sections 1 to 4; ranges there, upper third here)
EXPECT_S = {
    "cloudresourcemanager.projects.create": 5.0,
    "serviceusage.services.batchEnable": 45.0,
    "compute.networks.insert": 20.0,
    "compute.subnetworks.insert": 25.0,
    "compute.globalAddresses.insert": 5.0,
    "compute.firewalls.insert": 10.0,
    "compute.routers.insert": 20.0,
    "servicenetworking.services.connections.create": 90.0,
    "vpcaccess.projects.locations.connectors.create": 180.0,
    "sql.instances.insert": 900.0,
    "sql.instances.patch": 60.0,
    "sql.databases.insert": 6.0,
    "sql.users.insert": 6.0,
    "sql.users.update": 6.0,
    "sql.backupRuns.insert": 120.0,
    "redis.projects.locations.instances.create": 300.0,
    "redis.projects.locations.instances.patch": 120.0,
    "redis.projects.locations.instances.failover": 60.0,
    "redis.projects.locations.instances.export": 30.0,
    "artifactregistry.projects.locations.repositories.create": 10.0,
    "cloudbuild.projects.locations.builds.create": 240.0,
    "run.projects.locations.jobs.create": 10.0,
    "run.projects.locations.jobs.patch": 10.0,
    "run.projects.locations.jobs.run": 15.0,
    "run.projects.locations.services.patch": 45.0,
    "run.projects.locations.workerPools.patch": 30.0,
}
CODES = {
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}
"""google.rpc.Code."""
BUILD_FAILURES = frozenset({"FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED"})
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


def journalled(method_id: str, name: str) -> Body:
    """An operation to wait for, from the method and the name that the journal has of it (transport.operation_name)."""
    api = method_id.split(".", 1)[0]
    if api not in ("sql", "compute"):
        return {"name": name}
    region = re.search(r"/regions/([^/]+)/", name)
    return {
        "kind": f"{api}#operation",
        "name": name.rsplit("/", 1)[-1],
        **({"region": region[1]} if region else {}),
    }


def finished(operation: Body) -> bool:
    """True when it ended, well or not."""
    return operation.get("done") is True or operation.get("status") == "DONE"


def error_of(operation: Body) -> tuple[str, str]:
    """(code, words) of a failed operation, empty when it did not fail.

    HTTP 200 and done can carry errors (hazards 0.3, T20); a build that failed can end an operation without an error
    (B04). google.rpc codes are given by name.
    """
    error = operation.get("error") or {}
    build = (operation.get("metadata") or {}).get("build") or {}
    detail = str(build.get("failureInfo", {}).get("detail") or build.get("statusDetail") or "")
    if "errors" in error:
        first = (error["errors"] or [{}])[0]
        return str(first.get("code", "")), str(first.get("message", ""))
    if error:
        code = error.get("code", "")
        return CODES.get(code, str(code)) or "UNKNOWN", f"{error.get('message', '')} {detail}".strip()
    if build.get("status") in BUILD_FAILURES:
        return str(build["status"]), detail or f"the build ended {build['status']}"
    return "", ""


def own_seconds(operation: Body, observed: float) -> float:
    """The operation's own duration where it or what it made tells its times, else as observed.

    Cloud Run's and Cloud Build's operations tell none: their Execution and their Build do.
    """
    metadata = operation.get("metadata") or {}
    for told in (operation, metadata, operation.get("response") or {}, metadata.get("build") or {}):
        start = told.get("insertTime") or told.get("createTime")
        end = told.get("endTime") or told.get("completionTime") or told.get("finishTime")
        if isinstance(start, str) and isinstance(end, str):
            first, last = (datetime.fromisoformat(moment.replace("Z", "+00:00")) for moment in (start, end))
            return max(0.0, (last - first).total_seconds())
    return observed


def wait(
    gcp: Gcp,
    method_id: str,
    operation: Body,
    *,
    deadline_s: float,
    must_succeed: bool = True,
    resource: ReadBack | None = None,
) -> Body:
    """Wait until an operation ends; gives it. Raises OperationFailed (unless told not to), DeadlineExceeded.

    `resource` gives what the operation makes or changes once that is as it should be, else None: it decides when the
    operation is not to be found any more, or the deadline has passed (hazards T19). A deadline ends the waiting only:
    the work goes on in the cloud, and the next run re-attaches.
    """
    waiting = _Waiting(gcp, method_id, operation, resource)
    operation = waiting.until(deadline_s)
    code, words = error_of(operation)
    waiting.over(operation, failed=bool(code))
    if must_succeed and code:
        raise OperationFailed(
            f"{method_id} failed: {words or code}",
            cause=f"operation {operation['name']} ended with error {code}",
            hint="see docs/troubleshooting.md; run the same command again once the cause is gone",
            reason=code,
            method_id=method_id,
        )
    return operation


class _Waiting:
    """One wait: what is polled, since when, and what is told of it."""

    def __init__(self, gcp: Gcp, method_id: str, operation: Body, resource: ReadBack | None) -> None:
        self._gcp = gcp
        self._method_id = method_id
        self._operation = operation
        self._resource = resource
        self._begun = gcp.clock.monotonic()
        self._about: dict[str, Any] = {"item": CURRENT_ITEM.get(), "operation": str(operation["name"])}
        # what is shown is what the operator will wait, here
        self._expect_s = EXPECT_S.get(method_id, 0.0) / gcp.target.pace
        started = OperationStarted(at=gcp.clock.now(), **self._about, method_id=method_id, expect_s=self._expect_s)
        gcp.recorder.emit(started)

    def _elapsed(self) -> float:
        return self._gcp.clock.monotonic() - self._begun

    def until(self, deadline_s: float) -> Body:
        """The operation at its end."""
        pause = self._gcp.target.poll_s[0]
        while not finished(self._operation):
            if self._elapsed() > deadline_s:
                if (ended := self._by_resource()) is not None:
                    return ended
                raise _too_late(
                    self._gcp, self._method_id, str(self._about["operation"]), self._elapsed(), self._expect_s
                )
            self._gcp.clock.sleep(pause)
            pause = min(pause * 1.5, self._gcp.target.poll_s[1])
            self._operation = self._look()
            polled = OperationPolled(
                at=self._gcp.clock.now(), **self._about, elapsed_s=self._elapsed(), expect_s=self._expect_s
            )
            self._gcp.recorder.emit(polled)
        return self._operation

    def over(self, operation: Body, *, failed: bool) -> None:
        """Tell that it ended."""
        seconds = own_seconds(operation, self._elapsed())
        ended = OperationFinished(
            at=self._gcp.clock.now(), **self._about, method_id=self._method_id, seconds=seconds, failed=failed
        )
        self._gcp.recorder.emit(ended)

    def _look(self) -> Body:
        before = self._operation
        shape = shape_of(self._method_id, before, self._gcp.target.project)
        found = self._gcp.get(shape.method_id, **shape.params)
        if found is not None:
            # compute's and sql's links say where they live: keep them when a poll leaves them out
            return {**{key: before[key] for key in ("kind", "region") if key in before}, **found}
        if (ended := self._by_resource()) is not None:
            return ended
        if self._elapsed() < NOT_VISIBLE_YET_S:
            return before
        raise UnknownOutcome(
            f"the operation {before['name']} of {self._method_id} is not to be found any more",
            cause="operations are kept for about 30 days; what it was to make is not there, or not ready",
            hint="run the same command again: it looks first",
            method_id=self._method_id,
        )

    def _by_resource(self) -> Body | None:
        found = self._resource() if self._resource is not None else None
        return None if found is None else {"name": self._about["operation"], "done": True, "response": found}


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
