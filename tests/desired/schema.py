"""What Google's discovery documents say against a body: unknown and read-only fields, enums, types. No server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient.discovery_cache as cache_package

from plantctl.gcp.methods import api_of

DOCUMENTS = Path(str(cache_package.__file__)).parent / "documents"
SCALARS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
}


@cache
def document(api: str, version: str) -> dict[str, Any]:
    """A discovery document as the client library carries it."""
    found: dict[str, Any] = json.loads((DOCUMENTS / f"{api}.{version}.json").read_text())
    return found


def request_of(method_id: str) -> tuple[str, str, str]:
    """(API, version, schema) of the body that a method takes; an empty schema when it takes none."""
    api, version = api_of(method_id)
    node: Any = document(api, version)
    *resources, verb = method_id.split(".")[1:]
    for word in resources:
        node = node["resources"][word]
    return api, version, str(node["methods"][verb].get("request", {}).get("$ref", ""))


def problems(api: str, version: str, schema: str, body: Any) -> list[str]:
    """Every fault of a body as `path: what`, empty when Google would take its shape."""
    schemas = document(api, version)["schemas"]
    return list(_walk(schemas, {"$ref": schema}, body, schema))


def _walk(schemas: dict[str, Any], rule: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    if rule.get("readOnly"):
        yield f"{path}: output only"
    if rule.get("deprecated"):
        yield f"{path}: deprecated"
    if "$ref" in rule:
        rule = schemas[rule["$ref"]]
    kind = str(rule.get("type", "any"))
    if kind == "any":
        return
    if not isinstance(value, SCALARS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{path}: {type(value).__name__} where {kind} is wanted"
        return
    if "enum" in rule and value not in rule["enum"]:
        yield f"{path}: {value!r} not in {rule['enum']}"
    if rule.get("format") in ("int64", "uint64") and kind == "string" and not str(value).lstrip("-").isdigit():
        yield f"{path}: {value!r} is no number"
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from _walk(schemas, rule["items"], item, f"{path}[{place}]")
    if isinstance(value, dict):
        yield from _fields(schemas, rule, value, path)


def _fields(schemas: dict[str, Any], rule: dict[str, Any], value: dict[str, Any], path: str) -> Iterator[str]:
    for name, inner in value.items():
        known = rule.get("properties", {}).get(name) or rule.get("additionalProperties")
        if known is None:
            yield f"{path}.{name}: unknown field"
        else:
            yield from _walk(schemas, known, inner, f"{path}.{name}")
