"""Functions behind the network items: the peering of private services access, and looks at what Google made of it."""

from __future__ import annotations

import ipaddress

from plantctl.desired import network as desired
from plantctl.errors import ApiFailure, OperationFailed, ProbeFailed
from plantctl.gcp import operations
from plantctl.gcp.resource import Params, is_operation
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import resources
from plantctl.steps.build import Resource, Rules, bring, look
from plantctl.steps.context import Context

PSA = "predeploy.network.psa"
CREATE = "predeploy.project.create"
CONNECTIONS = "servicenetworking.services.connections"

RANGE = Resource(
    managed=resources.peering_range,
    desired=lambda ctx: desired.peering_range(ctx.plant),
    rules=Rules(
        fields=("addressType", "purpose", "prefixLength", "network"),
        immutable=("addressType", "purpose", "prefixLength", "network"),
    ),
)


def verify_network(ctx: Context) -> Evidence:
    """The lists have network and subnet, and the subnet's gateway lies in its range."""
    place: Params = {"project": ctx.plant.project.id, "region": ctx.plant.region}
    subnets = ctx.gcp.list("compute.subnetworks.list", "items", **place)
    mine = [s for s in subnets if str(s["network"]).endswith(f"/{ctx.plant.network.name}")]
    if not mine:
        raise ProbeFailed(f"the region lists no subnet of {ctx.plant.network.name}")
    for subnet in mine:
        if ipaddress.ip_address(subnet["gatewayAddress"]) not in ipaddress.ip_network(subnet["ipCidrRange"]):
            raise ProbeFailed(f"{subnet['name']}'s gateway is outside its range")
    words = tuple(
        f"{s['name']} {s['ipCidrRange']} in {ctx.plant.network.name}, {s.get('state', 'READY')}" for s in mine
    )
    return Evidence(words=words, where="the region's list of subnets")


def _connection(ctx: Context) -> Body | None:
    """The connection row of our network, or None."""
    network = f"projects/{ctx.known(CREATE, 'number')}/global/networks/{ctx.plant.network.name}"
    answer = ctx.gcp.call(f"{CONNECTIONS}.list", parent="services/" + desired.PEERING_SERVICE, network=network)
    return next((c for c in answer.get("connections", []) if c.get("peering") == desired.PEERING_NAME), None)


def _peering_state(ctx: Context) -> str:
    """The state of the peering on the network itself: a row can outlive a peering that was deleted by hand."""
    live = ctx.gcp.get("compute.networks.get", project=ctx.plant.project.id, network=ctx.plant.network.name) or {}
    states = {peering["name"]: str(peering.get("state")) for peering in live.get("peerings", [])}
    return states.get(desired.PEERING_NAME, "")


def check_peering(ctx: Context) -> Finding:
    """Range reserved, connection there with that range, and the peering ACTIVE: all three must hold."""
    reserved = look(ctx, PSA, RANGE)
    if not reserved.in_place:
        return reserved
    connection, state = _connection(ctx), _peering_state(ctx)
    wanted = ctx.plant.network.peering_range
    if connection is None:
        change = Change(field=f"{desired.PEERING_NAME} reservedPeeringRanges", desired=[wanted])
        return Finding(verdict=Verdict.MISSING, changes=(change,))
    if wanted not in connection.get("reservedPeeringRanges", []):
        live = connection.get("reservedPeeringRanges", [])
        change = Change(field=f"{desired.PEERING_NAME} reservedPeeringRanges", live=live, desired=[*live, wanted])
        return Finding(verdict=Verdict.DRIFTED, changes=(change,))
    if state != "ACTIVE":
        change = Change(field=f"{desired.PEERING_NAME} state", live=state or "gone", desired="ACTIVE")
        return Finding(verdict=Verdict.DRIFTED, changes=(change,))
    return Finding(verdict=Verdict.IN_PLACE, facts={"range": wanted})


def apply_peering(ctx: Context, finding: Finding) -> None:
    """Reserve, connect; other ranges, or a row without its peering, are put right by a patch (hazards N01)."""
    bring(ctx, PSA, RANGE)
    connection = _connection(ctx)
    body = desired.peering_connection(ctx.plant, ctx.known(CREATE, "number"))
    if connection is None:
        method = f"{CONNECTIONS}.create"
        try:
            answer = ctx.gcp.call(
                method, body, parent="services/" + desired.PEERING_SERVICE, read_back=lambda: _connection(ctx)
            )
            _wait(ctx, method, answer)
            return
        except (OperationFailed, ApiFailure) as failure:
            if "Cannot modify allocated ranges" not in failure.message:
                raise
            connection = _connection(ctx) or {}
    active = _peering_state(ctx) == "ACTIVE"
    if set(body["reservedPeeringRanges"]) <= set(connection.get("reservedPeeringRanges", [])) and active:
        return
    ranges = list(dict.fromkeys([*connection.get("reservedPeeringRanges", []), *body["reservedPeeringRanges"]]))
    method = f"{CONNECTIONS}.patch"
    name = f"services/{desired.PEERING_SERVICE}/connections/-"
    # `force` also lets ranges go that are in use, so it is sent only where a peering was deleted by hand
    forced: Params = {} if active else {"force": True}
    sent = {**body, "reservedPeeringRanges": ranges}
    answer = ctx.gcp.call(method, sent, name=name, updateMask="reservedPeeringRanges", **forced)
    _wait(ctx, method, answer)


def _wait(ctx: Context, method: str, answer: Body) -> None:
    if is_operation(answer):
        operations.wait(ctx.gcp, method, answer, deadline_s=600)


def verify_peering(ctx: Context) -> Evidence:
    """The network itself says that the peering is ACTIVE, and the range lies outside the subnet."""
    where: Params = {"project": ctx.plant.project.id, "address": ctx.plant.network.peering_range}
    reserved = ctx.gcp.call("compute.globalAddresses.get", **where)
    given = ipaddress.ip_network(f"{reserved['address']}/{reserved['prefixLength']}", strict=False)
    if given.overlaps(ipaddress.ip_network(ctx.plant.network.subnet_cidr)):
        raise ProbeFailed(f"the reserved range {given} overlaps the subnet {ctx.plant.network.subnet_cidr}")
    state = _peering_state(ctx)
    if state != "ACTIVE":
        raise ProbeFailed(f"the peering {desired.PEERING_NAME} is {state or 'gone'}")
    words = f"{desired.PEERING_NAME} is ACTIVE on {ctx.plant.network.name}, addresses from {given}"
    return Evidence(words=(words,), where="the network's own list of peerings")
