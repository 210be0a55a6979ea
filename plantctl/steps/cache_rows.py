"""The Memorystore instance and the Cloud Scheduler job as rows: which methods, which marker, when ready."""

from __future__ import annotations

from plantctl.desired import cache as desired
from plantctl.gcp.resource import RestResource, Row
from plantctl.model.step import Body
from plantctl.steps.context import Context

INSTANCES = "redis.projects.locations.instances"
SCHEDULER = "cloudscheduler.projects.locations.jobs"
WAITING = frozenset({"CREATING", "UPDATING", "DELETING", "REPAIRING", "MAINTENANCE", "IMPORTING", "FAILING_OVER"})
"""Every state but READY: one change at a time, the others are refused (hazards R05)."""


def instance(ctx: Context) -> RestResource:
    """The Memorystore instance. Its parts are changed whole, by the names of the outermost fields (discovery)."""
    name = desired.instance_name(ctx.plant)
    row = Row(
        name=ctx.plant.cache.instance,
        get=(f"{INSTANCES}.get", {"name": name}),
        create=(
            f"{INSTANCES}.create",
            {"parent": name.rsplit("/instances/", 1)[0], "instanceId": ctx.plant.cache.instance},
        ),
        update=(f"{INSTANCES}.patch", {"name": name}),
        style="laid-over",
        unsent=(
            "persistenceConfig.rdbNextSnapshotTime",
            "maintenancePolicy.createTime",
            "maintenancePolicy.updateTime",
        ),
        marker="labels",
        state="state",
        waiting=WAITING,
        deadline_s=1800,
    )
    return RestResource(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)


class ScheduledJob(RestResource):
    """A job of Cloud Scheduler; its state is no field, but has methods of its own."""

    def __init__(self, ctx: Context, row: Row) -> None:
        super().__init__(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)
        self._cloud, self._one = ctx.gcp, row.get[1]

    def update(self, live: Body, body: Body, fields: tuple[str, ...]) -> None:
        """As for every resource; a paused one is resumed, and one whose last update failed is written once more."""
        if fields or live.get("state") == "UPDATE_FAILED":
            super().update(live, body, fields or ("schedule",))
        if live.get("state") in ("PAUSED", "DISABLED"):
            self._cloud.call(f"{SCHEDULER}.resume", {}, **self._one)


def export_job(ctx: Context) -> ScheduledJob:
    """The daily export."""
    name = desired.export_job_name(ctx.plant)
    row = Row(
        name=name.rsplit("/", 1)[1],
        get=(f"{SCHEDULER}.get", {"name": name}),
        create=(f"{SCHEDULER}.create", {"parent": name.rsplit("/jobs/", 1)[0]}),
        update=(f"{SCHEDULER}.patch", {"name": name}),
        style="laid-over",
        unsent=("httpTarget.headers.User-Agent",),
        marker="description",
        state="state",
        dead=frozenset({"PAUSED", "DISABLED", "UPDATE_FAILED"}),
    )
    return ScheduledJob(ctx, row)
