"""Every API that plantctl may call, whether a method writes, and what the journal calls the resource of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# first word of a method id -> (API as in the host name, version)
APIS = {
    "accesscontextmanager": ("accesscontextmanager", "v1"),
    "artifactregistry": ("artifactregistry", "v1"),
    "billingbudgets": ("billingbudgets", "v1"),
    "binaryauthorization": ("binaryauthorization", "v1"),
    "cloudbilling": ("cloudbilling", "v1"),
    "cloudbuild": ("cloudbuild", "v1"),
    "cloudresourcemanager": ("cloudresourcemanager", "v3"),
    "cloudscheduler": ("cloudscheduler", "v1"),
    "compute": ("compute", "v1"),
    "containeranalysis": ("containeranalysis", "v1"),
    "dlp": ("dlp", "v2"),
    "dns": ("dns", "v1"),
    "iam": ("iam", "v1"),
    "logging": ("logging", "v2"),
    "monitoring": ("monitoring", "v3"),
    "redis": ("redis", "v1"),
    "run": ("run", "v2"),
    "secretmanager": ("secretmanager", "v1"),
    "servicenetworking": ("servicenetworking", "v1"),
    "serviceusage": ("serviceusage", "v1"),
    "sql": ("sqladmin", "v1"),
    "storage": ("storage", "v1"),
    "vpcaccess": ("vpcaccess", "v1"),
}
# methods that only another version has (gcp-foundation, project.apis; dashboards are the only part of monitoring v1)
OTHER_VERSIONS = {
    "serviceusage.services.generateServiceIdentity": "v1beta1",
    "monitoring.projects.dashboards": "v1",
}

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

_PRECISIONS = ("requestId", "updateMask", "ifGenerationMatch", "allowMissing", "force")
_NO_NAMES = frozenset((*_PRECISIONS, "body", "options", "uploadType", "consumerId"))
_NAMES = ("name", "accountId", "projectId", "displayName")
"""Where a body names what it makes: most APIs; serviceAccounts.create; projects.create; budgets.create."""


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
    return api, next((other for prefix, other in OTHER_VERSIONS.items() if method_id.startswith(prefix)), version)


def is_mutating(method_id: str, verb: str, params: dict[str, Any]) -> bool:
    """True when the request may change something: not a GET, not in the table, not `validateOnly`."""
    if verb.upper() in ("GET", "HEAD") or method_id in READING_POSTS:
        return False
    return str(params.get("validateOnly", "")).lower() != "true"


def resource_of(params: dict[str, Any], body: dict[str, Any] | None = None) -> str:
    """A word for the resource that a call names, for the journal: its name-like parameters, then its name in the body.

    An insert often names its resource in the body only; without that, the inserts of an item would share one intent,
    and so one request id.
    """
    parts = [str(value) for key, value in params.items() if key not in _NO_NAMES and value is not None]
    for key in _NAMES:
        named = str((body or {}).get(key) or "")
        if named and (not parts or named != parts[-1]):
            return "/".join([*parts, named])
    return "/".join(parts)
