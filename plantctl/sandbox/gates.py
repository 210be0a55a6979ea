"""What stands before every handler: the project exists, the API is on in it and known to be on (hazards S01, S14)."""

from __future__ import annotations

import re
from typing import Any

from plantctl.sandbox.catalog import title_of
from plantctl.sandbox.errors import ApiError, denied
from plantctl.sandbox.service import Call

# these work on projects that have nothing enabled yet (gcp predeploy.project.apis; they are on in the caller's project)
EXEMPT = frozenset({"serviceusage", "cloudresourcemanager", "cloudbilling"})
NETWORK = re.compile(r"^projects/([^/]+)/global/networks/")


def check(call: Call, body: dict[str, Any]) -> None:
    """Raises 403 PERMISSION_DENIED: no such project, or SERVICE_DISABLED with its ErrorInfo."""
    api = call.method.api
    project = call.project or _consumer(call, body)
    if api in EXEMPT or project in ("", "-", "_"):
        return
    found = call.store.get(f"cloudresourcemanager/projects/{project}")
    if found is None:
        raise denied("The caller does not have permission")
    if found.get("state") == "DELETE_REQUESTED":
        raise denied(
            f"Permission denied: Consumer 'project:{project}' has been suspended.",
            reason="CONSUMER_SUSPENDED",
            metadata={"consumer": f"projects/{project}", "service": f"{api}.googleapis.com"},
        )
    service = f"{api}.googleapis.com"
    entry = call.store.get(f"serviceusage/projects/{project}/services/{service}")
    if entry is None or call.clock.wall() < float(entry.get("effective", 0)):
        title = title_of(api)
        raise _disabled(str(found["projectNumber"]), service, title)


def _consumer(call: Call, body: dict[str, Any]) -> str:
    # servicenetworking names its consumer in the body; else the quota project that the client names
    found = NETWORK.match(str(body.get("network", "") or call.params.get("network", "")))
    named = found.group(1) if found else call.headers.get("x-goog-user-project", "")
    return call.world.project_id(named) if named else ""


def _disabled(number: str, service: str, title: str) -> ApiError:
    url = f"https://console.developers.google.com/apis/api/{service}/overview?project={number}"
    message = (
        f"{title} has not been used in project {number} before or it is disabled. Enable it by visiting {url} then "
        "retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and "
        "retry."
    )
    link = {"description": "Google developers console API activation", "url": url}
    return denied(
        message,
        legacy_reason="accessNotConfigured",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": {
                    "consumer": f"projects/{number}",
                    "service": service,
                    "serviceTitle": title,
                    "containerInfo": number,
                    "activationUrl": url,
                },
            },
            {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US", "message": message},
            {"@type": "type.googleapis.com/google.rpc.Help", "links": [link]},
        ],
    )
