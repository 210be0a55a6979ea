"""Compute's verbs beyond the standard methods, its operations, and what gcloud asks for first."""

from __future__ import annotations

import ipaddress

from plantctl.sandbox import errors, standard
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services import compute_defaults as defaults
from plantctl.sandbox.services.compute import BY_ID, ROOT, begin, filtered, live_of, scope_of, service


@service.method("compute.addresses.setLabels", "compute.globalAddresses.setLabels")
def set_labels(call: Call) -> Body:
    """Done at once and without a target (recorded exchange); needs the current label fingerprint."""
    kind = BY_ID[call.method.id.split(".")[1]]
    call.params[kind.param] = call.params.get("resource", call.params.get(kind.param))
    key, live = live_of(kind, call)
    if standard.stale(call.body.get("labelFingerprint"), live["labelFingerprint"]):
        raise errors.condition_not_met("Labels fingerprint either invalid or resource labels have changed")
    live["labels"] = call.body.get("labels", {})
    live["labelFingerprint"] = standard.etag(live["labels"])
    call.store.put(key, live)
    operation = begin(call, key, "", "compute.nothing", {}, scope_of(kind, call))
    shown = {key: value for key, value in operation.items() if key not in ("user", "region")}
    return {**shown, "status": "DONE"}


@service.finisher("nothing")
def finish_nothing(world: World, op: Operation) -> None:
    """The work was done when the operation was accepted."""


@service.method("compute.subnetworks.setPrivateIpGoogleAccess")
def set_private_access(call: Call) -> Body:
    """One field by a verb of its own."""
    kind = BY_ID["subnetworks"]
    key, live = live_of(kind, call)
    live["privateIpGoogleAccess"] = bool(call.body.get("privateIpGoogleAccess"))
    args = {"id": live["id"], "body": live}
    return begin(call, key, "setPrivateIpGoogleAccess", "compute.put", args, scope_of(kind, call))


@service.method("compute.subnetworks.expandIpCidrRange")
def expand_range(call: Call) -> Body:
    """A subnet's range only grows (compute reference)."""
    kind = BY_ID["subnetworks"]
    key, live = live_of(kind, call)
    wanted = str(call.body.get("ipCidrRange"))
    if not ipaddress.ip_network(live["ipCidrRange"]).subnet_of(ipaddress.ip_network(wanted)):  # type: ignore[arg-type]
        raise errors.invalid("Invalid value for field 'ipCidrRange'. New range must contain the old one.")
    live["ipCidrRange"] = wanted
    args = {"id": live["id"], "body": live}
    return begin(call, key, "expandIpCidrRange", "compute.put", args, scope_of(kind, call))


@service.method("compute.networks.removePeering")
def remove_peering(call: Call) -> Body:
    """The peering goes, and with it the connection that service networking lists (recorded exchange)."""
    kind = BY_ID["networks"]
    key, live = live_of(kind, call)
    name = str(call.body.get("name"))
    live["peerings"] = [p for p in live.get("peerings", []) if p["name"] != name]
    if not live["peerings"]:
        live.pop("peerings")
    operation = begin(call, key, "", "compute.unpeer", {"body": live, "peering": name}, "global")
    return {field: value for field, value in operation.items() if field != "user"}


@service.finisher("unpeer")
def finish_unpeer(world: World, op: Operation) -> None:
    """The network without the peering."""
    _, _, project, _, _, network = op.args["key"].split("/")
    connection = f"servicenetworking/connections/{project}/{network}"
    if (world.store.get(connection) or {}).get("peering") == op.args["peering"]:
        world.store.delete(connection)
    world.store.put(op.args["key"], op.args["body"])


@service.method("compute.routers.getRouterStatus")
def router_status(call: Call) -> Body:
    """NATs with the addresses that were allocated."""
    _, live = live_of(BY_ID["routers"], call)
    nats = [
        {"name": nat["name"], "minExtraNatIpsNeeded": 0, "numVmEndpointsWithNatMappings": 0}
        for nat in live.get("nats", [])
    ]
    return {"kind": "compute#routerStatusResponse", "result": {"network": live["network"], "natStatus": nats}}


@service.method("compute.globalOperations.get", "compute.regionOperations.get")
def get_operation(call: Call) -> Body:
    """An operation of one scope."""
    return _operation(call).render()


@service.method("compute.globalOperations.wait", "compute.regionOperations.wait", blocking=True)
def wait_operation(call: Call) -> Body:
    """Returns when done, or after two minutes as it is (compute reference)."""
    found = call.operations.wait(_operation(call).key, 120)
    assert found is not None
    return found.render()


def _operation(call: Call) -> Operation:
    scope = "global" if ".globalOperations." in call.method.id else f"regions/{call.params['region']}"
    name = f"projects/{call.project}/{scope}/operations/{call.params['operation']}"
    found = call.operations.get(f"operation/compute/{name}")
    if found is None:
        raise errors.not_found(f"The resource '{name}' was not found")
    return found


@service.method("compute.regions.get", "compute.regions.list")
def regions(call: Call) -> Body:
    """The regions that the plant uses; gcloud asks before it creates regional things."""
    found = [
        {
            "kind": "compute#region",
            "name": name,
            "status": "UP",
            "selfLink": f"{ROOT}/projects/{call.project}/regions/{name}",
        }
        for name in defaults.REGIONS
    ]
    if call.method.id.endswith("list"):
        return {"kind": "compute#regionList", "items": filtered(found, str(call.params.get("filter") or ""))}
    for region in found:
        if region["name"] == call.params["region"]:
            return region
    raise errors.not_found(f"The resource 'projects/{call.project}/regions/{call.params['region']}' was not found")


@service.method("compute.projects.get")
def get_project(call: Call) -> Body:
    """The compute side of a project."""
    return {
        "kind": "compute#project",
        "name": call.project,
        "id": call.world.project_number(call.project),
        "selfLink": f"{ROOT}/projects/{call.project}",
        "defaultServiceAccount": f"{call.world.project_number(call.project)}-compute@developer.gserviceaccount.com",
        "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
    }
