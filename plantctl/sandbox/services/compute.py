"""Compute Engine v1, the network part: one table of kinds and one set of standard methods (verbs: compute_verbs.py).

What the server fills in is from recorded exchanges; rules that no schema states name their source.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, Service, World
from plantctl.sandbox.services import compute_defaults as defaults

service = Service("compute", versions=("v1",))

ROOT = "https://www.googleapis.com/compute/v1"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1035 label (compute reference, `name`)."""


@dataclass(frozen=True)
class Kind:
    """One collection. `path`: its word in URLs; `param`: its path parameter; `fill`: what the server adds on insert.

    `fingerprint`: updates must send the current one (hazards C05). `check` raises on what Google refuses.
    `users` tells by which fields of which other collections it is in use (hazards C04).
    """

    id: str
    path: str
    kind: str
    param: str
    scope: str
    fill: Callable[[World, str, Body], Body]
    check: Callable[[World, str, Body, Body | None], None]
    fingerprint: str = ""
    users: tuple[tuple[str, str], ...] = ()


KINDS = (
    Kind(
        "networks", "networks", "compute#network", "network", "global",
        defaults.network, defaults.check_network,
        users=(("subnetworks", "network"), ("firewalls", "network"), ("routers", "network")),
    ),
    Kind(
        "subnetworks", "subnetworks", "compute#subnetwork", "subnetwork", "region",
        defaults.subnetwork, defaults.check_subnetwork, fingerprint="fingerprint",
    ),
    Kind("addresses", "addresses", "compute#address", "address", "region", defaults.address, defaults.check_address),
    Kind(
        "globalAddresses", "addresses", "compute#address", "address", "global",
        defaults.address, defaults.check_address,
    ),
    Kind(
        "firewalls", "firewalls", "compute#firewall", "firewall", "global",
        defaults.firewall, defaults.check_firewall,
    ),
    Kind("routers", "routers", "compute#router", "router", "region", defaults.router, defaults.check_router),
)  # fmt: skip
BY_ID = {kind.id: kind for kind in KINDS}


def kind_of(call: Call) -> Kind:
    """The kind that a method id `compute.<kind>.<verb>` names."""
    return BY_ID[call.method.id.split(".")[1]]


def scope_of(kind: Kind, call: Call) -> str:
    """`global` or `regions/r`."""
    return "global" if kind.scope == "global" else f"regions/{call.params['region']}"


def key_of(kind: Kind, call: Call, name: str = "") -> str:
    """Store key: `compute/projects/p/global/networks/n`."""
    name = name or str(call.params[kind.param])
    return f"compute/projects/{call.project}/{scope_of(kind, call)}/{kind.path}/{name}"


def live_of(kind: Kind, call: Call) -> tuple[str, Body]:
    """Key and body; 404 in compute's words. An id in place of the name is taken too, as Google does."""
    key = key_of(kind, call)
    found = call.store.get(key)
    wanted = str(call.params[kind.param])
    if found is None and wanted.isdigit():
        for other, body in call.store.list(key.removesuffix(wanted), direct=True):
            if body["id"] == wanted:
                return other, body
    if found is None:
        raise errors.not_found(f"The resource '{key.removeprefix('compute/')}' was not found")
    return key, found


def begin(call: Call, key: str, verb: str, finisher: str, args: dict[str, Any], scope: str) -> Body:
    """Start an operation on a resource; a repeated requestId answers with the first one's operation (discovery)."""
    request_id = str(call.params.get("requestId") or "")
    if request_id:
        seen = call.store.get(f"compute-request/{call.project}/{request_id}")
        known = call.operations.get(seen["operation"]) if seen else None
        if known is not None:
            return known.render()
    target = key.removeprefix("compute/")
    body = call.operations.start(
        call,
        kind="compute",
        finisher=finisher,
        duration_s=DURATIONS.get(call.method.id, 10.0),
        scope=scope,
        target=key,
        operation_type=defaults.OPERATION_TYPES.get(call.method.id, verb),
        target_link=f"{ROOT}/{target}" if verb else "",
        # no targetId: the recorded exchanges hold another resource's stand-in there (docs/sandbox.md, deviations)
        extra={"id": standard.number_id()},
        request_id=request_id,
        args={"key": key, **args},
    )
    if request_id:
        operation = f"operation/compute/projects/{call.project}/{scope}/operations/{body['name']}"
        call.store.put(f"compute-request/{call.project}/{request_id}", {"operation": operation})
    return body


def repeated(call: Call) -> Body | None:
    """The first answer's operation when this requestId was seen before, else None."""
    request_id = str(call.params.get("requestId") or "")
    seen = call.store.get(f"compute-request/{call.project}/{request_id}") if request_id else None
    known = call.operations.get(seen["operation"]) if seen else None
    return known.render() if known else None


@service.method(*(f"compute.{kind.id}.insert" for kind in KINDS))
def insert(call: Call) -> Body:
    """Checked at once; the resource is there when the operation is done, and its name is taken from now on."""
    if (seen := repeated(call)) is not None:
        return seen
    kind = kind_of(call)
    name = str(call.body.get("name", ""))
    if not NAME.fullmatch(name):
        raise errors.invalid(f"Invalid value for field 'resource.name': '{name}'. Must be a match of regex.")
    key = key_of(kind, call, name)
    if key in call.store or call.operations.of_target(key, running=True):
        raise errors.already_exists(f"The resource '{key.removeprefix('compute/')}' already exists")
    kind.check(call.world, call.project, call.body, None)
    scope = scope_of(kind, call)
    identity = standard.number_id()
    body: Body = {
        **{k: v for k, v in call.body.items() if v is not None},
        "kind": kind.kind,
        "id": identity,
        "creationTimestamp": call.clock.rfc3339(),
        "selfLink": f"{ROOT}/{key.removeprefix('compute/')}",
    }
    if kind.scope == "region":
        body["region"] = f"{ROOT}/projects/{call.project}/{scope}"
    body = kind.fill(call.world, call.project, body)
    return begin(call, key, "insert", "compute.put", {"id": identity, "body": body}, scope)


@service.finisher("put")
def finish_put(world: World, op: Operation) -> None:
    """The resource is there (insert) or changed (patch)."""
    world.store.put(op.args["key"], op.args["body"])


@service.method(*(f"compute.{kind.id}.get" for kind in KINDS))
def get(call: Call) -> Body:
    """One resource."""
    return live_of(kind_of(call), call)[1]


@service.method(*(f"compute.{kind.id}.list" for kind in KINDS))
def list_(call: Call) -> Body:
    """All of a scope; `filter` knows `name = x` and `name eq x`, as gcloud sends them."""
    kind = kind_of(call)
    prefix = f"compute/projects/{call.project}/{scope_of(kind, call)}/{kind.path}/"
    found = filtered([body for _, body in call.store.list(prefix, direct=True)], str(call.params.get("filter") or ""))
    link = f"{ROOT}/{prefix.removeprefix('compute/').rstrip('/')}"
    answer = standard.page(found, call.params, "items", size_param="maxResults")
    return {"kind": f"{kind.kind}List", "id": link.split("/v1/")[1], "selfLink": link, **answer}


@service.method(*(f"compute.{kind}.aggregatedList" for kind in ("subnetworks", "addresses", "routers")))
def aggregated(call: Call) -> Body:
    """All regions at once, as `gcloud compute ... list` asks."""
    kind = kind_of(call)
    items: Body = {}
    for key, body in call.store.list(f"compute/projects/{call.project}/"):
        match = re.fullmatch(rf"compute/projects/[^/]+/(global|regions/[^/]+)/{kind.path}/[^/]+", key)
        if match and filtered([body], str(call.params.get("filter") or "")):
            items.setdefault(match.group(1), {kind.path: []})[kind.path].append(body)
    return {
        "kind": f"{kind.kind}AggregatedList",
        "id": f"projects/{call.project}/aggregated/{kind.path}",
        "items": items,
    }


def filtered(items: list[Body], expression: str) -> list[Body]:
    """`field = value` and `field eq regex`, joined by AND; what is not understood is refused, never ignored.

    `eq` and `ne` compare by regular expression over the whole value (compute reference, filter), which gcloud sends.
    """
    for part in re.split(r"\s+AND\s+|(?<=\))\s*(?=\()", expression) if expression else []:
        match = re.fullmatch(r'\(?\s*([\w.]+)\s*(=|eq|:|!=|ne)\s*"?([^")]*)"?\s*\)?', part.strip())
        if not match:
            raise errors.invalid(f"Invalid value for field 'filter': '{expression}'. Invalid list filter expression.")
        field, operator, wanted = match.groups()
        keep = []
        for item in items:
            pattern = wanted if operator in ("eq", "ne") else re.escape(wanted).replace(r"\*", ".*")
            same = re.fullmatch(pattern, str(item.get(field, ""))) is not None
            if same == (operator in ("=", "eq", ":")):
                keep.append(item)
        items = keep
    return items


@service.method("compute.networks.patch", "compute.subnetworks.patch", "compute.firewalls.patch",
                "compute.firewalls.update", "compute.routers.patch", "compute.routers.update")  # fmt: skip
def patch(call: Call) -> Body:
    """Merge patch; arrays replace as a whole (hazards C18); a stale fingerprint answers 412 (hazards C05)."""
    if (seen := repeated(call)) is not None:
        return seen
    kind = kind_of(call)
    key, live = live_of(kind, call)
    given = {field: value for field, value in call.body.items() if field not in defaults.FIXED}
    if kind.fingerprint and standard.stale(given.pop(kind.fingerprint, None), live.get(kind.fingerprint)):
        raise errors.condition_not_met("Invalid fingerprint.")
    kind.check(call.world, call.project, given, live)
    base = live if call.method.id.endswith("patch") else {k: live[k] for k in defaults.IDENTITY if k in live}
    body = kind.fill(call.world, call.project, standard.merge(base, given))
    return begin(
        call,
        key,
        call.method.id.rsplit(".", 1)[1],
        "compute.put",
        {"id": live["id"], "body": body},
        scope_of(kind, call),
    )


@service.method(*(f"compute.{kind.id}.delete" for kind in KINDS))
def delete(call: Call) -> Body:
    """Accepted in any case; whether something refers to the resource is seen by the operation."""
    if (seen := repeated(call)) is not None:
        return seen
    kind = kind_of(call)
    key, live = live_of(kind, call)
    return begin(call, key, "delete", "compute.delete", {"id": live["id"], "kind": kind.id}, scope_of(kind, call))


@service.finisher("delete")
def finish_delete(world: World, op: Operation) -> None:
    """The resource is gone; while something refers to it the operation fails (hazards C04; recorded exchange)."""
    kind, tail = BY_ID[op.args["kind"]], op.target.removeprefix("compute/")
    for other, field in kind.users:
        for used_by, body in world.store.list(f"compute/projects/{op.project}/"):
            if f"/{BY_ID[other].path}/" in used_by and world.canonical(str(body.get(field, ""))) == tail:
                user = used_by.removeprefix("compute/")
                message = f"The {kind.param} resource '{tail}' is already being used by '{user}'"
                raise errors.invalid(message, legacy_reason="RESOURCE_IN_USE_BY_ANOTHER_RESOURCE")
    world.store.delete(op.args["key"])
