"""Exports of Redis to Cloud Storage: the daily one by Cloud Scheduler, one on demand, and what there is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from plantctl.desired import cache as desired
from plantctl.errors import ApiFailure, DeadlineExceeded, OperationFailed, PlantctlError, ProbeFailed
from plantctl.gcp import operations
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.iam_policy import Grant, add_grants
from plantctl.gcp.resource import Params, at, is_operation
from plantctl.model.plant import Plant
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import cache_rows
from plantctl.steps.build import UPDATE, Resource, Rules, bring, join, look
from plantctl.steps.context import Context
from plantctl.steps.grants import granted, look_at_grants
from plantctl.steps.instance import moment
from plantctl.steps.names import CACHE, CACHE_EXPORT

EXPORTER = ("roles/redis.editor",)
"""What lets `plant-backup-sa` export: the editor's role has it, without the right to make or delete instances."""
WRITER = ("roles/storage.objectAdmin", "roles/storage.legacyBucketReader")
"""What the instance needs on the bucket: get the bucket; get, list, make and delete objects (gcp-foundation 5)."""
MAX_AGE_H = 26
DEADLINE_S = 1500.0
RUNS = 5
"""How often the scheduled job is run while what it was granted is not in force yet (hazards I01)."""
PERMISSION_DENIED = 7


@dataclass(frozen=True, kw_only=True)
class Export:
    """One generation of the exported object; `current` is false for those that a later export replaced."""

    generation: str
    created: str
    size_bytes: int
    current: bool
    uri: str


JOB = Resource(
    managed=cache_rows.export_job,
    desired=lambda ctx: desired.export_job(ctx.plant),
    rules=Rules(
        fields=("schedule", "timeZone", "attemptDeadline", "retryConfig", "httpTarget"),
    ),
    cure=lambda _ctx: UPDATE,
)


def grants(ctx: Context) -> tuple[Grant, ...]:
    """The scheduler's identity may export; the instance's own, which may change (discovery), may write the object."""
    bucket, live = ctx.plant.bucket("backup"), cache_rows.instance(ctx).live() or {}
    exporter = f"serviceAccount:{ctx.plant.service_account('plant-backup-sa')}"
    writer = str(live.get("persistenceIamIdentity", ""))
    return (
        *(Grant(kind="project", resource=ctx.plant.project.id, role=role, member=exporter) for role in EXPORTER),
        *(Grant(kind="bucket", resource=bucket, role=role, member=writer) for role in WRITER if writer),
    )


def check_export(ctx: Context) -> Finding:
    """The job, what both identities need, and an export of this instance that is not older than a day and its slack."""
    found = look(ctx, CACHE_EXPORT, JOB)
    if found.verdict not in (Verdict.IN_PLACE, Verdict.DRIFTED, Verdict.FOREIGN):
        return found
    return join((found, look_at_grants(ctx, grants(ctx)), _look_at_newest(ctx)))


def _look_at_newest(ctx: Context) -> Finding:
    newest = _newest(ctx)
    if newest is not None and not _overdue(ctx, newest):
        return Finding(verdict=Verdict.IN_PLACE)
    field = f"export to {desired.export_uri(ctx.plant)}"
    if newest is None:
        return Finding(verdict=Verdict.MISSING, changes=(Change(field=field, desired="a first one, by the job"),))
    age = f"{_age_h(ctx, newest):.0f} h old"
    change = Change(field=field, live=age, desired=f"a new one: the job runs daily, {MAX_AGE_H} h at most")
    return Finding(verdict=Verdict.DRIFTED, changes=(change,))


def _newest(ctx: Context) -> Body | None:
    """The object, where it holds an export of the instance that is there now."""
    where: Params = {"bucket": ctx.plant.bucket("backup"), "object": desired.export_object(ctx.plant)}
    found = ctx.gcp.get("storage.objects.get", **where)
    if found is None or moment(str(found.get("timeCreated", ""))) < moment(ctx.known(CACHE, "createTime")):
        return None
    return found


def _age_h(ctx: Context, found: Body) -> float:
    return (ctx.clock.now() - moment(str(found["timeCreated"]))).total_seconds() / 3600


def _overdue(ctx: Context, found: Body) -> bool:
    return _age_h(ctx, found) > MAX_AGE_H


def apply_export(ctx: Context, finding: Finding) -> None:
    """Job and rights, then the job once, and until its object is there."""
    bring(ctx, CACHE_EXPORT, JOB)
    add_grants(ctx.gcp, grants(ctx))
    if not _look_at_newest(ctx).in_place:
        _run_job(ctx)


def _run_job(ctx: Context) -> None:
    """As the schedule would. What was granted a moment ago may not be in force yet: then it is run again."""
    for attempt in range(1, RUNS + 1):
        problem = _run_once(ctx, _newest(ctx))
        if problem is None:
            return
        if problem.reason != str(PERMISSION_DENIED) or attempt == RUNS:
            raise problem
        ctx.clock.sleep(ctx.gcp.target.poll_s[1])


def _run_once(ctx: Context, before: Body | None) -> OperationFailed | None:
    """None once the bucket has a generation that it had not; else why the export did not come about."""
    name = desired.export_job_name(ctx.plant)
    cache_rows.instance(ctx).settle(None)
    last = ctx.gcp.call(f"{cache_rows.SCHEDULER}.get", name=name).get("lastAttemptTime")

    def attempted() -> Body | None:
        job = ctx.gcp.call(f"{cache_rows.SCHEDULER}.get", name=name)
        return job if job.get("lastAttemptTime") != last else None

    ctx.gcp.call(f"{cache_rows.SCHEDULER}.run", {}, name=name, read_back=attempted)
    begun = ctx.clock.monotonic()
    while ctx.clock.monotonic() - begun < DEADLINE_S:
        found = _newest(ctx)
        if found is not None and found["generation"] != (before or {}).get("generation"):
            return None
        job = attempted()
        if job is not None and int(at(job, "status.code") or 0):
            return _refused(ctx, job)
        ctx.clock.sleep(ctx.gcp.target.poll_s[0])
    raise DeadlineExceeded(
        f"no export reached {desired.export_uri(ctx.plant)} within {DEADLINE_S:.0f} s",
        cause=_last_word(ctx) or "Memorystore has not said why",
        hint=f"look with `gcloud redis operations list --region {ctx.plant.region} --project {ctx.plant.project.id}`",
        method_id=f"{cache_rows.SCHEDULER}.run",
    )


def _refused(ctx: Context, job: Body) -> OperationFailed:
    status = job.get("status") or {}
    return OperationFailed(
        f"{desired.export_job_name(ctx.plant).rsplit('/', 1)[1]} was refused by Memorystore: "
        f"{status.get('message') or operations.CODES.get(int(status['code']), 'no reason given')}",
        cause="the job's identity, plant-backup-sa, may not export, or the instance is busy",
        hint=f"plantctl phase run cache --only {CACHE_EXPORT}",
        reason=str(status.get("code")),
        method_id=f"{cache_rows.SCHEDULER}.run",
    )


def _last_word(ctx: Context) -> str:
    """What the newest export that failed says of itself."""
    parent = desired.instance_name(ctx.plant).rsplit("/instances/", 1)[0]
    found = ctx.gcp.list("redis.projects.locations.operations.list", "operations", name=parent)
    own = [operation for operation in found if "export" in str(at(operation, "metadata.verb")).lower()]
    own.sort(key=lambda operation: moment(str(at(operation, "metadata.createTime") or "")))
    return operations.error_of(own[-1])[1] if own else ""


def verify_export(ctx: Context) -> Evidence:
    """The object and its age, what is kept, and how the last attempt of the schedule ended."""
    newest = _newest(ctx)
    if newest is None or _overdue(ctx, newest):
        raise ProbeFailed(
            f"{desired.export_uri(ctx.plant)} is missing, or older than {MAX_AGE_H} h",
            hint=f"plantctl phase run cache --only {CACHE_EXPORT}",
        )
    job = ctx.gcp.call(f"{cache_rows.SCHEDULER}.get", name=desired.export_job_name(ctx.plant))
    kept = listed(ctx.gcp, ctx.plant)
    words = (
        f"newest export of {str(newest['timeCreated'])[:19]}, {newest.get('size')} bytes, {len(kept)} kept",
        f"next by the schedule at {job.get('scheduleTime', 'a time not told')} ({job['schedule']} {job['timeZone']})",
        *granted(ctx, grants(ctx)).words,
    )
    return Evidence(words=words, where="Cloud Storage and Cloud Scheduler")


def listed(gcp: Gcp, plant: Plant) -> list[Export]:
    """Every generation of the object, newest first. PlantctlError when the bucket is not there."""
    try:
        found = gcp.list(
            "storage.objects.list",
            "items",
            bucket=plant.bucket("backup"),
            prefix=desired.export_object(plant),
            versions=True,
        )
    except ApiFailure as failure:
        raise _told(failure, plant) from None
    rows = [_export(plant, one) for one in found if one["name"] == desired.export_object(plant)]
    return sorted(rows, key=lambda row: datetime.fromisoformat(row.created), reverse=True)


def _export(plant: Plant, one: Body) -> Export:
    uri = desired.export_uri(plant)
    return Export(
        generation=str(one["generation"]),
        created=str(one["timeCreated"]),
        size_bytes=int(one.get("size", 0)),
        current=not one.get("timeDeleted"),
        uri=f"{uri}#{one['generation']}",
    )


def create(ctx: Context) -> Export:
    """Export now and wait until the object is there. The same object as the daily one: the bucket keeps the old.

    Raises PlantctlError (no instance), OperationFailed, DeadlineExceeded. The instance takes no other change meanwhile.
    """
    method, name = f"{cache_rows.INSTANCES}.export", desired.instance_name(ctx.plant)
    try:
        resource = cache_rows.instance(ctx)
        resource.settle(None)
        answer = ctx.gcp.call(method, desired.export_request(ctx.plant), name=name)
    except ApiFailure as failure:
        raise _told(failure, ctx.plant) from None
    if is_operation(answer):
        operations.wait(ctx.gcp, method, answer, deadline_s=DEADLINE_S)
    return listed(ctx.gcp, ctx.plant)[0]


def _told(failure: ApiFailure, plant: Plant) -> PlantctlError:
    if failure.code not in (403, 404):
        return failure
    return PlantctlError(
        f"there is no {plant.cache.instance} in {plant.project.id} to export, or it is not for you to see",
        cause=failure.message,
        hint="plantctl phase run cache",
        reference="no-instance",
    )
