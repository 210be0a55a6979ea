"""Enum numbers of an API without descriptors at hand: the position in discovery, where that is the numbering.

Monitoring's dashboards are such an API. Aligners and reducers have gaps in their numbers, and are the same as in v3.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool

APIS = frozenset({("monitoring", "v1")})
Schemas = dict[str, dict[str, Any]]


def walk(schemas: Schemas, schema: dict[str, Any], value: Any, *, names: bool) -> Any:
    """The value with names for numbers, or numbers for names."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    if isinstance(value, list):
        return [walk(schemas, schema.get("items", schema), one, names=names) for one in value]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return {key: walk(schemas, known[key], one, names=names) if key in known else one for key, one in value.items()}
    if "enum" not in schema:
        return value
    if names and isinstance(value, int) and not isinstance(value, bool):
        return next((word for word in schema["enum"] if _number(schema, word) == value), value)
    if not names and value in schema["enum"]:
        return _number(schema, value)
    return value


def _number(schema: dict[str, Any], word: str) -> int:
    numbers = _of_aggregation() if word.startswith(("ALIGN_", "REDUCE_")) else {}
    return numbers.get(word, list(schema["enum"]).index(word))


@cache
def _of_aggregation() -> dict[str, int]:
    importlib.import_module("google.cloud.monitoring_v3")
    found = descriptor_pool.Default().FindMessageTypeByName("google.monitoring.v3.Aggregation")
    return {value.name: value.number for kind in found.enum_types for value in kind.values}
