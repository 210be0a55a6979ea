"""Memorystore for Redis: what all its files share. Keys, look-ups, refusals, one administrative operation at a time."""

from __future__ import annotations

from typing import Any

from plantctl.sandbox import errors
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.service import Call, Service, World
from plantctl.sandbox.store import Body

service = Service("redis", versions=("v1", "v1beta1"))

INSTANCES = "redis.projects.locations.instances"
STATES = {"update": "UPDATING", "upgrade": "UPDATING", "failover": "FAILING_OVER", "import": "IMPORTING"}
"""What an instance is while an operation runs; it serves on during an export (instances.export, discovery)."""


def auth_key(key: str) -> str:
    """Where the AUTH string of an instance lies: apart from what `get` shows."""
    return key.replace("redis/", "redis-auth/", 1)


def bad(message: str, field: str, value: object = "") -> ApiError:
    """400 INVALID_ARGUMENT; the violation's words are `Invalid value: <value>` (hazards R02, seen in issues)."""
    violation = {"field": field, "description": f"Invalid value: {value}"}
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    return ApiError("INVALID_ARGUMENT", message, details=details)


def missing(name: str) -> ApiError:
    """404 (recorded exchange)."""
    return errors.not_found(f"Resource '{name}' was not found")


def live(call: Call) -> tuple[str, Body]:
    """Key and body of the instance that the call names; 404 where there is none."""
    key = f"redis/{call.name()}"
    found = call.store.get(key)
    if found is None:
        raise missing(call.name())
    return key, found


def ready(call: Call, verb: str) -> tuple[str, Body]:
    """The instance, free for an operation: READY, and nothing runs on it (hazards R05; product constraints page)."""
    key, found = live(call)
    if found["state"] != "READY" or call.operations.of_target(key, running=True):
        words = f"Unable to {verb} due to ongoing operations. Please wait until instance is in READY state."
        raise errors.failed_precondition(words)  # seen for failover (apache/airflow#11735); unverified for the others
    return key, found


def start(call: Call, verb: str, key: str, args: dict[str, Any]) -> Body:
    """Accept an operation on an instance and put it into the state that goes with the verb."""
    name = key.removeprefix("redis/")
    found = call.store.get(key)
    if found is not None and verb in STATES:
        call.store.put(key, {**found, "state": STATES[verb]})
    kind = "google.protobuf.Empty" if verb == "delete" else f"google.cloud.redis.{call.method.version}.Instance"
    answer = call.operations.start(
        call,
        kind="lro",
        finisher=f"redis.{verb}",
        duration_s=DURATIONS.get(call.method.id, 60.0),
        name="/".join(name.split("/")[:4]),
        target=key,
        metadata={
            "@type": f"type.googleapis.com/google.cloud.redis.{call.method.version}.OperationMetadata",
            "createTime": call.clock.rfc3339(),
            "target": name,
            "verb": verb,
            "apiVersion": call.method.version,
        },
        response_type=f"type.googleapis.com/{kind}",
        args=args,
    )
    return {**answer, "done": False}  # recorded exchange


def settle(world: World, key: str, changes: Body) -> Body:
    """READY again, with these changes; gives what the operation answers."""
    found = world.store.get(key)
    if found is None:
        raise missing(key.removeprefix("redis/"))
    return world.store.put(key, {**found, **changes, "state": "READY"})
