"""sql.instances: insert, get, list, patch, update, delete, and what their operations do."""

from __future__ import annotations

import re

from plantctl.sandbox import standard
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Call, World
from plantctl.sandbox.services import sqladmin_defaults as defaults
from plantctl.sandbox.services import sqladmin_network as network
from plantctl.sandbox.services import sqladmin_plane as plane
from plantctl.sandbox.services import sqladmin_rules as rules
from plantctl.sandbox.services.sqladmin_backups import final_backup, keep_backup
from plantctl.sandbox.services.sqladmin_base import (
    changed,
    claim,
    exists,
    find,
    invalid,
    key_of,
    no_instance,
    project_of,
    service,
    stale,
    start,
    stopped,
    under_way,
    wrong_state,
)
from plantctl.sandbox.services.sqladmin_databases import populate
from plantctl.sandbox.services.sqladmin_flags import restarts
from plantctl.sandbox.store import Body

PROTECTED = (
    "The instance is protected. Please disable the deletion protection and try again. To disable deletion protection, "
    "update the instance settings with deletionProtectionEnabled set to false."
)
FILTER = re.compile(r"\s*([\w.-]+)\s*(=|:|!=)\s*\"?([^\"]*?)\"?\s*")


@service.method("sql.instances.get")
def get_instance(call: Call) -> Body:
    """One instance; 404 instanceDoesNotExist."""
    return defaults.shown(call, _with_replicas(call.world, find(call)[1]))


@service.method("sql.instances.list")
def list_instances(call: Call) -> Body:
    """All instances of the project. `filter`: terms like `state:RUNNABLE` or `settings.userLabels.a:b`, with AND."""
    prefix = key_of(project_of(call), "")
    found = [defaults.shown(call, _with_replicas(call.world, body)) for _, body in call.store.list(prefix, direct=True)]
    for term in re.split(r"\s+AND\s+", str(call.params.get("filter") or "")):
        if term.strip():
            found = [body for body in found if _matches(body, term)]
    return {"kind": "sql#instancesList", **standard.page(found, call.params, "items", size_param="maxResults")}


def _matches(body: Body, term: str) -> bool:
    parsed = FILTER.fullmatch(term)
    if parsed is None:
        raise invalid(f"Invalid filter: {term}.")
    path, operator, wanted = parsed.groups()
    value: object = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    same = str(value) == wanted or (operator == ":" and wanted == "*" and value is not None)
    return same != (operator == "!=")


def _with_replicas(world: World, body: Body) -> Body:
    found = defaults.replicas(world, body)
    return {**body, "replicaNames": found} if found else body


@service.method("sql.instances.insert")
def insert_instance(call: Call) -> Body:
    """CREATE, or CREATE_REPLICA. Refuses at once what the rules refuse; what only shows on the network fails later."""
    project, name = project_of(call), str(call.body.get("name") or "")
    rules.check_name(project, name)
    rules.check_region(str(call.body.get("region") or "us-central1"))
    key = key_of(project, name)
    if key in call.store:
        raise exists()
    body = defaults.new_instance(call)
    rules.check({**body, "_new": True})
    network.check(call.world, body)
    args: Body = {"password": plane.deposit(str(call.body["rootPassword"]))} if call.body.get("rootPassword") else {}
    args |= {"also": [_master_of(call, body)]} if body.get("masterInstanceName") else {}
    kind, named = ("CREATE_REPLICA", str(body["masterInstanceName"])) if "also" in args else ("CREATE", name)
    timing = "sql.instances.insert" if plane.standby(body) else "sql.instances.insert.zonal"
    with call.store.transaction():
        claim(call, key, *args.get("also", ()))
        changed(call.world, key, body)
        # a replica's operation names its primary as the target (recorded exchange)
        return start(call, "create", kind, key, args=args, timing=timing, target_id=named)


def _master_of(call: Call, body: Body) -> str:
    key = defaults.master_key(body)
    master = call.store.get(key)
    if master is None:
        raise no_instance()
    if master["state"] != "RUNNABLE":
        raise wrong_state()
    backup = master["settings"]["backupConfiguration"]
    if not backup.get("enabled"):  # hazards Q17
        raise invalid("The primary instance must have automated backups enabled to create a replica.")
    return key


@service.finisher("create", slow=True)
def finish_create(world: World, operation: Operation) -> None:
    """Address, server, CA; then RUNNABLE."""
    body = under_way(world, operation)
    if body is None:
        return
    with world.store.transaction():  # claims the address before the server is made
        body["ipAddresses"] = network.addresses(world, body)
        changed(world, operation.target, body)
    _serve(world, body)
    plane.observe(world, body)
    populate(world, operation.target, body)
    if "password" in operation.args:
        _set_password(world, body, operation.args["password"])
    changed(world, operation.target, {**body, "state": "RUNNABLE"})


@service.failure("create")
@service.failure("clone")
def fail_create(world: World, operation: Operation) -> None:
    """The instance stays, FAILED and without addresses (hazards Q06)."""
    body = under_way(world, operation)
    if body is not None:
        body.pop("ipAddresses", None)
        changed(world, operation.target, {**body, "state": "FAILED"})


@service.failure("delete")
@service.failure("restore")
def fail_back(world: World, operation: Operation) -> None:
    """The instance is as it was."""
    body = under_way(world, operation)
    if body is not None:
        changed(world, operation.target, {**body, "state": operation.args.get("state", "RUNNABLE")})


def _serve(world: World, body: Body) -> None:
    servers = plane.postgres(world, body)
    name = plane.server(body)
    if servers is None or name in servers.names():  # made before a restart of the sandbox
        return
    plane.note_offset(world)
    with plane.translated():
        options = {
            "flags": plane.flags(body),
            "ssl_mode": body["settings"]["ipConfiguration"]["sslMode"],
            "names": plane.names(body),
            "high_availability": plane.standby(body),
        }
        if body.get("masterInstanceName"):
            # the replica holds its primary's data as of its creation; changes after that do not flow here
            master = world.store.get(defaults.master_key(body)) or {}
            servers.clone(plane.server(master), name, **options)
        else:
            servers.create(name, **options)
        if stopped(body):
            servers.stop(name)


def _set_password(world: World, body: Body, ticket: str) -> None:
    servers = plane.postgres(world, body)
    if servers is not None and not stopped(body):
        with plane.translated():
            servers.update_user(plane.server(body), "postgres", password=plane.withdraw(ticket))


@service.method("sql.instances.patch")
def patch_instance(call: Call) -> Body:
    """Merge patch; lists replace whole (gcp-foundation 0.3). UPDATE."""
    return _update(call, replace=False)


@service.method("sql.instances.update")
def update_instance(call: Call) -> Body:
    """PUT: settings start anew. UPDATE."""
    return _update(call, replace=True)


def _update(call: Call, *, replace: bool) -> Body:
    key, live = find(call)
    if live["state"] not in ("RUNNABLE", "MAINTENANCE"):
        raise wrong_state()
    settings = call.body.get("settings") or {}
    version = settings.get("settingsVersion")
    if version is not None and str(version) != live["settings"]["settingsVersion"]:
        raise stale()
    wanted = defaults.merged(live, call.body, replace=replace)
    rules.check_change(live, wanted)
    rules.check(wanted)
    rules.refuse_unsafe(wanted, call.body)
    network.check(call.world, wanted)
    restarting = needs_restart(live, wanted)
    timing = "sql.instances.patch.restart" if restarting else call.method.id
    args: Body = {"wanted": wanted, "restart": restarting}
    if call.body.get("rootPassword"):
        args["password"] = plane.deposit(str(call.body["rootPassword"]))
    return start(call, "update", "UPDATE", key, args=args, timing=timing)


def needs_restart(old: Body, new: Body) -> bool:
    """Whether an update restarts the server: machine, flags, PITR, query length (gcp-foundation 2)."""
    before, after = old["settings"], new["settings"]
    if stopped(old) or stopped(new):
        return False
    recovery = [bool(one["backupConfiguration"].get("pointInTimeRecoveryEnabled")) for one in (before, after)]
    length = [(one.get("insightsConfig") or {}).get("queryStringLength") for one in (before, after)]
    return (
        before["tier"] != after["tier"]
        or before["edition"] != after["edition"]
        or old["databaseVersion"] != new["databaseVersion"]
        or (not recovery[0] and recovery[1])
        or (None not in length and length[0] != length[1])
        or restarts(before.get("databaseFlags", []), after.get("databaseFlags", []))
    )


@service.finisher("update", slow=True)
def finish_update(world: World, operation: Operation) -> None:
    """The new settings come into force, on the server first; settingsVersion counts up where they differ."""
    live, wanted = under_way(world, operation), operation.args["wanted"]
    if live is None or live["settings"]["settingsVersion"] != wanted["settings"]["settingsVersion"]:
        return  # gone, or done before a restart of the sandbox
    wanted["ipAddresses"] = network.addresses(world, wanted)
    servers, name = plane.postgres(world, wanted), plane.server(wanted)
    if servers is not None:
        with plane.translated():
            if stopped(wanted) and not stopped(live):
                servers.stop(name)
            mode = wanted["settings"]["ipConfiguration"]["sslMode"]
            done = servers.configure(
                name, flags=plane.flags(wanted), ssl_mode=mode, high_availability=plane.standby(wanted)
            )
            if stopped(live) and not stopped(wanted):
                servers.start(name)
            elif operation.args["restart"] and not done.restarted_for:
                servers.restart(name)
            if plane.names(wanted) != plane.names(live):
                servers.add_names(name, plane.names(wanted))
    if "password" in operation.args:
        _set_password(world, wanted, operation.args["password"])
    plane.observe(world, wanted)
    changed(world, operation.target, wanted, bump=wanted["settings"] != live["settings"])


@service.method("sql.instances.delete")
def delete_instance(call: Call) -> Body:
    """DELETE; refused under deletion protection and while replicas exist. The name is free again at once (S 3)."""
    key, body = find(call)
    if body["settings"].get("deletionProtectionEnabled"):  # hazards Q11
        raise invalid(PROTECTED)
    if defaults.replicas(call.world, body):
        raise invalid("The instance has read replicas, which must be deleted first.")
    final = call.params.get("enableFinalBackup")
    config = body["settings"].get("finalBackupConfig") or {}
    wanted = str(final).lower() == "true" if final is not None else bool(config.get("enabled"))
    days = int(call.params.get("finalBackupTtlDays") or config.get("retentionDays") or 30)
    args: Body = {"final": wanted and body["state"] == "RUNNABLE", "days": days}
    args |= {"description": str(call.params.get("finalBackupDescription") or ""), "state": body["state"]}
    with call.store.transaction():
        answer = start(call, "delete", "DELETE", key, args=args)
        changed(call.world, key, {**body, "state": "PENDING_DELETE"})
    return answer


@service.finisher("delete", slow=True)
def finish_delete(world: World, operation: Operation) -> None:
    """The final backup, then the server, its databases, users and, unless retained, its backups."""
    body = under_way(world, operation)
    if body is None:
        return
    if operation.args["final"] and not stopped(body):
        final_backup(world, body, operation.args["days"], operation.args["description"])
    keep = bool(body["settings"].get("retainBackupsOnDelete")) or operation.args["final"]
    servers, name = plane.postgres(world, body), plane.server(body)
    if servers is not None and name in servers.names():
        with plane.translated():
            servers.delete(name, keep_backups=keep)
    with world.store.transaction():
        for key, child in world.store.list(f"{operation.target}/"):
            if "/backupRuns/" in key and body["settings"].get("retainBackupsOnDelete"):
                keep_backup(world, body, child, kind=child["type"])
            world.store.delete(key)
        world.store.delete(operation.target)
