"""Every Google resource of the first phases as a row: which methods, which marker, when ready. Bodies: desired/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plantctl.desired import database as desired_database
from plantctl.desired import network as desired_network
from plantctl.desired import storage as desired_storage
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.resource import RestResource, Row
from plantctl.model.step import Body
from plantctl.steps.context import Context

SQL_WAITING = frozenset({"PENDING_CREATE", "MAINTENANCE", "ONLINE_MAINTENANCE", "REPAIRING", "PENDING_DELETE"})
SQL_DEAD = frozenset({"FAILED", "SUSPENDED"})


def _make(ctx: Context, row: Row) -> RestResource:
    return RestResource(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)


def _compute(ctx: Context, kind: str, param: str, name: str, *, regional: bool, **more: Any) -> RestResource:
    place: dict[str, Any] = {"project": ctx.plant.project.id}
    if regional:
        place["region"] = ctx.plant.region
    one = {**place, param: name}
    row = Row(
        name=name,
        get=(f"compute.{kind}.get", one),
        create=(f"compute.{kind}.insert", place),
        update=(f"compute.{kind}.patch", one),
        marker="description",
        **{"marker_mutable": False, **more},
    )
    return _make(ctx, row)


def network(ctx: Context) -> RestResource:
    """The VPC. A network's description cannot be changed, so adopting one is journalled."""
    return _compute(ctx, "networks", "network", ctx.plant.network.name, regional=False)


def subnetwork(ctx: Context) -> RestResource:
    """The subnet; changes need its fingerprint (hazards C05)."""
    return _compute(ctx, "subnetworks", "subnetwork", ctx.plant.network.subnet, regional=True, echo=("fingerprint",))


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
        return _make(ctx, row)

    return make


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
        return _make(ctx, row)

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


def sql_running(ctx: Context) -> Callable[[Gcp], list[tuple[str, Body]]]:
    """Operations in flight on the Cloud SQL instance, with the method that a wait reports (hazards Q01)."""

    def running(gcp: Gcp) -> list[tuple[str, Body]]:
        where = {"project": ctx.plant.project.id, "instance": ctx.plant.database.instance}
        found = gcp.list("sql.operations.list", "items", **where)
        return [("sql.instances.insert", op) for op in found if op["status"] in ("PENDING", "RUNNING")]

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
