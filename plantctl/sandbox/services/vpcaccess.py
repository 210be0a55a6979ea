"""Serverless VPC Access v1 (v1beta1 answers alike): connectors."""

from __future__ import annotations

import ipaddress
import re

from plantctl.sandbox import errors, standard
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, Service, World

service = Service("vpcaccess", versions=("v1", "v1beta1"))

CONNECTORS = "vpcaccess.projects.locations.connectors"
CONNECTOR_ID = re.compile(r"[a-z][-a-z0-9]{0,23}[a-z0-9]")
"""At most 25 characters (vpcaccess documentation)."""
PATCHABLE = {"machineType", "minInstances", "maxInstances", "minThroughput", "maxThroughput"}


def _live(call: Call) -> tuple[str, Body]:
    key = f"vpcaccess/{call.name()}"
    found = call.store.get(key)
    if found is None:
        raise errors.not_found("The connector is not found.")
    return key, found


def _start(call: Call, name: str, verb: str, body: Body) -> Body:
    rpc = {"create": "CreateConnector", "patch": "UpdateConnector", "delete": "DeleteConnector"}[verb]
    metadata = {
        "@type": "type.googleapis.com/google.cloud.vpcaccess.v1.OperationMetadata",
        "method": f"google.cloud.vpcaccess.{call.method.version}.VpcAccessService.{rpc}",
        "createTime": call.clock.rfc3339(),
        "target": name,
    }
    kind = "google.protobuf.Empty" if verb == "delete" else "google.cloud.vpcaccess.v1.Connector"
    return call.operations.start(
        call,
        kind="lro",
        finisher=f"vpcaccess.{verb}",
        duration_s=DURATIONS.get(call.method.id, 120.0),
        name="/".join(name.split("/")[:4]),
        target=f"vpcaccess/{name}",
        metadata=metadata,
        response_type=f"type.googleapis.com/{kind}",
        args={"key": f"vpcaccess/{name}", "body": body},
    )


@service.method(f"{CONNECTORS}.create")
def create_connector(call: Call) -> Body:
    """Refused without maxInstances or maxThroughput (gcp-foundation, network.connector); /28 only (hazards V04)."""
    connector_id = str(call.params.get("connectorId") or "")
    name = f"{call.name('parent')}/connectors/{connector_id}"
    if not CONNECTOR_ID.fullmatch(connector_id):
        raise errors.invalid(f"Connector id {connector_id!r} must have at most 25 characters.", "connector_id")
    if f"vpcaccess/{name}" in call.store:
        raise errors.already_exists(f"Requested entity already exists: {name}")
    body = dict(call.body)
    if not body.get("maxInstances") and not body.get("maxThroughput"):
        raise errors.invalid("Either max_instances or max_throughput must be set.", "connector.max_instances")
    if bool(body.get("network") and body.get("ipCidrRange")) == bool(body.get("subnet")):
        raise errors.invalid("Exactly one of network with ip_cidr_range, or subnet must be set.", "connector")
    _check_range(call, body)
    body = _filled(body, name)
    call.store.put(f"vpcaccess/{name}", {**body, "state": "CREATING"})
    return _start(call, name, "create", {**body, "state": "READY"})


def _filled(body: Body, name: str) -> Body:
    """Instances and throughput imply each other, a hundred a step (recorded exchange)."""
    filled = {"machineType": "e2-micro", **body, "name": name}
    for bound, default in (("min", 2), ("max", 10)):
        instances, throughput = filled.get(f"{bound}Instances"), filled.get(f"{bound}Throughput")
        filled[f"{bound}Instances"] = instances or (throughput // 100 if throughput else default)
        filled[f"{bound}Throughput"] = throughput or filled[f"{bound}Instances"] * 100
    return filled


def _check_range(call: Call, body: Body) -> None:
    if body.get("subnet"):
        return
    project = call.project
    network = str(body["network"]).rsplit("/", 1)[-1]
    if f"compute/projects/{project}/global/networks/{network}" not in call.store:
        raise errors.not_found(f"The network {network} was not found in project {project}.")
    try:
        wanted = ipaddress.ip_network(str(body["ipCidrRange"]))
    except ValueError:
        raise errors.invalid(f"Invalid IP CIDR range {body['ipCidrRange']!r}.", "connector.ip_cidr_range") from None
    if wanted.prefixlen != 28:
        raise errors.invalid("The IP CIDR range must have a netmask of 28.", "connector.ip_cidr_range")
    for _, other in call.store.list(f"compute/projects/{project}/"):
        if "ipCidrRange" not in other or not str(other.get("network", "")).endswith(f"/{network}"):
            continue
        if wanted.overlaps(ipaddress.ip_network(other["ipCidrRange"])):
            raise errors.invalid(f"IP CIDR range {wanted} conflicts with subnetwork {other['name']}.")


@service.finisher("create")
def finish_create(world: World, op: Operation) -> Body:
    """READY."""
    return _ready(world, op)


@service.finisher("patch")
def finish_patch(world: World, op: Operation) -> Body:
    """READY with the new bounds."""
    return _ready(world, op)


def _ready(world: World, op: Operation) -> Body:
    op.metadata["endTime"] = world.clock.rfc3339()
    return world.store.put(op.args["key"], op.args["body"])


@service.finisher("delete")
def finish_delete(world: World, op: Operation) -> Body:
    """Gone."""
    op.metadata["endTime"] = world.clock.rfc3339()
    world.store.delete(op.args["key"])
    return {}


@service.method(f"{CONNECTORS}.get")
def get_connector(call: Call) -> Body:
    """One connector."""
    return _live(call)[1]


@service.method(f"{CONNECTORS}.list")
def list_connectors(call: Call) -> Body:
    """Connectors of a location."""
    found = [body for _, body in call.store.list(f"vpcaccess/{call.name('parent')}/connectors/")]
    return standard.page(found, call.params, "connectors")


@service.method(f"{CONNECTORS}.patch", versions=("v1",))
def patch_connector(call: Call) -> Body:
    """Network and range are immutable; bounds do not shrink (hazards V05)."""
    key, live = _live(call)
    mask = {standard.camel(path) for path in str(call.params.get("updateMask") or "").split(",") if path}
    if not mask <= PATCHABLE:
        raise errors.invalid(f"Fields {sorted(mask - PATCHABLE)} are immutable.", "update_mask")
    for bound in ("minInstances", "maxInstances"):
        if bound in mask and int(call.body.get(bound, 0)) < int(live[bound]):
            raise errors.invalid(f"{bound} cannot be decreased.", bound)
    body = standard.masked(live, call.body, ",".join(mask))
    call.store.put(key, {**live, "state": "UPDATING"})
    return _start(call, call.name(), "patch", {**body, "state": "READY"})


@service.method(f"{CONNECTORS}.delete")
def delete_connector(call: Call) -> Body:
    """Deleted by an operation."""
    key, live = _live(call)
    call.store.put(key, {**live, "state": "DELETING"})
    return _start(call, call.name(), "delete", {})


@service.method("vpcaccess.projects.locations.operations.get")
def get_operation(call: Call) -> Body:
    """One operation."""
    found = call.operations.get(f"operation/vpcaccess/{call.name()}")
    if found is None:
        raise errors.not_found("The operation is not found.")
    return found.render()
