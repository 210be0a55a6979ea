"""Every Google resource of the first phases as a row: which methods, which marker, when ready. Bodies: desired/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plantctl.desired import database as desired_database
from plantctl.desired import network as desired_network
from plantctl.desired import storage as desired_storage
from plantctl.errors import ApiFailure, StepConflict
from plantctl.gcp import operations
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.resource import RestResource, Row
from plantctl.model.step import Body
from plantctl.steps.context import Context

SQL_WAITING = frozenset({"PENDING_CREATE", "MAINTENANCE", "ONLINE_MAINTENANCE", "REPAIRING", "PENDING_DELETE"})
SQL_DEAD = frozenset({"FAILED", "SUSPENDED"})


def _make(ctx: Context, row: Row) -> RestResource:
    return RestResource(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)


def _compute_row(ctx: Context, kind: str, param: str, name: str, *, regional: bool, **more: Any) -> Row:
    place: dict[str, Any] = {"project": ctx.plant.project.id}
    if regional:
        place["region"] = ctx.plant.region
    one = {**place, param: name}
    return Row(
        name=name,
        get=(f"compute.{kind}.get", one),
        create=(f"compute.{kind}.insert", place),
        update=(f"compute.{kind}.patch", one),
        marker="description",
        **{"marker_mutable": False, **more},
    )


def _compute(ctx: Context, kind: str, param: str, name: str, *, regional: bool, **more: Any) -> RestResource:
    return _make(ctx, _compute_row(ctx, kind, param, name, regional=regional, **more))


def network(ctx: Context) -> RestResource:
    """The VPC. A network's description cannot be changed, so adopting one is journalled.

    One made without an MTU has 1460 and does not say so (compute discovery).
    """
    return _compute(ctx, "networks", "network", ctx.plant.network.name, regional=False, unsaid={"mtu": 1460})


class Subnetwork(RestResource):
    """The subnet. A patch cannot change `privateIpGoogleAccess`: that has a method of its own (compute discovery)."""

    def __init__(self, ctx: Context, row: Row) -> None:
        super().__init__(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)
        self._cloud, self._one = ctx.gcp, row.update[1]

    def update(self, live: Body, body: Body, fields: tuple[str, ...]) -> None:
        """As for every resource, with Private Google Access first and apart."""
        access = "privateIpGoogleAccess"
        if access in fields:
            method = f"compute.subnetworks.set{access[0].upper()}{access[1:]}"
            operation = self._cloud.call(method, {access: body[access]}, **self._one)
            operations.wait(self._cloud, method, operation, deadline_s=600)
        others = tuple(field for field in fields if field != access)
        if others:
            super().update(self.live() or live, body, others)


def subnetwork(ctx: Context) -> RestResource:
    """The subnet; changes need its fingerprint (hazards C05)."""
    name = ctx.plant.network.subnet
    return Subnetwork(ctx, _compute_row(ctx, "subnetworks", "subnetwork", name, regional=True, echo=("fingerprint",)))


def peering_range(ctx: Context) -> RestResource:
    """The reserved range; addresses cannot be changed at all."""
    place = {"project": ctx.plant.project.id}
    name = ctx.plant.network.peering_range
    row = Row(
        name=name,
        get=("compute.globalAddresses.get", {**place, "address": name}),
        create=("compute.globalAddresses.insert", place),
        marker="description",
    )
    return _make(ctx, row)


def firewall(name: str) -> Callable[[Context], RestResource]:
    """One firewall rule."""
    return lambda ctx: _compute(ctx, "firewalls", "firewall", name, regional=False, marker_mutable=True)


def router(ctx: Context) -> RestResource:
    """The router that carries the NAT; its nats are patched as a whole list (hazards C18)."""
    return _compute(ctx, "routers", "router", ctx.plant.network.router, regional=True)


def connector(ctx: Context) -> RestResource:
    """The VPC connector: no labels, it belongs to whoever owns the network."""
    parent = f"projects/{ctx.plant.project.id}/locations/{ctx.plant.region}"
    name = desired_network.connector_name(ctx.plant)
    connectors = "vpcaccess.projects.locations.connectors"
    row = Row(
        name=ctx.plant.network.connector,
        get=(f"{connectors}.get", {"name": name}),
        create=(f"{connectors}.create", {"parent": parent, "connectorId": ctx.plant.network.connector}),
        update=(f"{connectors}.patch", {"name": name}),
        style="mask",
        state="state",
        waiting=frozenset({"CREATING", "UPDATING", "DELETING"}),
        dead=frozenset({"ERROR"}),
        deadline_s=1200,
    )
    return _make(ctx, row)


class ServiceAccount(RestResource):
    """A service account: disabled, it is there and does nothing."""

    def broken(self, live: Body) -> str:
        """`disabled`, or empty."""
        return "disabled" if live.get("disabled") else ""


def service_account(account_id: str) -> Callable[[Context], RestResource]:
    """A service account; its marker is in the description. Creating wraps the body (CreateServiceAccountRequest)."""

    def make(ctx: Context) -> RestResource:
        project = f"projects/{ctx.plant.project.id}"
        accounts = "iam.projects.serviceAccounts"
        name = f"{project}/serviceAccounts/{ctx.plant.service_account(account_id)}"
        row = Row(
            name=account_id,
            get=(f"{accounts}.get", {"name": name}),
            create=(f"{accounts}.create", {"name": project}),
            update=(f"{accounts}.patch", {"name": name}),
            style="body-mask",
            create_wrap="serviceAccount",
            create_extra={"accountId": account_id},
            marker="description",
        )
        return ServiceAccount(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)

    return make


class Bucket(RestResource):
    """A bucket. Names are global: one that answers 403, or lies in another project, is somebody else's."""

    def __init__(self, ctx: Context, row: Row) -> None:
        super().__init__(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)
        self._number = ctx.fact("predeploy.project.create", "number")

    def live(self) -> Body | None:
        """The bucket, or None; StepConflict when the name is taken by another project."""
        try:
            found = super().live()
        except ApiFailure as failure:
            if failure.code == 403 and failure.reason in ("", "forbidden"):
                raise self._taken(failure.message) from None
            raise
        if found is not None and str(found.get("projectNumber", self._number)) != str(self._number):
            raise self._taken(f"it is in project {found['projectNumber']}")
        return found

    def create(self, body: Body) -> None:
        """Make it; a 409 for a name that is not seen means that somebody else has it."""
        try:
            super().create(body)
        except ApiFailure as failure:
            if failure.reference == "already-exists" and self.live() is None:
                raise self._taken(failure.message) from None
            raise

    def _taken(self, cause: str) -> StepConflict:
        hint = "bucket names are global and begin with the project's id: look with `gcloud storage buckets describe "
        hint += f"gs://{self.name}`; if it is not yours, choose another project.id in plant.toml"
        return StepConflict(f"the bucket name {self.name} is taken by somebody else", cause=cause, hint=hint)


def bucket(purpose: str) -> Callable[[Context], RestResource]:
    """One bucket."""

    def make(ctx: Context) -> RestResource:
        name = ctx.plant.bucket(purpose)
        row = Row(
            name=name,
            get=("storage.buckets.get", {"bucket": name}),
            create=("storage.buckets.insert", {"project": ctx.plant.project.id}),
            update=("storage.buckets.patch", {"bucket": name}),
            marker="labels",
        )
        return Bucket(ctx, row)

    return make


def repository(ctx: Context) -> RestResource:
    """The Artifact Registry repository."""
    repositories = "artifactregistry.projects.locations.repositories"
    name = desired_storage.repository_name(ctx.plant)
    parent = name.rsplit("/repositories/", 1)[0]
    row = Row(
        name=f"repository {ctx.plant.backend.repository}",
        get=(f"{repositories}.get", {"name": name}),
        create=(f"{repositories}.create", {"parent": parent, "repositoryId": ctx.plant.backend.repository}),
        update=(f"{repositories}.patch", {"name": name}),
        style="mask",
        marker="labels",
    )
    return _make(ctx, row)


def secret(secret_id: str) -> Callable[[Context], RestResource]:
    """One secret's container."""

    def make(ctx: Context) -> RestResource:
        project = f"projects/{ctx.plant.project.id}"
        name = f"{project}/secrets/{secret_id}"
        row = Row(
            name=secret_id,
            get=("secretmanager.projects.secrets.get", {"name": name}),
            create=("secretmanager.projects.secrets.create", {"parent": project, "secretId": secret_id}),
            update=("secretmanager.projects.secrets.patch", {"name": name}),
            style="mask",
            marker="labels",
        )
        return _make(ctx, row)

    return make


SQL_METHODS = {
    "CREATE": "sql.instances.insert",
    "UPDATE": "sql.instances.patch",
    "BACKUP_VOLUME": "sql.backupRuns.insert",
    "CREATE_DATABASE": "sql.databases.insert",
    "CREATE_USER": "sql.users.insert",
    "UPDATE_USER": "sql.users.update",
}
"""Which method started an operation of a type, for the usual duration in progress lines."""


def sql_running(ctx: Context) -> Callable[[Gcp], list[tuple[str, Body]]]:
    """Operations in flight on the Cloud SQL instance, with the method that a wait reports (hazards Q01)."""

    def running(gcp: Gcp) -> list[tuple[str, Body]]:
        where = {"project": ctx.plant.project.id, "instance": ctx.plant.database.instance}
        found = gcp.list("sql.operations.list", "items", **where)
        running = [operation for operation in found if operation["status"] in ("PENDING", "RUNNING")]
        return [(SQL_METHODS.get(str(op.get("operationType")), "sql.operations.get"), op) for op in running]

    return running


def sql_instance(ctx: Context) -> RestResource:
    """The Cloud SQL instance; every change sends the settingsVersion that was read (hazards Q10)."""
    place = {"project": ctx.plant.project.id}
    one = {**place, "instance": ctx.plant.database.instance}
    row = Row(
        name=ctx.plant.database.instance,
        get=("sql.instances.get", one),
        create=("sql.instances.insert", place),
        update=("sql.instances.patch", one),
        echo=("settings.settingsVersion",),
        marker="settings.userLabels",
        state="state",
        waiting=SQL_WAITING,
        dead=SQL_DEAD,
        deadline_s=5400,
        running=sql_running(ctx),
    )
    return _make(ctx, row)


def sql_database(ctx: Context) -> RestResource:
    """The database: no marker, it belongs to whoever owns the instance."""
    place = {"project": ctx.plant.project.id, "instance": ctx.plant.database.instance}
    row = Row(
        name=ctx.plant.database.name,
        get=("sql.databases.get", {**place, "database": ctx.plant.database.name}),
        create=("sql.databases.insert", place),
    )
    return _make(ctx, row)


def job(job_id: str) -> Callable[[Context], RestResource]:
    """A Cloud Run job; changes send the whole job."""

    def make(ctx: Context) -> RestResource:
        name = desired_database.job_name(ctx.plant, job_id)
        jobs = "run.projects.locations.jobs"
        row = Row(
            name=f"job {job_id}",
            get=(f"{jobs}.get", {"name": name}),
            create=(f"{jobs}.create", {"parent": name.rsplit("/jobs/", 1)[0], "jobId": job_id}),
            update=(f"{jobs}.patch", {"name": name}),
            style="whole",
            echo=("etag",),
            marker="labels",
            state="terminalCondition.state",
            waiting=frozenset({"CONDITION_PENDING", "CONDITION_RECONCILING"}),
            dead=frozenset({"CONDITION_FAILED"}),
        )
        return _make(ctx, row)

    return make
