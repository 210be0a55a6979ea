"""Enum numbers for the generated REST clients, which send `$alt=json;enum-encoding=int`, by their protobuf descriptors.

Discovery's order of enum values is not the numbering (launchStage GA is 4), so the descriptors decide.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from plantctl.sandbox.store import Body

# (api, version) -> module that registers the messages, their package, the prefix that discovery puts before names
PACKAGES = {
    ("run", "v2"): ("google.cloud.run_v2", "google.cloud.run.v2", "GoogleCloudRunV2"),
    ("redis", "v1"): ("google.cloud.redis_v1", "google.cloud.redis.v1", ""),
    ("secretmanager", "v1"): ("google.cloud.secretmanager_v1", "google.cloud.secretmanager.v1", ""),
}


def wanted(alt: str) -> bool:
    """Whether `$alt` or `alt` asks for numbers."""
    return "enum-encoding=int" in alt.replace(" ", "")


def to_names(api: str, version: str, schema: str | None, body: Any) -> Any:
    """The body with enum numbers replaced by names, where the API has descriptors; else as it is."""
    descriptor = _of_schema(api, version, schema)
    return _walk(descriptor, body, names=True) if descriptor is not None else body


def to_numbers(api: str, version: str, schema: str | None, body: Any) -> Any:
    """The answer with enum names replaced by numbers, also inside an operation's metadata and response."""
    if (api, version) not in PACKAGES or not isinstance(body, dict):
        return body
    descriptor = _of_schema(api, version, schema)
    if descriptor is not None:
        return _walk(descriptor, body, names=False)
    return {key: _any(value, names=False) for key, value in body.items()}


@cache
def _of_schema(api: str, version: str, schema: str | None) -> Descriptor | None:
    if schema is None or (api, version) not in PACKAGES:
        return None
    module, package, prefix = PACKAGES[api, version]
    importlib.import_module(module)
    return _message(f"{package}.{schema.removeprefix(prefix)}")


@cache
def _message(full_name: str) -> Descriptor | None:
    try:
        return descriptor_pool.Default().FindMessageTypeByName(full_name)
    except KeyError:
        return None


def _walk(descriptor: Descriptor, body: Any, *, names: bool) -> Any:
    if not isinstance(body, dict):
        return body
    fields = {field.json_name: field for field in descriptor.fields} | dict(descriptor.fields_by_name)
    result: Body = {}
    for key, value in body.items():
        field = fields.get(key)
        result[key] = value if field is None else _field(field, value, names=names)
    return result


def _field(field: FieldDescriptor, value: Any, *, names: bool) -> Any:
    if isinstance(value, list):
        return [_single(field, one, names=names) for one in value]
    message = field.message_type
    if message is not None and message.GetOptions().map_entry and isinstance(value, dict):
        inner = message.fields_by_name["value"]
        return {key: _single(inner, one, names=names) for key, one in value.items()}
    return _single(field, value, names=names)


def _single(field: FieldDescriptor, value: Any, *, names: bool) -> Any:
    if field.enum_type is not None:
        return _enum(field.enum_type, value, names=names)
    if field.message_type is None:
        return value
    if field.message_type.full_name == "google.protobuf.Any":
        return _any(value, names=names)
    return _walk(field.message_type, value, names=names)


def _enum(kind: EnumDescriptor, value: Any, *, names: bool) -> Any:
    if names and isinstance(value, int) and not isinstance(value, bool):
        found = kind.values_by_number.get(value)
        return found.name if found else value
    if not names and isinstance(value, str):
        found = kind.values_by_name.get(value)
        return found.number if found else value
    return value


def _any(value: Any, *, names: bool) -> Any:
    if not isinstance(value, dict) or "@type" not in value:
        return value
    descriptor = _message(str(value["@type"]).rsplit("/", 1)[-1])
    return _walk(descriptor, value, names=names) if descriptor is not None else value
