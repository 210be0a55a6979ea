"""Every API method that plantctl may call: which document or client carries it, whether it writes, how it is repeated.

A mutating method without an idempotency class cannot be sent (design section 6; classes from hazards section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# first word of a method id -> (API as in the host name, version)
APIS = {
    "artifactregistry": ("artifactregistry", "v1"),
    "billingbudgets": ("billingbudgets", "v1"),
    "cloudbilling": ("cloudbilling", "v1"),
    "cloudbuild": ("cloudbuild", "v1"),
    "cloudresourcemanager": ("cloudresourcemanager", "v3"),
    "compute": ("compute", "v1"),
    "containeranalysis": ("containeranalysis", "v1"),
    "iam": ("iam", "v1"),
    "logging": ("logging", "v2"),
    "run": ("run", "v2"),
    "secretmanager": ("secretmanager", "v1"),
    "servicenetworking": ("servicenetworking", "v1"),
    "serviceusage": ("serviceusage", "v1"),
    "sql": ("sqladmin", "v1"),
    "storage": ("storage", "v1"),
    "vpcaccess": ("vpcaccess", "v1"),
}
# only in the beta document (gcp-foundation, project.apis)
BETA = {"serviceusage.services.generateServiceIdentity": "v1beta1"}

READING_POSTS = frozenset(
    {
        "cloudresourcemanager.projects.getIamPolicy",
        "cloudresourcemanager.projects.testIamPermissions",
        "iam.projects.serviceAccounts.getIamPolicy",
        "iam.projects.serviceAccounts.testIamPermissions",
        "artifactregistry.projects.locations.repositories.testIamPermissions",
        "secretmanager.projects.secrets.testIamPermissions",
        "run.projects.locations.jobs.testIamPermissions",
        "logging.entries.list",
        "run.projects.locations.operations.wait",
        "compute.globalOperations.wait",
        "compute.regionOperations.wait",
    }
)
"""POSTs that change nothing; every other POST, PUT, PATCH and DELETE is a write, whatever it is answered."""

# N natural key, R request id, P precondition, U upsert or idempotent by nature, X none: duplicates possible
IDEMPOTENCY = {
    "artifactregistry.projects.locations.repositories.create": "N",
    "artifactregistry.projects.locations.repositories.patch": "U",
    "artifactregistry.projects.locations.repositories.setIamPolicy": "P",
    "billingbudgets.billingAccounts.budgets.create": "X",
    "billingbudgets.billingAccounts.budgets.patch": "P",
    "cloudbilling.projects.updateBillingInfo": "U",
    "cloudbuild.projects.locations.builds.create": "X",
    "cloudresourcemanager.projects.create": "N",
    "cloudresourcemanager.projects.patch": "U",
    "cloudresourcemanager.projects.setIamPolicy": "P",
    "compute.firewalls.insert": "R",
    "compute.firewalls.patch": "R",
    "compute.globalAddresses.insert": "R",
    "compute.networks.insert": "R",
    "compute.networks.patch": "R",
    "compute.routers.insert": "R",
    "compute.routers.patch": "R",
    "compute.subnetworks.insert": "R",
    "compute.subnetworks.patch": "R",
    "compute.subnetworks.setPrivateIpGoogleAccess": "R",
    "iam.projects.serviceAccounts.create": "N",
    "iam.projects.serviceAccounts.enable": "U",
    "iam.projects.serviceAccounts.patch": "U",
    "iam.projects.serviceAccounts.setIamPolicy": "P",
    "run.projects.locations.jobs.create": "N",
    "run.projects.locations.jobs.patch": "U",
    "run.projects.locations.jobs.run": "X",
    "secretmanager.projects.secrets.addVersion": "X",
    "secretmanager.projects.secrets.create": "N",
    "secretmanager.projects.secrets.patch": "U",
    "secretmanager.projects.secrets.setIamPolicy": "P",
    "servicenetworking.services.connections.create": "N",
    "servicenetworking.services.connections.patch": "U",
    "serviceusage.services.batchEnable": "U",
    "serviceusage.services.enable": "U",
    "serviceusage.services.generateServiceIdentity": "U",
    "sql.backupRuns.insert": "X",
    "sql.databases.insert": "N",
    "sql.instances.insert": "N",
    "sql.instances.patch": "P",
    "sql.users.insert": "U",
    "sql.users.update": "U",
    "storage.buckets.insert": "N",
    "storage.buckets.patch": "U",
    "storage.buckets.setIamPolicy": "P",
    "storage.objects.insert": "P",
    "vpcaccess.projects.locations.connectors.create": "N",
    "vpcaccess.projects.locations.connectors.patch": "U",
}


@dataclass(frozen=True)
class Sending:
    """What the transport must know of the request that is about to leave on this thread."""

    method_id: str
    mutating: bool
    resource: str
    idempotency: str
    purpose: str
    intent: str


def api_of(method_id: str) -> tuple[str, str]:
    """(API, version) of a method id; KeyError for an API that plantctl does not use."""
    api, version = APIS[method_id.split(".", 1)[0]]
    return api, BETA.get(method_id, version)


def is_mutating(method_id: str, verb: str, params: dict[str, Any]) -> bool:
    """True when the request may change something: not a GET, not in the table, not `validateOnly`."""
    if verb.upper() in ("GET", "HEAD") or method_id in READING_POSTS:
        return False
    return str(params.get("validateOnly", "")).lower() != "true"


def idempotency(method_id: str) -> str:
    """The class of a write; LookupError where the table has none, so that it cannot be sent by accident."""
    try:
        return IDEMPOTENCY[method_id]
    except KeyError:
        raise LookupError(f"{method_id} has no idempotency class: add it to gcp/methods.py before calling it") from None


def resource_of(params: dict[str, Any], body: dict[str, Any] | None = None) -> str:
    """A word for the resource that a call names, for the journal: its name-like parameters, joined.

    An insert names its resource in the body only; without it two inserts would share one intent, and so one request id.
    """
    skipped = {"requestId", "updateMask", "body", "options", "uploadType", "ifGenerationMatch", "consumerId", "force"}
    parts = [str(value) for key, value in params.items() if key not in skipped and value is not None]
    named = str((body or {}).get("name") or "")
    if named and named not in parts:
        parts.append(named)
    return "/".join(parts)
