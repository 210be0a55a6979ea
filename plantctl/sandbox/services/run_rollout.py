"""Roll-outs of Cloud Run: a new revision is brought up beside the old, then traffic moves, then the old one drains."""

from __future__ import annotations

import logging
import threading

from plantctl.sandbox import errors
from plantctl.sandbox.dataplane.edge import Route
from plantctl.sandbox.dataplane.instance import Plan
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, World
from plantctl.sandbox.services import run_addresses, run_admit, run_serving
from plantctl.sandbox.services.run import service
from plantctl.sandbox.services.run_conditions import Failure, condition, not_ready
from plantctl.sandbox.services.run_logs import RunLogs
from plantctl.sandbox.services.run_revisioned import SERVICES, WORKER_POOLS, kind_of

log = logging.getLogger("plantctl.sandbox")
WARM_S = 120.0
_locks: dict[str, threading.Lock] = {}
"""One roll-out at a time moves the traffic of a resource; `setdefault` on it is atomic."""


@service.finisher("deploy", slow=True)
def finish_deploy(world: World, op: Operation) -> Body:
    """Bring the new revision up, if there is one, and move traffic; the operation fails with the revision.

    The resource stays either way, and what served goes on serving (gcp section 0.4).
    """
    key, revision = str(op.args["key"]), str(op.args["revision"])
    failure = run_serving.bring_up(world, revision) if revision else None
    with _locks.setdefault(key, threading.Lock()):
        body = _settle(world, key, revision, failure)
        _move(world, key)
    if failure is not None:
        raise errors.failed_precondition(not_ready(revision.rsplit("/", 1)[1], failure).message)
    return body


@service.failure("deploy")
def fail_deploy(world: World, op: Operation) -> None:
    """An operation that ended in an error without a roll-out leaves the resource failed, not at work for ever."""
    body = world.store.get(op.args["key"])
    mine = body is not None and body["generation"] == op.args["body"]["generation"]
    if body is not None and mine and body.get("reconciling"):
        message = str((op.error or {}).get("message", ""))
        failure = Failure(message=message, reason="INTERNAL")
        if op.args["revision"]:
            _settle_revision(world, op.args["revision"], failure)
        body.pop("reconciling")
        world.store.put(op.args["key"], body | {"terminalCondition": condition(world, "Ready", failure)})


@service.finisher("undeploy", slow=True)
def finish_undeploy(world: World, op: Operation) -> Body:
    """Nobody finds it any more, its instances drain, and it is gone with its revisions."""
    key = str(op.args["key"])
    with _locks.setdefault(key, threading.Lock()):
        if world.plane is not None:
            world.plane.serving.route(key, {})
            world.plane.serving.retire(world.plane.serving.running(f"{key}/"))
        with world.store.transaction():
            for below, _ in world.store.list(f"{key}/"):
                world.store.delete(below)
            world.store.delete(key)
            world.store.delete(f"iam-policy/{key}")
    body: Body = op.args["body"]
    return body


def _settle(world: World, key: str, revision: str, failure: Failure | None) -> Body:
    """Write what became of the revision, and of the resource if this was its newest."""
    with world.store.transaction():
        body = world.store.get(key)
        if body is None:
            raise errors.not_found(f"{kind_of(key).word} {key.removeprefix('run/')} was deleted.")
        if revision:
            _settle_revision(world, revision, failure)
        newest = not revision or body["latestCreatedRevision"] == revision.removeprefix("run/")
        ready = [k for k, _ in world.store.list(f"{key}/revisions/") if run_serving.is_ready(world, k)]
        if ready:
            body["latestReadyRevision"] = ready[-1].removeprefix("run/")
        if newest:
            _settle_resource(world, key, body, _standing(world, body, revision, failure))
        return world.store.put(key, body)


def _standing(world: World, body: Body, revision: str, failure: Failure | None) -> Failure | None:
    """The resource's failure: that of this roll-out, or, where it made no revision, of its newest revision."""
    if revision:
        return not_ready(revision.rsplit("/", 1)[1], failure) if failure else None
    newest = str(body.get("latestCreatedRevision", ""))
    for one in (world.store.get(f"run/{newest}") or {}).get("conditions", []):
        if one["type"] == "Ready" and one["state"] == "CONDITION_FAILED":
            told = Failure(
                message=str(one.get("message", "")),
                reason=str(one.get("reason", "")),
                revision_reason=str(one.get("revisionReason", "")),
            )
            # traffic that does not ask for the failed revision is well served
            asks = any(not target.get("revision") for target in body.get("traffic") or [{}])
            return not_ready(newest.rsplit("/", 1)[1], told) if asks else None
    return None


def _settle_resource(world: World, key: str, body: Body, failure: Failure | None) -> None:
    body.pop("reconciling", None)
    body["observedGeneration"] = body["generation"]
    body["terminalCondition"] = condition(world, "Ready", failure)
    if not kind_of(key).serves:
        body["instanceSplitStatuses"] = body.get("instanceSplits") or [
            {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST", "percent": 100}
        ]
        return
    body["conditions"] = [condition(world, "RoutesReady"), condition(world, "ConfigurationsReady", failure)]
    body["trafficStatuses"] = [
        dict(target)
        for target in body.get("traffic") or [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    ]
    run_addresses.put_addresses(world, body)


def _settle_revision(world: World, key: str, failure: Failure | None) -> None:
    revision = world.store.get(key)
    if revision is None:
        return
    revision.pop("reconciling", None)
    kinds = ["Ready", "ContainerHealthy", "ContainerReady", "ResourcesAvailable"]
    culprit = {"CONTAINER_MISSING": "ContainerReady", "CONTAINER_PERMISSION_DENIED": "ContainerReady"}
    failed = {"Ready"}
    if failure is not None:
        healthy = failure.revision_reason == "HEALTH_CHECK_CONTAINER_ERROR"
        failed.add("ContainerHealthy" if healthy else culprit.get(failure.reason, "ResourcesAvailable"))
    revision |= {
        "observedGeneration": "1",
        "updateTime": world.clock.rfc3339(),
        "conditions": [condition(world, kind, failure if kind in failed else None) for kind in kinds],
    }
    world.store.put(key, revision)


def _move(world: World, key: str, *, wait: bool = True) -> None:
    """Bring up what traffic reaches, then send requests there, then drain the rest."""
    body, plane = world.store.get(key), world.plane
    if body is None or plane is None:
        return
    wanted = run_serving.reachable(world, key)
    for one, minimum in wanted.items():
        plane.serving.keep(_plan(world, one), minimum)
    if wait:
        for one in wanted:
            plane.serving.wait_ready(one, WARM_S)
    if kind_of(key).serves:
        plane.serving.route(key, _routes(world, key, body))
    busy = {f"run/{body['latestCreatedRevision']}"} if body.get("reconciling") else set()
    plane.serving.retire(set(plane.serving.running(f"{key}/")) - set(wanted) - busy)


def _plan(world: World, key: str) -> Plan:
    revision = world.store.get(key)
    assert revision is not None
    return run_serving.plan_of(world, key, revision)


def _routes(world: World, key: str, body: Body) -> dict[str, Route]:
    if body.get("defaultUriDisabled"):
        return {}
    percents, tags = run_serving.targets(world, key, body)
    admit = run_admit.doorkeeper(world, key)
    every = Route(service=key, targets=tuple(percents.items()), admit=admit)
    routes: dict[str, Route] = {}
    for host in run_addresses.hosts(world, body["name"]):
        routes[host] = every
        for tag, revision in tags.items():
            name = f"{tag}{run_addresses.TAG_MARK}{host}"
            routes[name] = Route(service=key, targets=((revision, 100),), admit=admit)
    return routes


@service.on("started")
def begin(world: World) -> None:
    """The sandbox starts: lines and requests are noted from now on, and what served before serves again."""
    if world.plane is None:
        return
    logs = RunLogs(world)
    world.hooks["run-line"] = logs.line
    world.plane.serving.on_flush, world.plane.serving.on_end = logs.flush, logs.ended
    for key, _ in world.store.list("run/"):
        if SERVICES.is_key(key) or WORKER_POOLS.is_key(key):
            threading.Thread(target=_again, args=(world, key), daemon=True).start()


def _again(world: World, key: str) -> None:
    try:
        with _locks.setdefault(key, threading.Lock()):
            _move(world, key, wait=False)
    except Exception:  # one resource that cannot be brought back must not keep the others down
        log.exception("cannot bring %s back", key)


@service.on("reset")
def forget(world: World) -> None:
    """What was printed before belongs to a world that is gone."""
    note = world.hooks.get("run-line")
    owner = getattr(note, "__self__", None)
    if isinstance(owner, RunLogs):
        owner.forget()
