"""Cloud Billing v1: the one open billing account, and which projects it pays for."""

from __future__ import annotations

from plantctl.sandbox import errors, standard
from plantctl.sandbox.projects import BILLING_ACCOUNT
from plantctl.sandbox.service import Body, Call, Service

service = Service("cloudbilling", versions=("v1",))

ACCOUNT: Body = {
    "name": f"billingAccounts/{BILLING_ACCOUNT}",
    "open": True,
    "displayName": "My Billing Account",
    "currencyCode": "USD",
}
MOST_PROJECTS = 5
"""Projects that a new billing account pays for (hazards S12: "5th-ish"; the exact figure is per account)."""


@service.method("cloudbilling.billingAccounts.list")
def list_accounts(call: Call) -> Body:
    """The account."""
    return standard.page([ACCOUNT], call.params, "billingAccounts")


@service.method("cloudbilling.billingAccounts.get")
def get_account(call: Call) -> Body:
    """403 for any other."""
    check_account(str(call.params["name"]))
    return ACCOUNT


@service.method("cloudbilling.billingAccounts.projects.list")
def list_projects(call: Call) -> Body:
    """Billing information of all projects on the account."""
    check_account(str(call.params["name"]))
    return standard.page([_shown(project, name) for project, name in _linked(call)], call.params, "projectBillingInfo")


@service.method("cloudbilling.projects.getBillingInfo")
def get_info(call: Call) -> Body:
    """Whether a project is billed, and by which account."""
    project_id = _project(call)
    found = call.store.get(f"cloudbilling/projects/{project_id}") or {}
    return _shown(project_id, str(found.get("billingAccountName", "")))


@service.method("cloudbilling.projects.updateBillingInfo")
def update_info(call: Call) -> Body:
    """Link to an account, or unlink with an empty name. At most MOST_PROJECTS a new account."""
    project_id = _project(call)
    name = str(call.body.get("billingAccountName", ""))
    if name:
        check_account(name)
        others = [project for project, _ in _linked(call) if project != project_id]
        if len(others) >= MOST_PROJECTS:
            violation = {"subject": name, "description": "Cloud billing quota exceeded: https://support.google.com/"}
            raise errors.failed_precondition(
                "Precondition check failed.",
                details=[{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}],
            )
    call.store.put(f"cloudbilling/projects/{project_id}", {"billingAccountName": name})
    return _shown(project_id, name)


def check_account(name: str) -> None:
    """403 where the caller can see no such account."""
    if name.split("/")[:2] != ["billingAccounts", BILLING_ACCOUNT]:
        raise errors.denied("The caller does not have permission")


def _project(call: Call) -> str:
    project_id = call.world.project_id(str(call.params["name"]).removeprefix("projects/"))
    call.world.project_number(project_id)
    return project_id


def _linked(call: Call) -> list[tuple[str, str]]:
    found = call.store.list("cloudbilling/projects/")
    return [(key.rsplit("/", 1)[-1], b["billingAccountName"]) for key, b in found if b.get("billingAccountName")]


def _shown(project_id: str, account: str) -> Body:
    return {
        "name": f"projects/{project_id}/billingInfo",
        "projectId": project_id,
        "billingAccountName": account,
        "billingEnabled": bool(account),
    }
