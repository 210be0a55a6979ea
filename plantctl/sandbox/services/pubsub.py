"""Pub/Sub v1: topics alone, as targets of secrets' notifications, sinks and alerts. Nothing is delivered."""

from __future__ import annotations

import re

from plantctl.sandbox import errors, standard
from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.service import Body, Call, Service

service = Service("pubsub", versions=("v1",))

TOPICS = "pubsub.projects.topics"
TOPIC = re.compile(r"[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
"""Pub/Sub documentation, "resource names"; `goog` is reserved at the start."""


@service.method(f"{TOPICS}.create")
def create_topic(call: Call) -> Body:
    """A topic under the name in the path."""
    name = call.name()
    topic = name.rsplit("/", 1)[-1]
    if not TOPIC.fullmatch(topic) or topic.startswith("goog"):
        raise errors.invalid(f"Invalid resource name given (name={name}).", "name")
    if f"pubsub/{name}" in call.store:
        raise errors.already_exists(f"Resource already exists in the project (resource={topic}).")
    return call.store.put(f"pubsub/{name}", {**call.body, "name": name})


@service.method(f"{TOPICS}.get")
def get_topic(call: Call) -> Body:
    """One topic."""
    return _found(call, "topic")[1]


@service.method(f"{TOPICS}.list")
def list_topics(call: Call) -> Body:
    """All topics of the project."""
    prefix = f"pubsub/{call.name('project')}/topics/"
    return standard.page([body for _, body in call.store.list(prefix)], call.params, "topics")


@service.method(f"{TOPICS}.patch")
def patch_topic(call: Call) -> Body:
    """The masked fields of `topic`."""
    key, live = _found(call, "name")
    given = {field: value for field, value in (call.body.get("topic") or {}).items() if field != "name"}
    return call.store.put(key, standard.masked(live, given, str(call.body.get("updateMask", ""))))


@service.method(f"{TOPICS}.delete")
def delete_topic(call: Call) -> Body:
    """Gone at once, with its policy."""
    key, _ = _found(call, "topic")
    call.store.delete(key)
    call.store.delete(f"iam-policy/{key}")
    return {}


def _found(call: Call, param: str) -> tuple[str, Body]:
    name = call.name(param)
    body = call.store.get(f"pubsub/{name}")
    if body is None:
        raise errors.not_found(f"Resource not found (resource={name.rsplit('/', 1)[-1]}).")
    return f"pubsub/{name}", body


iam_policy_handlers(
    service,
    (f"{TOPICS}.getIamPolicy", f"{TOPICS}.setIamPolicy", f"{TOPICS}.testIamPermissions"),
    lambda call: _found(call, "resource")[0],
)
