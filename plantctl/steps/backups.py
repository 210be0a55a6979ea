"""Backups of the Cloud SQL instance on demand: made once each, found again after a lost answer, listed.

`sql.backupRuns.insert` has no natural key (idempotency class X), so each carries a marker in its description.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from plantctl.errors import ApiFailure, DeadlineExceeded, OperationFailed, PlantctlError
from plantctl.gcp import operations
from plantctl.gcp.bundle import Gcp
from plantctl.model.plant import Plant
from plantctl.model.step import Body
from plantctl.steps.context import Context

INSERT = "sql.backupRuns.insert"
DEADLINE_S = 3600.0
_NAMESPACE = uuid.UUID("3c9f8f0e-5b1c-5d53-9d7e-0f6a1f5d2b11")
_ENDED = ("SUCCESSFUL", "FAILED", "SKIPPED", "DELETED", "DELETION_FAILED")


@dataclass(frozen=True, kw_only=True)
class Backup:
    """One backup run. `size_gb` is what Google charges for at most; `seconds` from start to end; None: not known."""

    id: str
    type: str
    status: str
    started: str = ""
    size_gb: float | None = None
    seconds: float | None = None
    location: str = ""
    description: str = ""


def marker(run: str) -> str:
    """The marker of a run of plantctl, always the same for the same run: `plantctl-<uuid>`."""
    return f"plantctl-{uuid.uuid5(_NAMESPACE, run)}"


def create(ctx: Context, *, run: str, unsettled: Sequence[str] = (), note: str = "") -> tuple[Backup, bool]:
    """Make one backup and wait until it is SUCCESSFUL (hazards Q13); gives it, and False when it was there already.

    `run` is this run's id; `unsettled` are earlier runs that ended without knowing what became of their backup: theirs
    is taken over when there is one, and no second is made. Raises PlantctlError (no instance), OperationFailed,
    DeadlineExceeded. Source: sqladmin v1 backupRuns.insert; waits for other operations of the instance (hazards Q01).
    """
    for earlier in unsettled:
        found = _marked(ctx, marker(earlier))
        if found is not None and found.get("status") not in ("FAILED", "SKIPPED"):
            return _backup(_until_ended(ctx, found)), False
    own = marker(run)
    body = {"description": f"{note} {own}".strip()}
    try:
        answer = ctx.gcp.call(INSERT, body, read_back=lambda: _marked(ctx, own), **_where(ctx))
    except ApiFailure as failure:
        raise _told(failure, ctx.plant) from None
    if str(answer.get("kind")) == "sql#operation":
        operations.wait(ctx.gcp, INSERT, answer, deadline_s=DEADLINE_S)
        answer = _marked(ctx, own) or answer
    return _backup(_until_ended(ctx, answer)), True


def listed(gcp: Gcp, plant: Plant) -> list[Backup]:
    """All backups of the instance, newest first. PlantctlError when there is no instance."""
    where = {"project": plant.project.id, "instance": plant.database.instance}
    try:
        found = gcp.list("sql.backupRuns.list", "items", **where)
    except ApiFailure as failure:
        raise _told(failure, plant) from None
    return [_backup(run) for run in sorted(found, key=lambda run: str(run.get("enqueuedTime", "")), reverse=True)]


def _where(ctx: Context) -> dict[str, Any]:
    return {"project": ctx.plant.project.id, "instance": ctx.plant.database.instance}


def _marked(ctx: Context, word: str) -> Body | None:
    """The backup run whose description carries the marker, or None."""
    try:
        found = ctx.gcp.list("sql.backupRuns.list", "items", **_where(ctx))
    except ApiFailure as failure:
        raise _told(failure, ctx.plant) from None
    return next((run for run in found if word in str(run.get("description", ""))), None)


def _until_ended(ctx: Context, run: Body) -> Body:
    """The run at its end; an operation that is done may leave the state behind for a moment."""
    begun = ctx.clock.monotonic()
    while run.get("status") not in _ENDED:
        if ctx.clock.monotonic() - begun > DEADLINE_S:
            raise DeadlineExceeded(
                f"backup {run['id']} is still {run.get('status')} after {DEADLINE_S:.0f} s",
                cause="it may still succeed: it goes on in the cloud when nobody waits",
                hint="plantctl backup list",
                method_id=INSERT,
            )
        ctx.clock.sleep(ctx.gcp.target.poll_s[1] / 2)
        run = ctx.gcp.call("sql.backupRuns.get", id=run["id"], **_where(ctx))
    if run["status"] != "SUCCESSFUL":
        words = (run.get("error") or {}).get("message", "")
        raise OperationFailed(
            f"backup {run['id']} of {ctx.plant.database.instance} ended {run['status']}",
            cause=words or "Cloud SQL gives no reason",
            hint="plantctl backup create",
            method_id=INSERT,
        )
    return run


def _told(failure: ApiFailure, plant: Plant) -> PlantctlError:
    if failure.code not in (403, 404):
        return failure
    return PlantctlError(
        f"there is no instance {plant.database.instance} in {plant.project.id} to back up, or it is not for you to see",
        cause=failure.message,
        hint="plantctl phase run database",
        reference="no-instance",
    )


def _backup(run: Body) -> Backup:
    size = run.get("maxChargeableBytes")
    times = [run.get("startTime"), run.get("endTime")]
    first, last = (datetime.fromisoformat(str(time)) if time else None for time in times)
    return Backup(
        id=str(run["id"]),
        type=str(run.get("type", "")),
        status=str(run.get("status", "")),
        started=str(run.get("startTime") or run.get("enqueuedTime") or ""),
        size_gb=int(size) / 1e9 if size else None,
        seconds=(last - first).total_seconds() if first and last else None,
        location=str(run.get("location", "")),
        description=str(run.get("description", "")),
    )
