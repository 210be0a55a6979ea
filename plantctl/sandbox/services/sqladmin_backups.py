"""sql.backupRuns and sql.Backups: on demand, automatic on the sandbox's clock, final; how far back one can go."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Call, Method, World
from plantctl.sandbox.services import sqladmin_plane as plane
from plantctl.sandbox.services.sqladmin_base import (
    claim,
    find,
    invalid,
    link,
    project_of,
    root,
    running,
    service,
    start,
    stopped,
    under_way,
)
from plantctl.sandbox.store import Body

AGENT = "serviceAccount:system@gcp-sa-cloud-sql.iam.gserviceaccount.com"
LATENCY = timedelta(minutes=5)
"""How far the archived log trails the present, without a real server to ask (gcp-foundation section 5: 10 min)."""


def run_key(key: str, run: str) -> str:
    """Store key of one backup run of the instance under `key`."""
    return f"{key}/backupRuns/{run}"


def runs(world: World, key: str) -> list[Body]:
    """Backup runs of an instance, newest first, as the API lists them."""
    return [body for _, body in reversed(world.store.list(f"{key}/backupRuns/"))]


def new_run(world: World, key: str, body: Body, kind: str, description: str = "", window: str = "") -> Body:
    """Keep a new run, ENQUEUED. Its id is the time in milliseconds, as Google's are."""
    now, number = world.clock.millis(), int(world.clock.now().timestamp() * 1000)
    while run_key(key, str(number)) in world.store:
        number += 1
    run: Body = {
        "kind": "sql#backupRun",
        "id": str(number),
        "instance": body["name"],
        "status": "ENQUEUED",
        "type": kind,
        "backupKind": "SNAPSHOT",
        "databaseVersion": body["databaseVersion"],
        "enqueuedTime": now,
        "windowStartTime": window or now,
        "location": body["settings"]["backupConfiguration"].get("location", "us"),
    }
    if description:
        run["description"] = description
    return world.store.put(run_key(key, run["id"]), run)


def take(world: World, key: str, body: Body, run: Body) -> Body:
    """Do the backup; raises ApiError."""
    servers = plane.postgres(world, body)
    run |= {"status": "RUNNING", "startTime": world.clock.millis()}
    world.store.put(run_key(key, run["id"]), run)
    plane.note_offset(world)
    if servers is not None and all(one.id != run["id"] for one in servers.backups(plane.server(body))):
        with plane.translated():
            run["maxChargeableBytes"] = str(servers.backup(plane.server(body), run["id"]).size_bytes)
    run |= {"status": "SUCCESSFUL", "endTime": world.clock.millis()}
    return world.store.put(run_key(key, run["id"]), run)


def _shown(call: Call, run: Body) -> Body:
    return {**run, "selfLink": link(call, f"instances/{run['instance']}/backupRuns/{run['id']}")}


def _found(call: Call) -> tuple[str, Body]:
    key, _ = find(call)
    run = call.store.get(run_key(key, str(call.params["id"])))
    if run is None:
        raise errors.not_found("Backup run does not exist.", "backupRunDoesNotExist")  # words unverified
    return key, run


@service.method("sql.backupRuns.list")
def list_runs(call: Call) -> Body:
    """Newest first; `-` as the instance means all of the project."""
    if call.params["instance"] == "-":
        prefix = f"sqladmin/projects/{project_of(call)}/instances/"
        keys = [key for key, _ in call.store.list(prefix, direct=True)]
    else:
        keys = [find(call)[0]]
    on_tick(call.world)  # a window that opened meanwhile has its run, also where nobody advanced the clock
    found = [_shown(call, run) for key in keys for run in runs(call.world, key)]
    return {"kind": "sql#backupRunsList", **standard.page(found, call.params, "items", size_param="maxResults")}


@service.method("sql.backupRuns.get")
def get_run(call: Call) -> Body:
    """One run."""
    return _shown(call, _found(call)[1])


@service.method("sql.backupRuns.insert")
def insert_run(call: Call) -> Body:
    """BACKUP_VOLUME; the operation carries the id in backupContext (gcp-foundation section 5)."""
    key, body = running(call)
    if body.get("masterInstanceName"):
        raise invalid("Backups cannot be taken of a read replica.")
    return _start(call, key, body, "ON_DEMAND", description=str(call.body.get("description") or ""))


def _start(
    call: Call, key: str, body: Body, kind: str, *, description: str = "", windows: tuple[str, ...] = ("",)
) -> Body:
    with call.store.transaction():
        claim(call, key)
        made = [new_run(call.world, key, body, kind, description, window) for window in windows]
        for run in made:
            if call.body.get("location"):
                call.store.put(run_key(key, run["id"]), {**run, "location": call.body["location"]})
        args: Body = {"runs": [run["id"] for run in made]}
        context = {"backupContext": {"kind": "sql#backupContext", "backupId": args["runs"][0]}}
        return start(call, "backup", "BACKUP_VOLUME", key, args=args, extra=context)


@service.finisher("backup", slow=True)
def finish_backup(world: World, operation: Operation) -> None:
    """The base backups; automatic ones beyond the number to retain go, and the log that is too old."""
    body = under_way(world, operation)
    if body is None:
        return
    for name in operation.args["runs"]:
        run = world.store.get(run_key(operation.target, name))
        if run is not None:
            take(world, operation.target, body, run)
    keep = int(body["settings"]["backupConfiguration"]["backupRetentionSettings"].get("retainedBackups", 7))
    automatic = [one for one in runs(world, operation.target) if one["type"] == "AUTOMATED"]
    for old in automatic[keep:]:
        _drop(world, operation.target, body, old["id"])
    trim(world, body)


@service.failure("backup")
def fail_backup(world: World, operation: Operation) -> None:
    """What was not taken stands FAILED (hazards Q13)."""
    error = operation.error or {}
    for name in operation.args["runs"]:
        run = world.store.get(run_key(operation.target, name))
        if run is not None and run["status"] in ("ENQUEUED", "RUNNING"):
            run |= {"status": "FAILED", "endTime": world.clock.millis()}
            run["error"] = {"kind": "sql#operationError", "code": error.get("code"), "message": error.get("message")}
            world.store.put(run_key(operation.target, name), run)


def _drop(world: World, key: str, body: Body, run: str) -> None:
    servers = plane.postgres(world, body)
    if servers is not None and any(one.id == run for one in servers.backups(plane.server(body))):
        with plane.translated():
            servers.delete_backup(plane.server(body), run)
    world.store.delete(run_key(key, run))


@service.method("sql.backupRuns.delete")
def delete_run(call: Call) -> Body:
    """DELETE_BACKUP."""
    key, run = _found(call)
    with call.store.transaction():
        answer = start(call, "delete_backup", "DELETE_BACKUP", key, args={"run": run["id"]})
        call.store.put(run_key(key, run["id"]), {**run, "status": "DELETION_PENDING"})
    return answer


@service.failure("delete_backup")
def fail_delete_run(world: World, operation: Operation) -> None:
    """The run stays, DELETION_FAILED."""
    run = world.store.get(run_key(operation.target, operation.args["run"]))
    if run is not None:
        world.store.put(run_key(operation.target, run["id"]), {**run, "status": "DELETION_FAILED"})


@service.finisher("delete_backup", slow=True)
def finish_delete_run(world: World, operation: Operation) -> None:
    """The run and its data go."""
    body = under_way(world, operation)
    if body is not None:
        _drop(world, operation.target, body, operation.args["run"])


# -- automatic backups


@service.on("clock-advanced")
def on_clock_advanced(world: World, **_: Any) -> None:
    """Automatic backups and expiry fire on the sandbox's clock."""
    on_tick(world)


def on_tick(world: World) -> None:
    """Start the automatic backups whose window has opened, and forget log and final backups that are too old.

    Called when the sandbox's clock was advanced and when somebody looks at backups; more often does no harm. After a
    leap over several windows there is one run for each, as many as are retained: nothing changed in between.
    """
    plane.note_offset(world)
    for key, body in world.store.list("sqladmin/projects/"):
        parts = key.split("/")
        if len(parts) == 5 and parts[3] == "backups" and body.get("expiryTime", "~") < world.clock.millis():
            _drop_final(world, key, body)
        if len(parts) == 5 and parts[3] == "instances":
            _tick(world, key, body)


def _tick(world: World, key: str, body: Body) -> None:
    backup = body["settings"]["backupConfiguration"]
    if body["state"] != "RUNNABLE" or stopped(body) or not backup.get("enabled") or body.get("masterInstanceName"):
        return
    due = windows(body, runs(world, key), world.clock.now())
    if not due or world.operations.of_target(key, running=True):
        return  # the window is four hours long (gcp-foundation section 2, S 5): the next call finds the instance free
    method = Method("sql.backupRuns.insert", "sqladmin", "v1", "POST", "", None, "Operation", mutating=True)
    params = {"project": body["project"], "instance": body["name"]}
    call = Call(method=method, params=params, body={}, world=world, principal=AGENT)
    _start(call, key, body, "AUTOMATED", windows=tuple(day.strftime("%Y-%m-%dT%H:%M:%S.000Z") for day in due))


def windows(body: Body, taken: list[Body], now: datetime) -> list[datetime]:
    """Starts of the daily windows that have opened since creation and have no run yet, oldest first."""
    backup = body["settings"]["backupConfiguration"]
    hour, minute = (int(part) for part in backup["startTime"].split(":"))
    had = {run["windowStartTime"][:10] for run in taken if run["type"] == "AUTOMATED"}
    since = datetime.fromisoformat(body["createTime"].replace("Z", "+00:00"))
    newest = max((run["windowStartTime"] for run in taken if run["type"] == "AUTOMATED"), default="")
    day = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    due: list[datetime] = []
    for _ in range(int(backup["backupRetentionSettings"].get("retainedBackups", 7))):
        if since <= day <= now and day.strftime("%Y-%m-%d") not in had and day.strftime("%Y-%m-%d") > newest[:10]:
            due.insert(0, day)
        day -= timedelta(days=1)
    return due


def trim(world: World, body: Body) -> None:
    """Forget the log that is older than transactionLogRetentionDays."""
    servers = plane.postgres(world, body)
    if servers is None:
        return
    days = int(body["settings"]["backupConfiguration"]["transactionLogRetentionDays"])
    with plane.translated():
        servers.trim(plane.server(body), plane.to_wall(world, world.clock.now() - timedelta(days=days)))


# -- how far back


@service.method("sql.projects.instances.getLatestRecoveryTime", blocking=True)
def latest_recovery_time(call: Call) -> Body:
    """Earliest and latest moment that a clone can be asked for; 400 without point-in-time recovery."""
    key, body = find(call)
    if not body["settings"]["backupConfiguration"].get("pointInTimeRecoveryEnabled"):
        raise invalid("Point-in-time recovery is not enabled for the instance.")
    earliest, latest = recovery_window(call.world, key, body)
    if earliest is None:
        raise invalid("There is no backup yet from which the instance could be recovered.")
    return {
        "kind": "sql#getLatestRecoveryTime",
        "earliestRecoveryTime": call.clock.rfc3339(earliest),
        "latestRecoveryTime": call.clock.rfc3339(latest),
    }


def recovery_window(world: World, key: str, body: Body) -> tuple[datetime | None, datetime]:
    """The window in sandbox time, never before the retained log's first day."""
    days = int(body["settings"]["backupConfiguration"]["transactionLogRetentionDays"])
    oldest = world.clock.now() - timedelta(days=days)
    servers = plane.postgres(world, body)
    if servers is not None:
        with plane.translated():
            earliest, latest = servers.recovery_window(plane.server(body))
        begin = plane.to_sandbox(world, earliest) if earliest else None
        return (max(begin, oldest) if begin else None), plane.to_sandbox(world, latest)
    done = [run["endTime"] for run in runs(world, key) if run["status"] == "SUCCESSFUL"]
    begin = datetime.fromisoformat(min(done, default=body["createTime"]).replace("Z", "+00:00"))
    return max(begin, oldest), max(begin, world.clock.now() - LATENCY)


# -- backups that outlive their instance


def final_backup(world: World, body: Body, days: int, description: str) -> None:
    """Take the backup that stays after the instance's deletion, for so many days."""
    key = f"sqladmin/projects/{body['project']}/instances/{body['name']}"
    run = new_run(world, key, body, "ON_DEMAND", description)
    try:
        run = take(world, key, body, run)
    finally:
        world.store.delete(run_key(key, run["id"]))  # no run of the instance: it is shown among the project's backups
    keep_backup(world, body, run, kind="FINAL", days=days)


def keep_backup(world: World, body: Body, run: Body, *, kind: str, days: int = 0) -> None:
    """Show a run as a project-level backup, which needs no instance."""
    name = f"projects/{body['project']}/backups/{run['id']}"
    backup: Body = {
        "kind": "sql#backup",
        "name": name,
        "instance": body["name"],
        "type": kind,
        "state": "SUCCESSFUL",
        "backupKind": "SNAPSHOT",
        "databaseVersion": body["databaseVersion"],
        "location": run["location"],
        "instanceSettings": {k: v for k, v in body.items() if not k.startswith("_") and k != "serverCaCert"},
        "backupInterval": {"startTime": run.get("startTime", ""), "endTime": run.get("endTime", "")},
        "backupRun": f"projects/{body['project']}/instances/{body['name']}/backupRuns/{run['id']}",
    }
    if run.get("description"):
        backup["description"] = run["description"]
    if days:
        backup |= {"ttlDays": str(days), "expiryTime": world.clock.rfc3339(world.clock.now() + timedelta(days=days))}
    world.store.put(f"sqladmin/{name}", backup)


def _drop_final(world: World, key: str, backup: Body) -> None:
    servers = world.plane.postgres if world.plane else None
    run = backup["name"].rpartition("/")[2]
    server = plane.server_name(key.split("/")[2], backup["instance"])
    if servers is not None and any(one.id == run for one in servers.backups(server)):
        servers.delete_backup(server, run)
    world.store.delete(key)


@service.method("sql.Backups.ListBackups", versions=("v1",))
@service.method("sql.backups.listBackups", versions=("v1beta4",))
def list_backups(call: Call) -> Body:
    """Final and retained backups of the project, newest first; `filter` is `instance=NAME` or `type=FINAL`."""
    project = call.name("parent").split("/")[1]
    found = [body for _, body in reversed(call.store.list(f"sqladmin/projects/{project}/backups/"))]
    for term in str(call.params.get("filter") or "").replace('"', "").split(" AND "):
        field, _, wanted = term.partition("=" if "=" in term else ":")
        if field.strip():
            found = [body for body in found if str(body.get(field.strip(), "")) == wanted.strip()]
    return standard.page([_backup(call, body) for body in found], call.params, "backups")


@service.method("sql.Backups.GetBackup", versions=("v1",))
@service.method("sql.backups.getBackup", versions=("v1beta4",))
def get_backup(call: Call) -> Body:
    """One backup that outlived its instance."""
    found = call.store.get(f"sqladmin/{call.name()}")
    if found is None:
        raise errors.not_found("Backup does not exist.")
    return _backup(call, found)


def _backup(call: Call, body: Body) -> Body:
    return {**body, "selfLink": f"{root(call.method.version)}/{body['name']}"}
