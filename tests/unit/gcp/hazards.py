"""The catalogue's wire answers as data: what comes, for which method, and what is to be done, stale and fresh."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plantctl.gcp.classify import Action
from plantctl.gcp.failures import GARBLED, NO_ANSWER, NOT_SENT, Failure

RETRY, READ, WAIT, EXISTS, REDO, FAIL = (
    Action.RETRY,
    Action.READ_BACK,
    Action.WAIT,
    Action.EXISTS,
    Action.REDO,
    Action.FAIL,
)

GET, N, R, P, U, X = (
    "sql.instances.get",
    "sql.instances.insert",
    "compute.networks.insert",
    "cloudresourcemanager.projects.setIamPolicy",
    "serviceusage.services.batchEnable",
    "secretmanager.projects.secrets.addVersion",
)
"""A read, and a write of each class."""


@dataclass(frozen=True)
class Row:
    """`stale` and `fresh`: what to do when the plant did nothing of the kind of late, and when it has just done so."""

    id: str
    method: str
    code: int
    answer: dict[str, Any]
    stale: Action
    fresh: Action

    def failure(self) -> Failure:
        """The answer as it is parsed."""
        return Failure(method_id=self.method, code=self.code, **self.answer)


@dataclass
class _Table:
    rows: list[Row] = field(default_factory=list)

    def add(self, id: str, method: str, code: int, *actions: Action, **answer: Any) -> None:
        self.rows.append(Row(id, method, code, answer, actions[0], actions[-1]))


def violation(kind: str, text: str = "", subject: str = "") -> tuple[dict[str, Any], ...]:
    """Details with one violation."""
    return ({"violations": [{"type": kind, "description": text, "subject": subject}]},)


def _transport(add: Any) -> None:
    for id, trouble in (("T01", NO_ANSWER), ("T02", NO_ANSWER), ("T03", NO_ANSWER), ("T04", GARBLED), ("T05", GARBLED)):
        for method, action in ((GET, RETRY), (R, RETRY), (U, RETRY), (N, READ), (P, READ), (X, READ)):
            add(id, method, 0, action, trouble=trouble)
    for id, code in (("T02", 504), ("T06", 500), ("T07", 502), ("T08", 503)):
        for method, action in ((GET, RETRY), (R, RETRY), (U, RETRY), (N, READ), (P, READ), (X, READ)):
            add(id, method, code, action, status="UNAVAILABLE")
    for method in (GET, N, R, P, U, X):
        add("T01", method, 0, RETRY, trouble=NOT_SENT)
        add("T09", method, 429, RETRY, reason="RATE_LIMIT_EXCEEDED", message="Quota exceeded")
        add("T11", method, 403, RETRY, message="Quota exceeded for quota metric 'Queries' and limit 'Q per minute'")
        add("T12", method, 403, RETRY, reason="CONCURRENT_OPERATIONS_QUOTA_EXCEEDED", message="Quota exceeded")
        add("T10", method, 429, FAIL, status="RESOURCE_EXHAUSTED", message="You have reached the limit of 500 policies")
        add("T13", method, 401, FAIL, status="UNAUTHENTICATED", reason="ACCESS_TOKEN_EXPIRED")
        add("T18", method, 400, FAIL, reason="USER_PROJECT_DENIED", message="serviceusage.services.use")
    shared = ({"metadata": {"consumer": "projects/764086051850"}},)
    add("T17", GET, 403, FAIL, reason="SERVICE_DISABLED", message="it is disabled", details=shared)
    add("T17", GET, 403, FAIL, message="The API requires a quota project, which is not set by default")


def _project(add: Any) -> None:
    disabled = "has not been used in project 1 before or it is disabled. Wait a few minutes"
    add("S01", GET, 403, FAIL, WAIT, reason="SERVICE_DISABLED", message=disabled)
    add("S01", X, 403, FAIL, WAIT, reason="SERVICE_DISABLED", message=disabled)
    add("S01", R, 403, FAIL, WAIT, reason="accessNotConfigured", message=disabled)
    add("S02", U, 400, WAIT, message="Another activation or deactivation is in progress for this project")
    add("S03", U, 400, WAIT, status="FAILED_PRECONDITION", message="Precondition check failed.")
    add("S03", U, 412, WAIT, status="FAILED_PRECONDITION", message="Precondition check failed.")
    billing = "Billing account for project '1' is not found. Billing must be enabled"
    add("S06", U, 400, FAIL, WAIT, reason="UREQ_PROJECT_BILLING_NOT_FOUND", message=billing)
    add("S07", R, 403, FAIL, WAIT, message="This API method requires billing to be enabled. Please wait a few minutes")
    add("S08", U, 400, FAIL, status="INVALID_ARGUMENT", message="at most 20 services")
    add("S09", U, 403, FAIL, reason="SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED", message="Not found")
    create, link = "cloudresourcemanager.projects.create", "cloudbilling.projects.updateBillingInfo"
    add("S10", create, 409, EXISTS, status="ALREADY_EXISTS", message="Requested entity already exists")
    add("S11", create, 429, FAIL, status="RESOURCE_EXHAUSTED", message="exceeded your allotted project quota")
    full = violation("", "Cloud billing quota exceeded", "billingAccounts/A")
    add("S12", link, 400, FAIL, status="FAILED_PRECONDITION", message="Precondition check failed.", details=full)
    no = "The caller does not have permission"
    add("S14", "cloudresourcemanager.projects.get", 403, FAIL, WAIT, status="PERMISSION_DENIED", message=no)


def _iam(add: Any) -> None:
    unseen = "Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist)."
    add("I02", "iam.projects.serviceAccounts.get", 403, FAIL, WAIT, status="PERMISSION_DENIED", message=unseen)
    for method in (P, "storage.buckets.setIamPolicy", "run.projects.locations.jobs.create"):
        message = "Service account plant-x@p.iam.gserviceaccount.com does not exist."
        add("I03", method, 400, FAIL, WAIT, status="INVALID_ARGUMENT", message=message)
    message = "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
    add("I04", P, 409, REDO, status="ABORTED", message=message)
    denied = "Permission 'secretmanager.versions.access' denied for resource"
    add("I09", "secretmanager.projects.secrets.versions.access", 403, FAIL, WAIT, reason="forbidden", message=denied)
    add("I09", X, 403, FAIL, WAIT, reason="IAM_PERMISSION_DENIED", message=denied)
    add("I10", "run.projects.locations.jobs.create", 403, FAIL, WAIT, message="'iam.serviceaccounts.actAs' denied")
    agent = "Google Cloud Run Service Agent service-1@serverless-robot-prod must have permission to read the image"
    add("I11", "run.projects.locations.jobs.create", 403, FAIL, WAIT, status="PERMISSION_DENIED", message=agent)
    keys = violation("constraints/iam.disableServiceAccountKeyCreation")
    message = "Key creation is not allowed on this service account."
    add("I12", "iam.projects.serviceAccounts.keys.create", 400, FAIL, message=message, details=keys)
    message = "One or more users named in the policy do not belong to a permitted customer."
    add("I13", P, 400, FAIL, status="FAILED_PRECONDITION", message=message)


def _network(add: Any) -> None:
    message = "The resource 'projects/p/global/networks/n' is not ready"
    add("C01", "compute.subnetworks.insert", 400, WAIT, reason="resourceNotReady", message=message)
    add("C03", R, 409, EXISTS, reason="alreadyExists", message="The resource already exists")
    message = "is already being used by 'projects/p/global/x'"
    add("C04", "compute.networks.delete", 400, FAIL, reason="resourceInUseByAnotherResource", message=message)
    add("C05", "compute.subnetworks.patch", 412, REDO, reason="conditionNotMet", message="Invalid fingerprint.")
    message = "Supplied fingerprint does not match current metadata fingerprint."
    add("C05", "compute.subnetworks.patch", 400, REDO, reason="invalid", message=message)
    add("C06", R, 403, FAIL, reason="quotaExceeded", message="Quota 'NETWORKS' exceeded. Limit: 5.0 globally.")
    add("C07", "compute.networks.patch", 400, WAIT, message="There is a peering operation in progress on the network")
    add("C08", "compute.subnetworks.insert", 400, FAIL, reason="invalid", message="conflicts with existing subnetwork")
    add("C16", R, 503, WAIT, reason="ZONE_RESOURCE_POOL_EXHAUSTED", message="does not have enough resources")
    add("N05", "servicenetworking.services.connections.create", 403, FAIL, WAIT, message="addPeering missing")
    message = "Quota exceeded for quota metric 'Mutate requests' and limit 'Mutate requests per minute'"
    add("N06", "servicenetworking.services.connections.create", 429, RETRY, message=message)
    add("V04", "vpcaccess.projects.locations.connectors.create", 400, FAIL, message="The CIDR range is not a /28")


def _database(add: Any) -> None:
    message = "Operation failed because another operation was already in progress."
    for code in (409, 403):
        for method in (N, "sql.users.insert", "sql.backupRuns.insert", "sql.instances.patch"):
            add("Q01", method, code, WAIT, reason="operationInProgress", message=message)
    add("Q02", N, 409, EXISTS, reason="instanceAlreadyExists", message="The Cloud SQL instance already exists.")
    message = "The instance is not in an appropriate state to handle the request."
    add("Q03", N, 409, EXISTS, reason="invalidState", message=message)
    add("Q03", "sql.instances.patch", 409, WAIT, reason="invalidState", message=message)
    add("Q03", "sql.backupRuns.insert", 409, READ, reason="invalidState", message=message)
    message = "The client is not authorized to make this request."
    add("Q04", GET, 403, FAIL, reason="notAuthorized", message=message)
    add("Q09", N, 400, FAIL, reason="invalidRequest", message="Invalid Tier for edition")
    add("Q10", "sql.instances.patch", 412, REDO, reason="staleData", message="settingsVersion is out of date")
    add("Q10", "sql.instances.patch", 409, REDO, reason="staleData", message="settingsVersion is out of date")
    redis = "redis.projects.locations.instances"
    message = "authorized_network must exist in the same project"
    add("R02", f"{redis}.create", 400, FAIL, status="INVALID_ARGUMENT", message=message)
    add("R04", f"{redis}.create", 409, EXISTS, status="ALREADY_EXISTS", message="already exists")
    add("R05", f"{redis}.patch", 400, WAIT, status="FAILED_PRECONDITION", message="the instance is UPDATING")
    add("R05", f"{redis}.patch", 409, REDO, status="ABORTED", message="try again")


def _rest(add: Any) -> None:
    run, monitoring = "run.projects.locations", "monitoring.projects"
    secrets = "secretmanager.projects.secrets"
    add("K01", f"{secrets}.versions.access", 404, FAIL, status="NOT_FOUND", message="versions/latest was not found")
    message = "Secret Version [1] is in DESTROYED state."
    add("K02", f"{secrets}.versions.access", 400, FAIL, status="FAILED_PRECONDITION", message=message)
    add("K04", f"{secrets}.versions.disable", 400, REDO, status="FAILED_PRECONDITION", message="etag mismatch")
    add("K06", X, 400, FAIL, status="INVALID_ARGUMENT", message="payload is larger than 65536 bytes")
    build = "cloudbuild.projects.locations.builds.create"
    add("B01", build, 400, FAIL, status="INVALID_ARGUMENT", message="if 'build.service_account' is specified")
    add("U07", f"{run}.services.patch", 409, REDO, status="ABORTED", message="Conflict for resource")
    message = "Revision named 'r' with different configuration already exists."
    add("U08", f"{run}.services.patch", 409, EXISTS, status="ALREADY_EXISTS", message=message)
    add("U09", f"{run}.jobs.create", 409, WAIT, message="Resource 'j' is being deleted")
    message = "Quota exceeded for total allowable CPU per project per region."
    for code in (400, 429):
        add("U12", f"{run}.services.create", code, FAIL, message=message)
    message = "Too many concurrent edits to the project configuration. Please try again."
    add("O01", f"{monitoring}.alertPolicies.patch", 409, WAIT, status="ABORTED", message=message)
    add("O01", f"{monitoring}.alertPolicies.create", 409, READ, status="ABORTED", message=message)
    message = 'Cannot find metric(s) that match type = "x". it could take up to 10 minutes'
    add("O02", f"{monitoring}.alertPolicies.patch", 404, WAIT, message=message)
    add("O02", f"{monitoring}.alertPolicies.create", 404, READ, message=message)
    add("O03", f"{monitoring}.alertPolicies.create", 400, READ, message="Field query is invalid")
    add("G01", "logging.projects.sinks.create", 400, FAIL, message="Buckets must be in an ACTIVE state")
    add("H01", "storage.buckets.insert", 409, EXISTS, reason="conflict", message="The requested bucket name is taken")
    message = "The project exceeded the rate limit for creating and deleting buckets."
    add("H02", "storage.buckets.insert", 429, RETRY, reason="rateLimitExceeded", message=message)
    add(
        "H04",
        "storage.objects.insert",
        412,
        REDO,
        reason="conditionNotMet",
        message="At least one of the pre-conditions",
    )
    public = violation("constraints/storage.publicAccessPrevention")
    add("H06", "storage.buckets.setIamPolicy", 412, FAIL, reason="conditionNotMet", message="no", details=public)
    add("M01", "accesscontextmanager.accessPolicies.create", 409, EXISTS, message="Policy already exists with parent")
    message = "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x"
    add("M03", GET, 403, FAIL, reason="SECURITY_POLICY_VIOLATED", message=message)
    add("L01", "cloudscheduler.projects.locations.jobs.create", 409, WAIT, message="sync mutate calls cannot be queued")
    for name in ("sql.restrictPublicIp", "compute.restrictVpcPeering", "gcp.resourceLocations", "run.allowedIngress"):
        found = violation(f"constraints/{name}")
        add("3.13", N, 400, FAIL, status="FAILED_PRECONDITION", message="violated", details=found)
        add("3.13", R, 412, FAIL, message=f"Constraint constraints/{name} violated")


def rows() -> list[Row]:
    """The whole table."""
    table = _Table()
    for part in (_transport, _project, _iam, _network, _database, _rest):
        part(table.add)
    return table.rows
