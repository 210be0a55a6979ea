"""Second looks at parts of the service: what the serving revision says, and lists beside the check's `get`."""

from __future__ import annotations

from plantctl.desired import backend as desired
from plantctl.errors import ProbeFailed
from plantctl.gcp.resource import at
from plantctl.model.step import Body, Evidence
from plantctl.steps import health, secrets, service, traffic
from plantctl.steps.context import Context

REVISION = "the revision that serves"


def _revision(ctx: Context) -> Body:
    """The revision with all traffic, as it is kept; what the service wants may not be what serves."""
    _, name = health.serving(ctx)
    found = service.read_revision(ctx, name)
    if found is None:
        raise ProbeFailed(f"{name} has all traffic and is not to be found", hint="plantctl release list")
    return found


def _container(ctx: Context) -> Body:
    return dict((_revision(ctx).get("containers") or [{}])[0])


def verify_resources(ctx: Context) -> Evidence:
    """The limits of the revision that serves."""
    found = _container(ctx).get("resources") or {}
    limits = found.get("limits") or {}
    idle = "only during requests" if found.get("cpuIdle") else "always"
    words = f"{limits.get('cpu')} CPUs, {limits.get('memory')} of memory, CPU is allocated {idle}"
    return Evidence(words=(words,), where=REVISION)


def verify_scaling(ctx: Context) -> Evidence:
    """The region's list of services, and that the connections of all instances fit the database."""
    parent = desired.service_name(ctx.plant).rsplit("/services/", 1)[0]
    found = ctx.gcp.list(f"{service.SERVICES}.list", "services", parent=parent)
    mine = next((one for one in found if str(one["name"]).endswith(f"/{ctx.plant.backend.service}")), None)
    if mine is None:
        raise ProbeFailed(f"the region does not list {ctx.plant.backend.service}")
    least, most = (at(mine, f"scaling.{word}InstanceCount") for word in ("min", "max"))
    words = f"{least or 0} to {most} instances of {ctx.plant.backend.concurrency} requests at once"
    return Evidence(words=(words,), where="the region's list of services")


def verify_secrets(ctx: Context) -> Evidence:
    """Every secret by a pinned version that is enabled, and nothing that looks like one in plain words."""
    env = _container(ctx).get("env") or []
    pinned = {str(entry["name"]): at(entry, "valueSource.secretKeyRef") for entry in env if entry.get("valueSource")}
    words = []
    for name in desired.SECRETS:
        reference = pinned.get(name) or {}
        version = str(reference.get("version", ""))
        if not version.isdigit():
            raise ProbeFailed(f"{name} is not taken from a pinned version: {version or 'no reference'}")
        states = {secrets.number(one): str(one.get("state")) for one in secrets.versions(ctx, name)}
        if states.get(version) != "ENABLED":
            raise ProbeFailed(
                f"{name} is pinned to version {version}, which is {states.get(version, 'gone')}",
                cause="instances that serve go on; a new one could not start",
                hint=f"gcloud secrets versions enable {version} --secret {name} --project {ctx.plant.project.id}",
                reference="secret-version-unusable",
            )
        words.append(f"{name} version {version}, ENABLED")
    return Evidence(words=tuple(words), where=f"{REVISION}, and Secret Manager; values were not read")


def verify_vpc(ctx: Context) -> Evidence:
    """The way that the revision takes, through a connector that is READY."""
    access = _revision(ctx).get("vpcAccess") or {}
    name = str(access.get("connector", ""))
    found = ctx.gcp.get("vpcaccess.projects.locations.connectors.get", name=name) if name else None
    if found is None or found.get("state") != "READY":
        raise ProbeFailed(
            f"the connector {name or '(none)'} is {(found or {}).get('state', 'not there')}",
            hint="plantctl phase run --only predeploy.network.connector",
            reference="connector-missing",
        )
    words = f"{traffic.short(name)} is {found['state']}, egress {access.get('egress')}"
    return Evidence(words=(words,), where=f"{REVISION}, and the connector")
