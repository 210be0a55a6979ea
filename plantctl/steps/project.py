"""Functions behind the project items: creation, billing link, APIs, budget, deployer's roles."""

from __future__ import annotations

from plantctl.desired import project as desired
from plantctl.errors import ApiFailure, PlantctlError, ProbeFailed, StepConflict
from plantctl.gcp import operations
from plantctl.gcp.iam_policy import Grant
from plantctl.gcp.resource import is_operation
from plantctl.model.diff import compare
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps.context import Context

CREATE = "predeploy.project.create"
BATCH = 20
"""API names in one batchEnable, which needs at least two (hazards S08)."""


def live_project(ctx: Context) -> Body | None:
    """The project, or None; a 403 is Google's answer for a project that does not exist, or is somebody else's."""
    try:
        return ctx.gcp.get("cloudresourcemanager.projects.get", name=f"projects/{ctx.plant.project.id}")
    except ApiFailure as failure:
        if failure.code == 403 and failure.reason != "SERVICE_DISABLED":
            return None
        raise


def check_project(ctx: Context) -> Finding:
    """ACTIVE; a project on its way out is a conflict, for its id can never be used again."""
    live = live_project(ctx)
    if live is None and ctx.memory.was_in_place(CREATE):
        hint = f"look with `gcloud projects describe {ctx.plant.project.id}`: was it deleted, or did you lose access?"
        reason = f"project {ctx.plant.project.id} was there, and you cannot see it any more"
        return Finding(verdict=Verdict.CONFLICT, reason=reason, hint=hint)
    if live is None:
        change = Change(field=f"project {ctx.plant.project.id}", desired="to be made")
        return Finding(verdict=Verdict.MISSING, changes=(change,))
    if live.get("state") != "ACTIVE":
        hint = (
            f"type `gcloud projects undelete {ctx.plant.project.id}` within 30 days of its deletion, or choose another "
        )
        hint += "project.id in plant.toml"
        return Finding(verdict=Verdict.CONFLICT, reason=f"the project is {live.get('state')}", hint=hint)
    facts = {"number": str(live["name"]).split("/")[1], "createTime": str(live.get("createTime", ""))}
    return Finding(verdict=Verdict.IN_PLACE, facts=facts)


def apply_project(ctx: Context, finding: Finding) -> None:
    """Create and wait; a taken id answers 409 and may be anybody's (hazards S10)."""
    method = "cloudresourcemanager.projects.create"
    try:
        answer = ctx.gcp.call(method, desired.project(ctx.plant), read_back=lambda: live_project(ctx))
    except ApiFailure as failure:
        if failure.reference == "already-exists" and live_project(ctx) is None:
            raise StepConflict(
                f"the project id {ctx.plant.project.id} is taken by somebody else",
                cause="project ids are global, and deleted ones stay taken",
                hint="choose another project.id in plant.toml",
            ) from None
        raise
    if is_operation(answer):
        operations.wait(ctx.gcp, method, answer, deadline_s=300)


def verify_project(ctx: Context) -> Evidence:
    """A second API knows it: Service Usage answers for the project's number."""
    number = ctx.known(CREATE, "number")
    found = ctx.gcp.call("serviceusage.services.get", name=f"projects/{number}/services/serviceusage.googleapis.com")
    words = (f"project {ctx.plant.project.id} has number {number}", f"Service Usage answers for it: {found['state']}")
    return Evidence(words=words, where="Resource Manager and Service Usage")


def open_account(ctx: Context) -> str:
    """`billingAccounts/X`: the configured one, else the only open one that the caller sees; PlantctlError otherwise."""
    if ctx.plant.project.billing_account:
        given = ctx.plant.project.billing_account
        return given if given.startswith("billingAccounts/") else f"billingAccounts/{given}"
    found = [a for a in ctx.gcp.list("cloudbilling.billingAccounts.list", "billingAccounts") if a.get("open")]
    if len(found) == 1:
        return str(found[0]["name"])
    names = ", ".join(str(a["name"]).split("/")[1] for a in found) or "none"
    raise PlantctlError(
        "it is not clear which billing account pays",
        cause=f"open billing accounts that you can see: {names}",
        hint='set project.billing_account = "012345-6789AB-CDEF01" in plant.toml',
        reference="billing-account-unclear",
    )


def check_billing(ctx: Context) -> Finding:
    """Linked and enabled."""
    info = ctx.gcp.call("cloudbilling.projects.getBillingInfo", name=f"projects/{ctx.plant.project.id}")
    linked = str(info.get("billingAccountName", ""))
    if info.get("billingEnabled") and (not ctx.plant.project.billing_account or linked == open_account(ctx)):
        return Finding(verdict=Verdict.IN_PLACE, facts={"account": linked})
    change = Change(field="billingAccountName", live=linked or None, desired=open_account(ctx))
    return Finding(verdict=Verdict.DRIFTED, changes=(change,))


def apply_billing(ctx: Context, finding: Finding) -> None:
    """Link; sending it twice changes nothing."""
    name = f"projects/{ctx.plant.project.id}"
    ctx.gcp.call("cloudbilling.projects.updateBillingInfo", {"billingAccountName": open_account(ctx)}, name=name)


def verify_billing(ctx: Context) -> Evidence:
    """The account lists the project among its own."""
    account = ctx.known("predeploy.project.billing", "account")
    found = ctx.gcp.list("cloudbilling.billingAccounts.projects.list", "projectBillingInfo", name=account)
    if not any(entry.get("projectId") == ctx.plant.project.id for entry in found):
        raise ProbeFailed(f"{account} does not list project {ctx.plant.project.id}")
    return Evidence(words=(f"{account} pays for {ctx.plant.project.id}",), where="the billing account's own list")


def _disabled(ctx: Context) -> list[str]:
    parent = f"projects/{ctx.known(CREATE, 'number')}"
    disabled: list[str] = []
    for start in range(0, len(desired.APIS), BATCH):
        names = [f"{parent}/services/{api}" for api in desired.APIS[start : start + BATCH]]
        found = ctx.gcp.call("serviceusage.services.batchGet", parent=parent, names=names).get("services", [])
        states = {str(service["name"]).rsplit("/", 1)[1]: service.get("state") for service in found}
        disabled += [api for api in desired.APIS[start : start + BATCH] if states.get(api) != "ENABLED"]
    return disabled


def check_apis(ctx: Context) -> Finding:
    """One change an API that is off."""
    changes = tuple(Change(field=api, live="DISABLED", desired="ENABLED") for api in _disabled(ctx))
    return Finding(verdict=Verdict.DRIFTED if changes else Verdict.IN_PLACE, changes=changes)


def apply_apis(ctx: Context, finding: Finding) -> None:
    """Enable in batches of twenty; a batch is atomic and needs at least two, one alone has a method of its own."""
    parent = f"projects/{ctx.known(CREATE, 'number')}"
    todo = _disabled(ctx)
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        if len(batch) == 1:
            method = "serviceusage.services.enable"
            operation = ctx.gcp.call(method, {}, name=f"{parent}/services/{batch[0]}")
        else:
            method = "serviceusage.services.batchEnable"
            operation = ctx.gcp.call(method, {"serviceIds": batch}, parent=parent)
        operations.wait(ctx.gcp, method, operation, deadline_s=600)


def verify_apis(ctx: Context) -> Evidence:
    """The list of enabled services has them all; that list may lag behind (hazards S05)."""
    parent = f"projects/{ctx.known(CREATE, 'number')}"
    missing: set[str] = set()
    for _ in range(30):
        found = ctx.gcp.list(
            "serviceusage.services.list", "services", parent=parent, filter="state:ENABLED", pageSize=200
        )
        missing = set(desired.APIS) - {str(service["name"]).rsplit("/", 1)[1] for service in found}
        if not missing:
            return Evidence(
                words=(f"{len(desired.APIS)} APIs are enabled",), where="Service Usage's list of enabled services"
            )
        ctx.clock.sleep(ctx.gcp.target.poll_s[1])
    raise ProbeFailed(f"still not listed as enabled: {', '.join(sorted(missing))}")


def _budgets(ctx: Context) -> list[Body]:
    account = ctx.known("predeploy.project.billing", "account")
    name = desired.budget_name(ctx.plant)
    found = ctx.gcp.list("billingbudgets.billingAccounts.budgets.list", "budgets", parent=account)
    return [budget for budget in found if budget.get("displayName") == name]


def _budget(ctx: Context) -> Body | None:
    return next(iter(_budgets(ctx)), None)


def _wanted_budget(ctx: Context) -> Body:
    return desired.budget(ctx.plant, ctx.known(CREATE, "number"))


def check_budget(ctx: Context) -> Finding:
    """Found by display name: budgets have neither labels nor names of our choosing, and Google takes two of a name."""
    found = _budgets(ctx)
    if len(found) > 1:
        names = ", ".join(str(budget["name"]) for budget in found)
        hint = f"keep one: `gcloud billing budgets delete {found[-1]['name']}`"
        reason = f"there are {len(found)} budgets called {desired.budget_name(ctx.plant)!r}: {names}"
        return Finding(verdict=Verdict.CONFLICT, reason=reason, hint=hint)
    live = next(iter(found), None)
    if live is None:
        change = Change(field=desired.budget_name(ctx.plant), desired="to be made")
        return Finding(verdict=Verdict.MISSING, changes=(change,))
    changes = compare(
        _wanted_budget(ctx), live, sets={"thresholdRules": "thresholdPercent", "budgetFilter.projects": ""}
    )
    return Finding(verdict=Verdict.DRIFTED if changes else Verdict.IN_PLACE, changes=changes)


def apply_budget(ctx: Context, finding: Finding) -> None:
    """Create after a look for the marker (class X), or patch by mask with the etag."""
    live = _budget(ctx)
    if live is None:
        parent = ctx.known("predeploy.project.billing", "account")
        method = "billingbudgets.billingAccounts.budgets.create"
        ctx.gcp.call(method, _wanted_budget(ctx), parent=parent, read_back=lambda: _budget(ctx))
        return
    mask = ",".join(sorted({change.field.split(".")[0] for change in finding.changes}))
    body = {**_wanted_budget(ctx), **({"etag": live["etag"]} if live.get("etag") else {})}
    ctx.gcp.call("billingbudgets.billingAccounts.budgets.patch", body, name=live["name"], updateMask=mask)


def verify_budget(ctx: Context) -> Evidence:
    """Exactly one of ours: a lost answer may have left two."""
    account = ctx.known("predeploy.project.billing", "account")
    mine = _budgets(ctx)
    if len(mine) != 1:
        raise ProbeFailed(f"{account} has {len(mine)} budgets called {desired.budget_name(ctx.plant)!r}")
    alerts = ", ".join(f"{100 * float(rule['thresholdPercent']):.0f} %" for rule in mine[0]["thresholdRules"])
    words = f"{ctx.plant.project.budget_usd} USD a month, alerts at {alerts}; a budget tells, it does not stop spending"
    return Evidence(words=(words,), where=f"budgets of {account}")


def deployer_grants(ctx: Context) -> tuple[Grant, ...]:
    """What Google's service agents need, and the deployer where one is configured (gcp-foundation 0.5)."""
    project, number = ctx.plant.project.id, ctx.known(CREATE, "number")
    agent = f"serviceAccount:service-{number}@serverless-robot-prod.iam.gserviceaccount.com"
    grants = [Grant(kind="project", resource=project, role="roles/run.serviceAgent", member=agent)]
    if ctx.plant.project.deployer:
        grants += [
            Grant(kind="project", resource=project, role=role, member=ctx.plant.project.deployer)
            for role in DEPLOYER_ROLES
        ]
    return tuple(grants)


DEPLOYER_ROLES = (
    "roles/serviceusage.serviceUsageAdmin",
    "roles/resourcemanager.projectIamAdmin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/servicenetworking.networksAdmin",
    "roles/vpcaccess.admin",
    "roles/secretmanager.admin",
    "roles/cloudsql.admin",
    "roles/redis.admin",
    "roles/cloudscheduler.admin",
    "roles/monitoring.editor",
    "roles/artifactregistry.admin",
    "roles/cloudbuild.builds.editor",
    "roles/run.admin",
    "roles/storage.admin",
    "roles/iam.serviceAccountAdmin",
    "roles/logging.viewer",
)
"""What plantctl needs in the project, no owner's rights (gcp-foundation 0.5)."""
