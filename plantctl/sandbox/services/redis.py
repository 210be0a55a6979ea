"""Memorystore for Redis v1 (v1beta1 answers alike): instances and their AUTH strings, locations, operations."""

from __future__ import annotations

import re
import uuid

from plantctl.sandbox import errors, standard
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services import redis_plane as plane
from plantctl.sandbox.services import redis_rules as rules
from plantctl.sandbox.services.redis_base import INSTANCES, auth_key, bad, live, ready, service, settle, start
from plantctl.sandbox.services.redis_defaults import ZONES, filled, maintenance, nodes, persistence
from plantctl.sandbox.services.redis_network import addresses, readers

LOCATIONS = "redis.projects.locations"
OPERATIONS = f"{LOCATIONS}.operations"


@service.method(f"{INSTANCES}.create")
def create_instance(call: Call) -> Body:
    """Rules at once, network and addresses in the operation (hazards R01 to R04)."""
    instance_id = str(call.params.get("instanceId") or "")
    name = f"{call.name('parent')}/instances/{instance_id}"
    if not rules.INSTANCE_ID.fullmatch(instance_id):
        words = "Instance id must be 1 to 40 lowercase letters, numbers and hyphens, and start with a letter."
        raise bad(words, "instance_id", instance_id)
    _region(name.split("/")[3])
    key = f"redis/{name}"
    if key in call.store:
        raise errors.already_exists(f"Resource '{name}' already exists")  # hazards R04; the words are unverified
    body = filled(call, name)
    rules.check(call.world, body)
    call.store.put(key, {**body, "state": "CREATING"})
    if body.get("authEnabled"):
        call.store.put(auth_key(key), {"authString": str(uuid.uuid4())})  # server-generated (hazards R10)
    return start(call, "create", key, {})


@service.finisher("create", slow=True)
def finish_create(world: World, op: Operation) -> Body:
    """Addresses, servers, certificates; then READY."""
    with world.store.transaction():
        body = world.store.get(op.target)
        if body is None:
            raise errors.not_found("The instance was deleted meanwhile.")
        if "host" not in body:
            body = world.store.put(op.target, {**body, **addresses(world, body)})
    changes = plane.make(world, op.target, body)
    changes |= {"nodes": nodes(body), "currentLocationId": body["locationId"]}
    return _ended(world, op, settle(world, op.target, changes))


@service.failure("create")
def undo_create(world: World, op: Operation) -> None:
    """Nothing stays of an instance that could not be made (unverified)."""
    body = world.store.delete(op.target)
    world.store.delete(auth_key(op.target))
    if body is not None:
        plane.remove(world, body)


def _ended(world: World, op: Operation, body: Body) -> Body:
    op.metadata["endTime"] = world.clock.rfc3339()
    return plane.shown(world, body)


@service.method(f"{INSTANCES}.get")
def get_instance(call: Call) -> Body:
    """One instance."""
    _, body = live(call)
    return plane.shown(call.world, body)


@service.method(f"{INSTANCES}.list")
def list_instances(call: Call) -> Body:
    """Instances of a location, or of all with `-`."""
    prefix = f"redis/{call.name('parent')}".removesuffix("-")
    found = [plane.shown(call.world, body) for key, body in call.store.list(prefix) if "/instances/" in key]
    return standard.page(found, call.params, "instances")


@service.method(f"{INSTANCES}.getAuthString")
def get_auth_string(call: Call) -> Body:
    """Empty while AUTH is off (discovery)."""
    key, _ = live(call)
    return call.store.get(auth_key(key)) or {}


@service.method(f"{INSTANCES}.patch")
def patch_instance(call: Call) -> Body:
    """The fields of the mask alone (recorded exchange); a new AUTH string whenever AUTH is turned on."""
    mask = str(call.params.get("updateMask") or "")
    names = rules.patched_fields(mask)
    key, before = ready(call, "update")
    after = standard.masked(before, call.body, mask)
    if "persistenceConfig" in names:
        given = {**after.get("persistenceConfig", {})}
        given.setdefault("persistenceMode", before["persistenceConfig"]["persistenceMode"])  # discovery
        rules.check_persistence(given)
        after["persistenceConfig"] = persistence(call.world, given)
    if "maintenancePolicy" in names and after.get("maintenancePolicy"):
        policy = before.get("maintenancePolicy", {})
        after["maintenancePolicy"] = maintenance(call.world, after["maintenancePolicy"], policy)
    if not after.get("authEnabled"):
        after.pop("authEnabled", None)
    if "readReplicasMode" in names and "replicaCount" not in names and _reading(after) and not _reading(before):
        after["replicaCount"] = 2  # discovery, replicaCount
    rules.check_change(before, after, names)
    rules.check(call.world, after)
    return start(call, "update", key, {"before": before, "after": after})


@service.finisher("update", slow=True)
def finish_update(world: World, op: Operation) -> Body:
    """The servers first, then what the API shows."""
    body = {**op.args["after"], "state": "UPDATING"}
    body["nodes"] = nodes(body)
    body |= readers(body)
    _turn_auth(world, op.target, on=bool(body.get("authEnabled")))
    servers = plane.servers(world)
    if servers is not None:
        with plane.translated():
            servers.configure(plane.server(body), plane.wish(world, op.target, body))
    world.store.put(op.target, body)
    return _ended(world, op, settle(world, op.target, {}))


@service.failure("update")
def undo_update(world: World, op: Operation) -> None:
    """As it was before."""
    if op.target in world.store:
        world.store.put(op.target, op.args["before"])


def _turn_auth(world: World, key: str, *, on: bool) -> None:
    if not on:
        world.store.delete(auth_key(key))
    elif auth_key(key) not in world.store:
        world.store.put(auth_key(key), {"authString": str(uuid.uuid4())})


def _reading(body: Body) -> bool:
    return bool(body["readReplicasMode"] == "READ_REPLICAS_ENABLED")


@service.method(f"{INSTANCES}.delete")
def delete_instance(call: Call) -> Body:
    """There is no deletion protection (gcp-foundation section 3)."""
    key, body = ready(call, "delete")
    call.store.put(key, {**body, "state": "DELETING"})
    return start(call, "delete", key, {})


@service.finisher("delete", slow=True)
def finish_delete(world: World, op: Operation) -> Body:
    """Servers, data and AUTH string go."""
    body = world.store.get(op.target)
    if body is not None:
        plane.remove(world, body)
    world.store.delete(op.target)
    world.store.delete(auth_key(op.target))
    op.metadata["endTime"] = world.clock.rfc3339()
    return {}


@service.on("minute")
def every_minute(world: World) -> None:
    """Snapshots that fell due."""
    plane.take_snapshots(world)


@service.on("clock-advanced")
def after_a_leap(world: World, seconds: float) -> None:
    """The same."""
    plane.take_snapshots(world)


# -- locations and operations


def _region(location: str) -> Body:
    if location not in ZONES:
        raise errors.invalid(f"Location {location} is not found or access is unauthorized.")
    zones: Body = {f"{location}-{letter}": {} for letter in ZONES[location]}
    kind = "type.googleapis.com/google.cloud.redis.v1.LocationMetadata"
    return {"locationId": location, "metadata": {"@type": kind, "availableZones": zones}}


@service.method(f"{LOCATIONS}.get")
def get_location(call: Call) -> Body:
    """A region with its zones."""
    return {"name": call.name(), **_region(call.name().rsplit("/", 1)[-1])}


@service.method(f"{LOCATIONS}.list")
def list_locations(call: Call) -> Body:
    """The regions that the sandbox knows."""
    found = [{"name": f"{call.name()}/locations/{region}", **_region(region)} for region in sorted(ZONES)]
    return standard.page(found, call.params, "locations")


@service.method(f"{OPERATIONS}.get")
def get_operation(call: Call) -> Body:
    """One operation."""
    found = call.operations.get(f"operation/redis/{call.name()}")
    if found is None:
        raise errors.not_found(f"Operation '{call.name()}' was not found")
    return found.render()


@service.method(f"{OPERATIONS}.list")
def list_operations(call: Call) -> Body:
    """Operations of a location, newest first."""
    place = re.sub(r"/-$", "/", call.name())
    found = [op.render() for op in call.operations.all() if op.api == "redis" and op.name.startswith(place)]
    return standard.page(found[::-1], call.params, "operations")


@service.method(f"{OPERATIONS}.delete")
def delete_operation(call: Call) -> Body:
    """The record goes, the work goes on (google.longrunning, DeleteOperation)."""
    get_operation(call)
    call.store.delete(f"operation/redis/{call.name()}")
    return {}
