"""Service Networking v1: private services access, the peering that Cloud SQL and Memorystore need."""

from __future__ import annotations

from plantctl.sandbox import errors
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, Service, World

service = Service("servicenetworking", versions=("v1",))

PRODUCER = "services/servicenetworking.googleapis.com"
PEERING = "servicenetworking-googleapis-com"
CONNECTION_TYPE = "type.googleapis.com/google.cloud.servicenetworking.v1.Connection"


def _network(call: Call) -> tuple[str, str]:
    """Project id and name of the network that the body names."""
    given = str(call.body.get("network") or call.params.get("network") or call.body.get("consumerNetwork") or "")
    parts = given.split("/")
    if len(parts) != 5 or parts[0] != "projects" or parts[3] != "networks":
        raise errors.invalid(f"Network {given!r} must have the form projects/{{project}}/global/networks/{{network}}.")
    if not parts[1].isdigit():  # the number, not the id (discovery)
        raise errors.invalid(f"Network {given!r} must name the project by its number.", "network")
    project = call.world.project_id(parts[1])
    if f"compute/projects/{project}/global/networks/{parts[4]}" not in call.store:
        raise errors.not_found(f"The network {given} was not found.")
    return project, parts[4]


def connection_key(project: str, network: str) -> str:
    """One connection a network: the stack has one producer."""
    return f"servicenetworking/connections/{project}/{network}"


@service.method("servicenetworking.services.connections.list")
def list_connections(call: Call) -> Body:
    """Connections of a network; an empty object when there are none (recorded exchange)."""
    project, network = _network(call)
    found = call.store.get(connection_key(project, network))
    return {"connections": [found]} if found else {}


@service.method("servicenetworking.services.connections.create")
def create_connection(call: Call) -> Body:
    """A second create with other ranges fails in the operation, code 9 (hazards N01)."""
    return _start(call, "create")


@service.method("servicenetworking.services.connections.patch")
def patch_connection(call: Call) -> Body:
    """Other ranges; makes the connection where there was none (recorded exchange)."""
    return _start(call, "patch")


def _start(call: Call, verb: str) -> Body:
    project, network = _network(call)
    ranges = call.body.get("reservedPeeringRanges") or []
    if not ranges:
        raise errors.invalid("At least one reserved peering range is required.", "reservedPeeringRanges")
    return call.operations.start(
        call,
        kind="lro",
        finisher=f"servicenetworking.{verb}",
        duration_s=DURATIONS.get(call.method.id, 90.0),
        project=project,
        target=connection_key(project, network),
        response_type=CONNECTION_TYPE,
        args={"project": project, "network": network, "ranges": ranges, "given": call.body["network"]},
    )


def _connect(world: World, op: Operation) -> Body:
    project, network, ranges = op.args["project"], op.args["network"], op.args["ranges"]
    for name in ranges:
        reserved = world.store.get(f"compute/projects/{project}/global/addresses/{name}")
        if reserved is None or reserved.get("purpose") != "VPC_PEERING":
            message = f"allocated IP range '{name}' not found in network"  # hazards N02
            raise errors.failed_precondition(message)
    body: Body = {
        "network": op.args["given"],
        "reservedPeeringRanges": ranges,
        "service": PRODUCER,
        "peering": PEERING,
    }
    world.store.put(connection_key(project, network), body)
    key = f"compute/projects/{project}/global/networks/{network}"
    live = world.store.get(key)
    if live is None:
        raise errors.failed_precondition(f"The network {op.args['given']} was deleted meanwhile.")
    peering = {
        "name": PEERING,
        # the producer's project is Google's and has no name here; a made-up tenant stands in
        "network": "https://www.googleapis.com/compute/v1/projects/sandbox-tp/global/networks/servicenetworking",
        "state": "ACTIVE",
        "stateDetails": "[sandbox] Connected.",
        "autoCreateRoutes": True,
        "exchangeSubnetRoutes": True,
        "importCustomRoutes": False,
        "exportCustomRoutes": False,
        "peerMtu": 1460,
    }
    live["peerings"] = [p for p in live.get("peerings", []) if p["name"] != PEERING] + [peering]
    world.store.put(key, live)
    return body


@service.finisher("create")
def finish_create(world: World, op: Operation) -> Body:
    """Refused when the connection is there with other ranges."""
    live = world.store.get(connection_key(op.args["project"], op.args["network"]))
    if live and set(live["reservedPeeringRanges"]) != set(op.args["ranges"]):
        message = "Cannot modify allocated ranges in CreateConnection. Please use UpdateConnection."
        raise errors.failed_precondition(message)
    return _connect(world, op)


@service.finisher("patch")
def finish_patch(world: World, op: Operation) -> Body:
    """The ranges are what was sent."""
    return _connect(world, op)


@service.method("servicenetworking.services.connections.deleteConnection")
def delete_connection(call: Call) -> Body:
    """Refused in the operation while a producer still has something on the network (hazards N04)."""
    project, network = _network(call)
    if connection_key(project, network) not in call.store:
        raise errors.not_found("The connection was not found.")
    return call.operations.start(
        call,
        kind="lro",
        finisher="servicenetworking.delete",
        duration_s=DURATIONS.get(call.method.id, 60.0),
        project=project,
        target=connection_key(project, network),
        args={"project": project, "network": network},
    )


@service.finisher("delete")
def finish_delete(world: World, op: Operation) -> None:
    """The connection and its peering go."""
    project, network = op.args["project"], op.args["network"]
    tail = f"projects/{project}/global/networks/{network}"
    if _in_use(world, project, tail):
        message = "Failed to delete connection; Producer services (e.g. CloudSQL, Cloud Memstore, etc.)"
        raise errors.failed_precondition(f"{message} are still using this connection.")
    world.store.delete(connection_key(project, network))
    key = f"compute/{tail}"
    live = world.store.get(key)
    if live is not None:
        live["peerings"] = [p for p in live.get("peerings", []) if p["name"] != PEERING]
        world.store.put(key, live)


def _in_use(world: World, project: str, network: str) -> bool:
    for _, instance in world.store.list(f"sqladmin/projects/{project}/instances/"):
        private = instance.get("settings", {}).get("ipConfiguration", {}).get("privateNetwork", "")
        if private and world.canonical(private) == network:
            return True
    caches = [instance for _, instance in world.store.list(f"redis/projects/{project}/locations/")]
    return any(
        instance.get("connectMode") == "PRIVATE_SERVICE_ACCESS" and instance.get("authorizedNetwork") == network
        for instance in caches
    )


@service.method("servicenetworking.operations.get")
def get_operation(call: Call) -> Body:
    """One operation."""
    found = call.operations.get(f"operation/servicenetworking/{call.params['name']}")
    if found is None:
        raise errors.not_found("Requested entity was not found.")
    return found.render()
