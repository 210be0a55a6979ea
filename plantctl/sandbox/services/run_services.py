"""Cloud Run v2: services. Their revisions are made in run_revisioned.py, brought up in run_rollout.py."""

from __future__ import annotations

from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.service import Body, Call
from plantctl.sandbox.services import run_revisioned
from plantctl.sandbox.services.run import service
from plantctl.sandbox.services.run_revisioned import SERVICES

METHODS = SERVICES.methods


@service.method(f"{METHODS}.create")
def create_service(call: Call) -> Body:
    """See run_revisioned.create."""
    return run_revisioned.create(call, SERVICES)


@service.method(f"{METHODS}.patch")
def patch_service(call: Call) -> Body:
    """A change of traffic or labels makes no new revision; another template does."""
    return run_revisioned.patch(call, SERVICES)


@service.method(f"{METHODS}.get")
def get_service(call: Call) -> Body:
    """One service."""
    return run_revisioned.found(call, SERVICES)[1]


@service.method(f"{METHODS}.list")
def list_services(call: Call) -> Body:
    """Services of a location."""
    return run_revisioned.listed(call, SERVICES)


@service.method(f"{METHODS}.delete")
def delete_service(call: Call) -> Body:
    """Its revisions go with it (run v2 reference)."""
    return run_revisioned.delete(call, SERVICES)


iam_policy_handlers(
    service,
    (f"{METHODS}.getIamPolicy", f"{METHODS}.setIamPolicy", f"{METHODS}.testIamPermissions"),
    lambda call: run_revisioned.found(call, SERVICES, "resource")[0],
)
