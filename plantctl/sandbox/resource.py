"""The canonical name of what a request is about: key of faults, of IAM checks and of the wire log's `resource`."""

from __future__ import annotations

import re
from typing import Any

from plantctl.sandbox.catalog import VARIABLE, Match
from plantctl.sandbox.service import World

NOT_IDS = frozenset({"requestId", "projectId", "clientOperationId", "orderId", "parentId"})
PREFIX = re.compile(r"^(?:(?:sql|compute|storage|dns|upload|resumable)/)*(?:v\d\w*|beta|alpha)/")


def resource_of(match: Match, params: dict[str, Any], body: Any, world: World) -> str:
    """`<api>/<full name with project id>`; a create names the new resource where the client chose the id."""
    method = match.spec.method
    path = VARIABLE.sub(lambda found: str(params.get(found.group(2), "")), method.path)
    path = PREFIX.sub("", path)
    path = re.sub(r":\w+$", "", path)
    if method.verb == "POST" and ":" not in method.path.rsplit("/", 1)[-1] and not method.path.endswith("}"):
        new = _chosen_id(params, body if isinstance(body, dict) else {})
        path = f"{path}/{new}" if new else path
    return f"{method.api}/{world.canonical(path)}"


def _chosen_id(params: dict[str, Any], body: dict[str, Any]) -> str:
    for name, value in params.items():
        if name.endswith("Id") and name not in NOT_IDS and value:
            return str(value)
    for name in ("name", "accountId", "projectId", "roleId"):
        value = params.get(name) if name == "name" else None
        value = value if value and "/" not in str(value) else body.get(name)
        if value:
            return str(value).rsplit("/", 1)[-1]
    return ""
