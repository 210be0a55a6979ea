"""Unary RPCs as the REST requests of the same methods, by protobuf descriptors and discovery documents alone.

Nothing here is particular to a service: `CreateAlertPolicy` is `alertPolicies.create`, its request holds the path's
`name`, the body in the field of the body's type, and the query parameters under their discovery names (sandbox 2).
"""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor

from plantctl.sandbox.catalog import VARIABLE, Catalog, Spec
from plantctl.sandbox.enums import PACKAGES as LIBRARIES
from plantctl.sandbox.errors import ApiError, invalid, unimplemented
from plantctl.sandbox.gateway import Request
from plantctl.sandbox.service import World
from plantctl.sandbox.store import Body

# package -> api, version, module that registers its messages
PACKAGES: dict[str, tuple[str, str, str]] = {
    "google.monitoring.v3": ("monitoring", "v3", "google.cloud.monitoring_v3"),
    **{package: (*api, module) for api, (module, package, _) in LIBRARIES.items()},
}
SHARED = ("google.api", "google.iam.v1", "google.longrunning", "google.protobuf")
"""Packages of messages that several APIs use."""
LONGRUNNING = "google.longrunning"
# what discovery puts before the names of messages
PREFIX = re.compile(r"^Google(CloudRunV2|Longrunning|IamV1|Protobuf)(?=[A-Z])")
RPC = re.compile(r"^/([\w.]+)\.(\w+)/(\w+)$")


@dataclass(frozen=True, kw_only=True)
class Transcoded:
    """An RPC as REST: what goes to the gateway, and the type of its answer; or why it goes nowhere."""

    request: Request
    answer: Descriptor | None = None
    refused: ApiError | None = None


class Transcoder:
    """Thread-safe; keeps nothing."""

    def __init__(self, catalog: Catalog, world: World) -> None:
        self._catalog = catalog
        self._world = world

    def request(self, rpc: str, message: bytes, headers: dict[str, str]) -> Transcoded:
        """`/google.monitoring.v3.AlertPolicyService/CreateAlertPolicy` and its request's bytes, as REST."""
        package, service, word = (RPC.match(rpc) or _anything(rpc)).groups()
        nowhere = Request(transport="grpc", api=package, verb="POST", path=f"{service}/{word}", headers=headers)
        kind = _message((package, *SHARED), f"{word}Request")
        if kind is None:
            return Transcoded(request=nowhere, refused=unimplemented(rpc))
        given = message_factory.GetMessageClass(kind)()
        given.ParseFromString(message)
        fields = json_format.MessageToDict(given)
        home = self._owner(str(fields.get("name", ""))) if package == LONGRUNNING else PACKAGES.get(package)
        named = [spec for spec in self._methods(home) if word in rpc_names(spec.id)] if home else []
        if not named:
            return Transcoded(request=nowhere, refused=unimplemented(rpc))
        for spec in named:
            plain = _plain(spec, kind, dict(fields))
            if plain is not None:
                request = Request(
                    transport="grpc", api=spec.method.api, verb=spec.method.verb, headers=headers, **plain
                )
                return Transcoded(request=request, answer=_answer_type(package, spec))
        return Transcoded(request=nowhere, refused=invalid("Name must begin with '{resource_container}/{id}'.", "name"))

    def _methods(self, home: tuple[str, str, str]) -> list[Spec]:
        api, version, module = home
        importlib.import_module(module)
        return list(self._catalog.document(api, version).methods.values())

    def _owner(self, operation: str) -> tuple[str, str, str] | None:
        """One Operations service stands for all APIs; the record tells whose the operation is."""
        name = self._world.canonical(operation)
        return next((home for home in PACKAGES.values() if f"operation/{home[0]}/{name}" in self._world.store), None)


@cache
def rpc_names(method_id: str) -> frozenset[str]:
    """What an RPC may be called whose discovery method has this id (AIP-130 to 136).

    `secrets.addVersion` is AddSecretVersion, `secrets.versions.list` ListSecretVersions, `timeSeries.createService`
    CreateServiceTimeSeries.
    """
    *above, collection, verb = method_id.split(".")[1:]
    first, *rest = re.findall(r"[A-Z]?[a-z0-9]+", verb)
    head, tail = {"patch": "Update"}.get(first, first.capitalize()), "".join(rest)
    owner = _capital(_singular(above[-1])) if above else ""
    nouns = [_capital(_singular(collection)), _capital(collection)]
    return frozenset(
        {head + tail}
        | {head + noun + tail for noun in nouns}
        | {head + tail + noun for noun in nouns}
        | {head + owner + noun + tail for noun in nouns}
    )


def _singular(word: str) -> str:
    if word.lower().endswith("series"):
        return word
    return word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _anything(rpc: str) -> re.Match[str]:
    found = re.match(r"^/?()()(.*)$", rpc, re.DOTALL)
    assert found is not None
    return found


def _plain(spec: Spec, kind: Descriptor, fields: Body) -> dict[str, Any] | None:
    """path, query and body of the REST request, or None where the names in the request do not fit the method's path."""
    body = _body(spec, kind, fields)
    path = spec.method.path
    for plus, name in VARIABLE.findall(path):
        value = str(fields.pop(name, None) or (body or {}).get(name, ""))
        if not re.fullmatch(str(spec.parameters[name].get("pattern", ".+")), value):
            return None
        path = path.replace(f"{{{plus}{name}}}", quote(value, safe="/"))
    if body is fields:
        query: list[tuple[str, str]] = []
    else:
        query = list(_pairs(fields))
    return {"path": path, "query": urlencode(query), "body": b"" if body is None else json.dumps(body).encode()}


def _body(spec: Spec, kind: Descriptor, fields: Body) -> Body | None:
    """The body: the field of the body's type, which is taken out, or all that no path names."""
    if spec.method.request is None:
        return None
    wanted = PREFIX.sub("", spec.method.request)
    for field in kind.fields:
        if field.message_type is not None and field.message_type.name == wanted:
            return dict(fields.pop(field.json_name, {}))
    return fields


def _pairs(fields: Body, prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in fields.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found += _pairs(value, f"{name}.")
        else:
            many = value if isinstance(value, list) else [value]
            found += [(name, str(one).lower() if isinstance(one, bool) else str(one)) for one in many]
    return found


def _answer_type(package: str, spec: Spec) -> Descriptor | None:
    return _message((package, *SHARED), PREFIX.sub("", spec.method.response or "Empty"))


def _message(packages: tuple[str, ...], name: str) -> Descriptor | None:
    """The first message of that name; the packages' modules are imported when they are first asked for."""
    for package in packages:
        _register(package)
        try:
            return descriptor_pool.Default().FindMessageTypeByName(f"{package}.{name}")
        except KeyError:
            continue
    return None


@cache
def _register(package: str) -> None:
    modules = {
        "google.api": ("google.api.metric_pb2", "google.api.monitored_resource_pb2"),
        "google.iam.v1": ("google.iam.v1.iam_policy_pb2",),
        LONGRUNNING: ("google.longrunning.operations_pb2",),
        "google.protobuf": ("google.protobuf.empty_pb2",),
    }
    for module in modules.get(package, (PACKAGES[package][2],) if package in PACKAGES else ()):
        importlib.import_module(module)
