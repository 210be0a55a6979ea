"""Cloud Run v2: worker pools, processes without a port of which a fixed number runs."""

from __future__ import annotations

from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.service import Body, Call
from plantctl.sandbox.services import run_revisioned
from plantctl.sandbox.services.run import service
from plantctl.sandbox.services.run_revisioned import WORKER_POOLS

METHODS = WORKER_POOLS.methods


@service.method(f"{METHODS}.create")
def create_worker_pool(call: Call) -> Body:
    """See run_revisioned.create."""
    return run_revisioned.create(call, WORKER_POOLS)


@service.method(f"{METHODS}.patch")
def patch_worker_pool(call: Call) -> Body:
    """Another number of instances makes no new revision; another template does."""
    return run_revisioned.patch(call, WORKER_POOLS)


@service.method(f"{METHODS}.get")
def get_worker_pool(call: Call) -> Body:
    """One worker pool."""
    return run_revisioned.found(call, WORKER_POOLS)[1]


@service.method(f"{METHODS}.list")
def list_worker_pools(call: Call) -> Body:
    """Worker pools of a location."""
    return run_revisioned.listed(call, WORKER_POOLS)


@service.method(f"{METHODS}.delete")
def delete_worker_pool(call: Call) -> Body:
    """Its instances get SIGTERM; its revisions go with it."""
    return run_revisioned.delete(call, WORKER_POOLS)


iam_policy_handlers(
    service,
    (f"{METHODS}.getIamPolicy", f"{METHODS}.setIamPolicy", f"{METHODS}.testIamPermissions"),
    lambda call: run_revisioned.found(call, WORKER_POOLS, "resource")[0],
)
