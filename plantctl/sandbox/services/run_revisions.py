"""Revisions of Cloud Run services and worker pools: read and deleted; made by run_revisioned.py alone."""

from __future__ import annotations

from plantctl.sandbox import errors, standard
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services import run_serving
from plantctl.sandbox.services.run import TYPE, service
from plantctl.sandbox.services.run_revisioned import SERVICES, WORKER_POOLS

OF_SERVICES = f"{SERVICES.methods}.revisions"
OF_WORKER_POOLS = f"{WORKER_POOLS.methods}.revisions"


def _found(call: Call) -> tuple[str, Body]:
    key = f"run/{call.name()}"
    body = call.store.get(key)
    if body is None:
        raise errors.not_found(f'revision "{call.name()}" not found')
    return key, body


@service.method(f"{OF_SERVICES}.get", f"{OF_WORKER_POOLS}.get")
def get_revision(call: Call) -> Body:
    """One revision."""
    return _found(call)[1]


@service.method(f"{OF_SERVICES}.list", f"{OF_WORKER_POOLS}.list")
def list_revisions(call: Call) -> Body:
    """Newest first; `-` for all services of the location."""
    parent = call.name("parent")
    every = call.store.list(f"run/{parent.removesuffix('/-')}/")
    depth = len(f"run/{parent}".split("/")) + 2
    chosen = [body for key, body in every if len(key.split("/")) == depth and key.split("/")[-2] == "revisions"]
    return standard.page(chosen[::-1], call.params, "revisions")


@service.method(f"{OF_SERVICES}.delete", f"{OF_WORKER_POOLS}.delete")
def delete_revision(call: Call) -> Body:
    """Refused while it gets traffic or is the newest (run documentation, "managing revisions"; words unverified)."""
    key, body = _found(call)
    owner_key = key.rsplit("/revisions/", 1)[0]
    owner = call.store.get(owner_key) or {}
    if owner.get("latestCreatedRevision") == body["name"] or key in run_serving.reachable(call.world, owner_key):
        name = body["name"].rsplit("/", 1)[1]
        raise errors.failed_precondition(f"Revision {name} cannot be deleted: it is the latest or serves traffic.")
    if str(call.params.get("validateOnly")).lower() == "true":
        return {"name": "", "done": True, "response": {"@type": f"{TYPE}.Revision", **body}}
    return call.operations.start(
        call,
        kind="lro",
        finisher="run.delete_revision",
        duration_s=DURATIONS[f"{OF_SERVICES}.delete"],
        name="/".join(key.split("/")[1:5]),
        project=key.split("/")[2],
        target=key,
        metadata={"@type": f"{TYPE}.Revision", **body},
        response_type=f"{TYPE}.Revision",
        args={"key": key, "body": body},
    )


@service.finisher("delete_revision")
def finish_delete_revision(world: World, op: Operation) -> Body:
    """Gone."""
    world.store.delete(op.args["key"])
    return {**op.args["body"], "deleteTime": world.clock.rfc3339()}
