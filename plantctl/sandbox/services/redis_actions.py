"""Memorystore for Redis: failover, export, import, upgrade, maintenance; what is done to an instance's servers."""

from __future__ import annotations

import re

from plantctl.sandbox import errors
from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services import redis_plane as plane
from plantctl.sandbox.services import redis_rules as rules
from plantctl.sandbox.services.redis_base import INSTANCES, bad, missing, ready, service, settle, start
from plantctl.sandbox.services.storage import bucket_key
from plantctl.sandbox.services.storage_objects import live_object, put_object, read_object

URI = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,221}[a-z0-9])/(.+)")


def _target(world: World, op: Operation) -> Body:
    body = world.store.get(op.target)
    if body is None:
        raise missing(op.target.removeprefix("redis/"))
    return body


def _done(world: World, op: Operation, changes: Body) -> Body:
    op.metadata["endTime"] = world.clock.rfc3339()
    return plane.shown(world, settle(world, op.target, changes))


def _back(world: World, op: Operation) -> None:
    """READY again after an operation that failed."""
    if op.target in world.store:
        settle(world, op.target, {})


for _verb in ("failover", "import", "upgrade"):
    service.failure(_verb)(_back)


# -- failover


@service.method(f"{INSTANCES}.failover")
def failover_instance(call: Call) -> Body:
    """Standard tier only (discovery); LIMITED_DATA_LOSS unless said otherwise."""
    key, body = ready(call, "failover")
    if body["tier"] != "STANDARD_HA":
        raise errors.failed_precondition("Failover is only supported on instances of the standard tier.")
    force = call.body.get("dataProtectionMode") == "FORCE_DATA_LOSS"
    return start(call, "failover", key, {"force": force, "from": plane.place(call.world, body)})


@service.finisher("failover", slow=True)
def finish_failover(world: World, op: Operation) -> Body:
    """The replica is the primary now; aborted when it is too far behind (manual failover page)."""
    body, servers = _target(world, op), plane.servers(world)
    after = 1 - int(op.args["from"])
    # a run that a restart cut off may have done it already
    if servers is not None and plane.place(world, body) != after:
        with plane.translated():
            servers.failover(plane.server(body), force=bool(op.args["force"]))
    zone = body["nodes"][after]["zone"]
    return _done(world, op, {"currentLocationId": zone, "sandboxPlace": after})


# -- export and import


def _place(config: Body, kind: str, field: str) -> tuple[str, str]:
    uri = str((config.get(kind) or {}).get("uri") or "")
    found = URI.fullmatch(uri)
    if found is None:
        raise bad("The URI must be of the form gs://bucket/object.", field, uri)
    return found.group(1), found.group(2)


def _rights(world: World, body: Body, bucket: str, *permissions: str) -> None:
    """The instance's own identity needs them on the bucket (import and export permissions page); words unverified."""
    identity = str(body["persistenceIamIdentity"])
    if world.store.get(bucket_key(bucket)) is None:
        raise errors.not_found(f"Bucket gs://{bucket} was not found.")
    lacking = [one for one in permissions if not world.access.allows(identity, one, bucket_key(bucket))]
    if lacking:
        who = identity.removeprefix("serviceAccount:")
        words = f"Service account {who} does not have the required permissions on bucket gs://{bucket}:"
        raise errors.denied(f"{words} {', '.join(lacking)}.")


@service.method(f"{INSTANCES}.export")
def export_instance(call: Call) -> Body:
    """Redis serves on; rights and bucket are looked at in the operation."""
    _place(call.body.get("outputConfig") or {}, "gcsDestination", "output_config.gcs_destination.uri")
    key, _ = ready(call, "export")
    return start(call, "export", key, {"config": call.body["outputConfig"]})


@service.finisher("export", slow=True)
def finish_export(world: World, op: Operation) -> Body:
    """An RDB file; an existing object is overwritten (discovery), for which Cloud Storage asks one right more."""
    body, servers = _target(world, op), plane.servers(world)
    bucket, name = _place(op.args["config"], "gcsDestination", "uri")
    overwrite = ["storage.objects.delete"] if live_object(world, bucket, name) else []
    _rights(world, body, bucket, "storage.buckets.get", "storage.objects.create", *overwrite)
    data = b""
    if servers is not None:
        with plane.translated():
            data = servers.export_rdb(plane.server(body))
    put_object(world, bucket, name, data, "application/octet-stream")
    return _done(world, op, {})


@service.method(f"{INSTANCES}.import")
def import_instance(call: Call) -> Body:
    """IMPORTING to the end; all data are replaced (hazards R11)."""
    _place(call.body.get("inputConfig") or {}, "gcsSource", "input_config.gcs_source.uri")
    key, _ = ready(call, "import")
    return start(call, "import", key, {"config": call.body["inputConfig"]})


@service.finisher("import", slow=True)
def finish_import(world: World, op: Operation) -> Body:
    """A file that cannot be read leaves the old data; Google's page says that they may be lost."""
    body, servers = _target(world, op), plane.servers(world)
    bucket, name = _place(op.args["config"], "gcsSource", "uri")
    _rights(world, body, bucket, "storage.buckets.get", "storage.objects.get")
    data = read_object(world, bucket, name)
    if servers is not None:
        with plane.translated():
            servers.import_rdb(plane.server(body), data)
    return _done(world, op, {})


# -- version and maintenance


@service.method(f"{INSTANCES}.upgrade")
def upgrade_instance(call: Call) -> Body:
    """Up only (hazards R08)."""
    version = str(call.body.get("redisVersion") or "")
    key, body = ready(call, "upgrade")
    if rules.older(version, body["redisVersion"]):
        words = f"Cannot upgrade from {body['redisVersion']} to {version}."
        raise bad(words, "redis_version", version)
    return start(call, "upgrade", key, {"version": version, "from": plane.place(call.world, body)})


@service.finisher("upgrade", slow=True)
def finish_upgrade(world: World, op: Operation) -> Body:
    """Connections break and data stay, as on Google; the server that really runs is the same as before."""
    body, servers = _target(world, op), plane.servers(world)
    if servers is not None:
        name = plane.server(body)
        with plane.translated():
            if body["tier"] != "STANDARD_HA":
                servers.import_rdb(name, servers.export_rdb(name))
            elif plane.place(world, body) == op.args["from"]:
                servers.failover(name)
    return _done(world, op, {"redisVersion": op.args["version"]})


@service.method(f"{INSTANCES}.rescheduleMaintenance")
def reschedule_maintenance(call: Call) -> Body:
    """Refused: nothing is ever scheduled here, for the sandbox maintains nothing (words unverified)."""
    ready(call, "reschedule maintenance")
    if call.body.get("rescheduleType") == "SPECIFIC_TIME" and not call.body.get("scheduleTime"):
        raise bad("Schedule time must be set for SPECIFIC_TIME.", "schedule_time")  # discovery
    raise ApiError("FAILED_PRECONDITION", "There is no scheduled maintenance on this instance.")
