"""Projects in the store: the one way to make one, for `reset` and for the two versions of projects.create."""

from __future__ import annotations

import re
from typing import Any

from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.service import World
from plantctl.sandbox.store import Body

PROJECT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
BILLING_ACCOUNT = "012345-6789AB-CDEF01"
"""The one open billing account of a fresh sandbox (`billingAccounts/<this>`), without organisation."""

# on in every project made by the API or by gcloud (Service Usage documentation, "services enabled by default")
DEFAULT_SERVICES = (
    "analyticshub", "bigquery", "bigqueryconnection", "bigquerydatapolicy", "bigquerymigration",
    "bigqueryreservation", "bigquerystorage", "cloudapis", "cloudtrace", "dataform", "dataplex", "datastore",
    "logging", "monitoring", "servicemanagement", "serviceusage", "sql-component", "storage", "storage-api",
    "storage-component",
)  # fmt: skip


def key_of(project_id: str) -> str:
    """Store key of a project."""
    return f"cloudresourcemanager/projects/{project_id}"


def create(world: World, project_id: str, number: str = "", **fields: Any) -> Body:
    """Put an ACTIVE project in the store (v3 fields plus projectNumber) and announce it is for the caller to do."""
    now = world.clock.rfc3339()
    number = number or str(world.store.next_number("project-number", 518915280))
    body: Body = {
        "projectId": project_id,
        "projectNumber": number,
        "state": "ACTIVE",
        "createTime": now,
        "updateTime": now,
        **fields,
    }
    world.store.put(f"project-number/{number}", {"projectId": project_id})
    return world.store.put(key_of(project_id), body)


def enable(world: World, project_id: str, service: str, *, effective: float = 0.0) -> None:
    """Mark an API (`run.googleapis.com`) as on; calls pass from wall time `effective` on."""
    key = f"serviceusage/projects/{project_id}/services/{service}"
    if key not in world.store:
        world.store.put(key, {"service": service, "effective": effective})
        world.fire("api-enabled", project=project_id, api=service)


def create_given(world: World, given: dict[str, Any], apis: list[str]) -> None:
    """A project as `reset` asks for it: ACTIVE, billed, with the named APIs on; `["*"]` means all of `apis`."""
    project_id = str(given.get("projectId", ""))
    if not PROJECT_ID.fullmatch(project_id):
        raise ApiError("INVALID_ARGUMENT", f"not a project id: {project_id!r}")
    create(world, project_id, str(given.get("projectNumber", "")))
    world.store.put(f"cloudbilling/projects/{project_id}", {"billingAccountName": f"billingAccounts/{BILLING_ACCOUNT}"})
    asked = list(given.get("services", ["*"]))
    words = [*apis, *DEFAULT_SERVICES] if "*" in asked else [str(one).split(".", 1)[0] for one in asked]
    for word in sorted(set(words)):
        enable(world, project_id, f"{word}.googleapis.com")
    world.fire("project-created", project=project_id, origin="reset")
