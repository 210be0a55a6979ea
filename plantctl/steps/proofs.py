"""Second looks of the first phase: lists and status methods beside the `get` that the check used."""

from __future__ import annotations

from plantctl.desired import storage as desired_storage
from plantctl.errors import ProbeFailed
from plantctl.gcp.resource import Params
from plantctl.model.step import Evidence
from plantctl.steps.context import Context


def firewall(ctx: Context) -> Evidence:
    """All rules of the network by priority, the last of which denies."""
    found = ctx.gcp.list("compute.firewalls.list", "items", project=ctx.plant.project.id)
    ours = [rule for rule in found if str(rule["network"]).endswith(f"/{ctx.plant.network.name}")]
    ours.sort(key=lambda rule: int(rule["priority"]))
    words = tuple(
        f"{rule['priority']} {rule['name']}: {'allow' if rule.get('allowed') else 'deny'} from "
        f"{', '.join(rule.get('sourceRanges', []))}"
        for rule in ours
    )
    if not ours or not ours[-1].get("denied"):
        raise ProbeFailed("the last firewall rule of the network denies nothing")
    return Evidence(words=words, where="Compute's list of firewall rules, by priority")


def nat(ctx: Context) -> Evidence:
    """The router says itself that it runs the NAT."""
    where: Params = {"project": ctx.plant.project.id, "region": ctx.plant.region, "router": ctx.plant.network.router}
    status = ctx.gcp.call("compute.routers.getRouterStatus", **where)
    names = [nat["name"] for nat in status.get("result", {}).get("natStatus", [])]
    if ctx.plant.network.nat not in names:
        raise ProbeFailed(f"the router's status does not list {ctx.plant.network.nat}")
    return Evidence(words=(f"router {ctx.plant.network.router} runs NAT {', '.join(names)}",), where="router status")


def connector(ctx: Context) -> Evidence:
    """The region's list has it, READY."""
    parent = f"projects/{ctx.plant.project.id}/locations/{ctx.plant.region}"
    found = ctx.gcp.list("vpcaccess.projects.locations.connectors.list", "connectors", parent=parent)
    mine = next((c for c in found if str(c["name"]).endswith(f"/{ctx.plant.network.connector}")), None)
    if mine is None or mine.get("state") != "READY":
        raise ProbeFailed(f"the region's list has no connector {ctx.plant.network.connector} that is READY")
    words = f"{ctx.plant.network.connector} is {mine['state']} on {mine['network']} with {mine['ipCidrRange']}"
    return Evidence(words=(words,), where="the region's list of connectors")


def buckets(ctx: Context) -> Evidence:
    """The project lists all three, not public."""
    found = ctx.gcp.list("storage.buckets.list", "items", project=ctx.plant.project.id)
    names = {ctx.plant.bucket(purpose) for purpose in desired_storage.PURPOSES}
    mine = [bucket for bucket in found if bucket["name"] in names]
    if len(mine) != len(names):
        raise ProbeFailed(f"the project lists {len(mine)} of {len(names)} buckets")
    words = tuple(
        f"{b['name']}: {b['location']}, {'' if b.get('versioning', {}).get('enabled') else 'not '}versioned, "
        f"public access prevention {b['iamConfiguration']['publicAccessPrevention']}"
        for b in mine
    )
    return Evidence(words=words, where="the project's list of buckets")


def repository(ctx: Context) -> Evidence:
    """The region lists it, with the state of scanning."""
    name = desired_storage.repository_name(ctx.plant)
    parent = name.rsplit("/repositories/", 1)[0]
    found = ctx.gcp.list("artifactregistry.projects.locations.repositories.list", "repositories", parent=parent)
    mine = next((repository for repository in found if repository["name"] == name), None)
    if mine is None:
        raise ProbeFailed(f"the region does not list {name}")
    scanning = mine.get("vulnerabilityScanningConfig", {}).get("enablementState", "unknown")
    words = f"{mine['name'].rsplit('/', 1)[1]}: {mine['format']}, immutable tags, scanning {scanning}"
    return Evidence(words=(words,), where="the region's list of repositories")
