"""sql.instances: restart, failover, clone, restoreBackup, promoteReplica."""

from __future__ import annotations

from datetime import datetime

from plantctl.sandbox import errors
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Call, World
from plantctl.sandbox.services import sqladmin_defaults as defaults
from plantctl.sandbox.services import sqladmin_network as network
from plantctl.sandbox.services import sqladmin_plane as plane
from plantctl.sandbox.services import sqladmin_rules as rules
from plantctl.sandbox.services.sqladmin_backups import recovery_window, run_key
from plantctl.sandbox.services.sqladmin_base import (
    changed,
    claim,
    exists,
    invalid,
    key_of,
    running,
    service,
    stale,
    start,
    under_way,
)
from plantctl.sandbox.services.sqladmin_databases import populate
from plantctl.sandbox.store import Body


@service.method("sql.instances.restart")
def restart_instance(call: Call) -> Body:
    """RESTART."""
    key, _ = running(call)
    return start(call, "restart", "RESTART", key)


@service.finisher("restart", slow=True)
def finish_restart(world: World, operation: Operation) -> None:
    """The server stops and starts; connections break."""
    body = under_way(world, operation)
    servers = plane.postgres(world, body) if body else None
    if body is not None and servers is not None:
        with plane.translated():
            servers.restart(plane.server(body))


@service.method("sql.instances.failover")
def failover_instance(call: Call) -> Body:
    """FAILOVER; needs REGIONAL and the present settingsVersion (gcp-foundation section 2, database.instance.ha)."""
    key, body = running(call)
    if not plane.standby(body):
        raise invalid("The instance is not configured for high availability.")
    version = (call.body.get("failoverContext") or {}).get("settingsVersion")
    if version is not None and str(version) != body["settings"]["settingsVersion"]:
        raise stale()
    return start(call, "failover", "FAILOVER", key)


@service.finisher("failover", slow=True)
def finish_failover(world: World, operation: Operation) -> None:
    """The standby takes over; the zones change places, the address stays (hazards Q16)."""
    body = under_way(world, operation)
    if body is None:
        return
    servers = plane.postgres(world, body)
    if servers is not None:
        with plane.translated():
            servers.failover(plane.server(body))
    body["gceZone"], body["secondaryGceZone"] = body["secondaryGceZone"], body["gceZone"]
    changed(world, operation.target, body)


@service.method("sql.instances.clone")
def clone_instance(call: Call) -> Body:
    """CLONE into a new instance, as it is now or as of `pointInTime`; settings are the source's (gcp-foundation 5).

    That the source is busy meanwhile, and that a moment outside the window is refused at once, is unverified.
    """
    source_key, source = running(call)
    context = call.body.get("cloneContext") or {}
    name, project = str(context.get("destinationInstanceName") or ""), str(source["project"])
    rules.check_name(project, name)
    key = key_of(project, name)
    if key in call.store:
        raise exists()
    args: Body = {"also": [source_key], "source": source_key}
    if context.get("pointInTime"):
        args["moment"] = _moment(call, source_key, source, str(context["pointInTime"]))
    body = _copy(call, source, name)
    for field, target in (("preferredZone", "zone"), ("preferredSecondaryZone", "secondaryZone")):
        if context.get(field):
            body["settings"]["locationPreference"][target] = context[field]
    if context.get("allocatedIpRange"):
        body["settings"]["ipConfiguration"]["allocatedIpRange"] = context["allocatedIpRange"]
    network.check(call.world, body)
    with call.store.transaction():
        claim(call, key, source_key)
        changed(call.world, key, body)
        return start(call, "clone", "CLONE", key, args=args)


def _moment(call: Call, key: str, source: Body, text: str) -> str:
    if not source["settings"]["backupConfiguration"].get("pointInTimeRecoveryEnabled"):
        raise invalid("Point-in-time recovery is not enabled for the source instance.")
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise invalid(f"Invalid pointInTime: {text}.") from None
    if moment.tzinfo is None:
        raise invalid(f"Invalid pointInTime: {text}.")
    earliest, latest = recovery_window(call.world, key, source)
    if earliest is None or not earliest <= moment <= max(latest, call.clock.now()):
        span = f"{earliest and call.clock.rfc3339(earliest)} to {call.clock.rfc3339(latest)}"
        raise invalid(f"The point in time {text} is outside of what can be recovered: {span}.")
    return moment.isoformat()


def _copy(call: Call, source: Body, name: str) -> Body:
    copied = ("databaseVersion", "region", "settings", "diskEncryptionConfiguration")
    request: Body = {"name": name, **{field: source[field] for field in copied if field in source}}
    body = defaults.new_instance(
        Call(method=call.method, params=call.params, body=request, world=call.world, principal=call.principal)
    )
    return {**body, "maintenanceVersion": source["maintenanceVersion"], "gceZone": source["gceZone"]}


@service.finisher("clone", slow=True)
def finish_clone(world: World, operation: Operation) -> None:
    """The new instance gets an address, certificates and a server of its own, and the source's data."""
    body, source = under_way(world, operation), world.store.get(operation.args["source"])
    if body is None or source is None:
        return
    with world.store.transaction():
        body["ipAddresses"] = network.addresses(world, body)
        changed(world, operation.target, body)
    _clone_server(world, source, body, operation.args.get("moment"))
    plane.observe(world, body)
    populate(world, operation.target, body)
    for key, child in world.store.list(f"{operation.args['source']}/"):
        if "/databases/" in key or "/users/" in key:
            world.store.put(key.replace(operation.args["source"], operation.target, 1), child)
    changed(world, operation.target, {**body, "state": "RUNNABLE"})


def _clone_server(world: World, source: Body, body: Body, moment: str | None) -> None:
    servers, name = plane.postgres(world, body), plane.server(body)
    if servers is None or name in servers.names():  # made before a restart of the sandbox
        return
    with plane.translated():
        servers.clone(
            plane.server(source),
            name,
            point_in_time=plane.to_wall(world, datetime.fromisoformat(moment)) if moment else None,
            flags=plane.flags(body),
            ssl_mode=body["settings"]["ipConfiguration"]["sslMode"],
            names=plane.names(body),
            high_availability=plane.standby(body),
        )


@service.method("sql.instances.restoreBackup")
def restore_backup(call: Call) -> Body:
    """RESTORE_VOLUME on the target: all its data is replaced, replicas must be gone (gcp-foundation section 5)."""
    key, body = running(call)
    if defaults.replicas(call.world, body):
        raise invalid("The instance has read replicas, which must be deleted before a restore.")
    version, disk, args = _source(call, body)
    if version != body["databaseVersion"]:
        raise invalid(f"The backup is of {version}, the instance is {body['databaseVersion']}.")
    if disk > int(body["settings"]["dataDiskSizeGb"]):  # hazards Q15
        raise invalid("The disk of the target instance is smaller than that of the backup's source.")
    with call.store.transaction():
        answer = start(call, "restore", "RESTORE_VOLUME", key, args=args)
        # "unavailable meanwhile" (gcp-foundation section 5); that the state then reads MAINTENANCE is unverified
        changed(call.world, key, {**body, "state": "MAINTENANCE"})
    return answer


def _source(call: Call, body: Body) -> tuple[str, int, Body]:
    """Version and disk of what is to be restored, and the finisher's args (server and id of the backup)."""
    if call.body.get("backup"):
        kept = call.store.get(f"sqladmin/{call.world.canonical(str(call.body['backup']))}")
        if kept is None:
            raise errors.not_found("Backup does not exist.")
        disk = int(kept["instanceSettings"]["settings"]["dataDiskSizeGb"])
        args: Body = {
            "server": plane.server_name(body["project"], kept["instance"]),
            "run": kept["name"].rpartition("/")[2],
        }
        return str(kept["databaseVersion"]), disk, args
    context = call.body.get("restoreBackupContext") or {}
    project = call.world.project_id(str(context.get("project") or call.project))
    name = str(context.get("instanceId") or body["name"]).rpartition(":")[2]
    source = call.store.get(key_of(project, name))
    run = call.store.get(run_key(key_of(project, name), str(context.get("backupRunId", ""))))
    if source is None or run is None:
        raise errors.not_found("Backup run does not exist.", "backupRunDoesNotExist")
    if run["status"] != "SUCCESSFUL":
        raise invalid("The backup run is not successful.")
    return (
        str(run["databaseVersion"]),
        int(source["settings"]["dataDiskSizeGb"]),
        {
            "server": plane.server(source),
            "run": run["id"],
        },
    )


@service.finisher("restore", slow=True)
def finish_restore(world: World, operation: Operation) -> None:
    """The data is the backup's; the backup configuration falls back to its defaults (gcp-foundation section 5, S 2)."""
    body = under_way(world, operation)
    if body is None:
        return
    servers = plane.postgres(world, body)
    if servers is not None:
        with plane.translated():
            servers.restore(plane.server(body), operation.args["run"], source=operation.args["server"])
    body["state"] = "RUNNABLE"
    settings = body["settings"]
    seed = f"{body['project']}/{body['name']}"
    settings["backupConfiguration"] = defaults.backups(None, body["databaseVersion"], settings["edition"], seed)
    changed(world, operation.target, body, bump=True)


@service.method("sql.instances.promoteReplica")
def promote_replica(call: Call) -> Body:
    """PROMOTE_REPLICA; one way (gcp-foundation section 2, database.instance.ha)."""
    key, body = running(call)
    if not body.get("masterInstanceName"):
        raise invalid("The instance is not a read replica.")
    return start(call, "promote", "PROMOTE_REPLICA", key)


@service.finisher("promote", slow=True)
def finish_promote(world: World, operation: Operation) -> None:
    """The replica stands alone, with all that its primary has at this moment: it is copied anew."""
    body = under_way(world, operation)
    if body is None or not body.get("masterInstanceName"):
        return
    servers, name = plane.postgres(world, body), plane.server(body)
    master = world.store.get(defaults.master_key(body))
    if servers is not None and master is not None and servers.describe(plane.server(master)).state == "RUNNING":
        with plane.translated():
            servers.delete(name, keep_backups=True)
        _clone_server(world, master, body, None)
        plane.observe(world, body)
    del body["masterInstanceName"]
    body["instanceType"] = "CLOUD_SQL_INSTANCE"
    changed(world, operation.target, body, bump=True)
