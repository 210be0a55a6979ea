"""Requests and answers against Google's discovery schemas; the words are those of Google's JSON front end."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from plantctl.sandbox.catalog import Document, Spec
from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.store import Body

SYSTEM = frozenset(
    {
        "$.xgafv", "$alt", "$prettyPrint", "$httpMethod", "$outputDefaults", "$userProject", "$fields", "$key",
        "$callback", "$ct", "$apiVersion", "access_token", "alt", "callback", "fields", "key", "oauth_token",
        "prettyPrint", "quotaUser", "uploadType", "upload_protocol", "upload_id", "userIp", "userProject", "passwd",
        "returnPartialSuccess",  # compute's document recommends it in words only; gcloud sends it with every list
    }
)  # fmt: skip
TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$")
DURATION = re.compile(r"^-?\d{1,12}(\.\d{1,9})?s$")
INTEGER = re.compile(r"^-?\d+$")
INT_RANGE = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
TYPE_WORD = {"int32": "TYPE_INT32", "uint32": "TYPE_UINT32", "int64": "TYPE_INT64", "uint64": "TYPE_UINT64"}
# the older front end ignores query parameters that it does not know
LENIENT_QUERY = frozenset({"storage"})


class Violations:
    """Collects (field, description) pairs; `raise_if_any` makes one 400 of them, as Google does."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, field: str, text: str) -> None:
        """One more."""
        self.found.append((field, text))

    def unknown(self, path: str, name: str) -> None:
        """An unknown field in a body."""
        where = f" at '{path}'" if path else ""
        self.add(path, f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')

    def value(self, path: str, kind: str, value: Any) -> None:
        """A value of the wrong type or out of range."""
        shown = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else value
        self.add(path, f"Invalid value at '{path}' ({kind}), {shown}")

    def raise_if_any(self) -> None:
        """400 INVALID_ARGUMENT with a google.rpc.BadRequest."""
        if self.found:
            violations = [
                {"field": field, "description": text} if field else {"description": text} for field, text in self.found
            ]
            raise ApiError(
                "INVALID_ARGUMENT",
                "\n".join(text for _, text in self.found),
                legacy_reason="invalid",
                details=[{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}],
            )


def query(spec: Spec, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Query parameters by discovery name, typed (int, bool, list), and `alt`; 400 where one does not fit."""
    bad = Violations()
    result: dict[str, Any] = {}
    for raw, text in pairs:
        name = raw if raw in spec.parameters else _camel(raw)
        if name in spec.parameters and spec.parameters[name].get("location") == "query":
            parameter = spec.parameters[name]
            value = _parameter(parameter, text, name, bad)
            if parameter.get("repeated"):
                result.setdefault(name, []).append(value)
            else:
                result[name] = value
        elif raw == "alt":
            result["alt"] = text  # handlers of media look at it
        elif raw not in SYSTEM and spec.method.api not in LENIENT_QUERY and name not in spec.parameters:
            bad.add(
                "",
                f'Invalid JSON payload received. Unknown name "{raw}": Cannot bind query parameter. '
                f"Field '{raw}' could not be found in request message.",
            )
    bad.raise_if_any()
    return result


def required(spec: Spec, params: dict[str, Any]) -> None:
    """400 where a required query parameter is missing, or a path parameter does not fit its pattern."""
    for name, parameter in spec.parameters.items():
        if parameter.get("required") and name not in params:
            raise ApiError("INVALID_ARGUMENT", f"Required parameter: {name}", legacy_reason="required")
        pattern = parameter.get("pattern")
        plain = pattern and parameter.get("location") == "path" and f"{{{name}}}" in spec.method.path
        if plain and not re.fullmatch(str(pattern), str(params[name])):
            raise ApiError(
                "INVALID_ARGUMENT",
                f"Invalid value for field '{name}': '{params[name]}'. Must be a match of regex '{pattern}'",
                legacy_reason="invalidParameter",
            )


def body(spec: Spec, value: Any) -> Body:
    """The request body with Google's names and canonical values; read-only fields dropped; 400 for what does not fit.

    int64 becomes a string, integers become ints. null is kept in PATCH (it clears), else it means absent. What the path
    has already said may be said again at the top of a verb's body (recorded exchange: `name` of versions:disable).
    """
    if spec.method.request is None or value is None:
        return {}
    bad = Violations()
    if not isinstance(value, dict):
        raise ApiError("INVALID_ARGUMENT", "Invalid JSON payload received. Root element must be a message.")
    keep_null = spec.method.verb == "PATCH"
    if ":" in spec.method.path.rsplit("/", 1)[-1]:
        known = spec.document.schemas[spec.method.request].get("properties", {})
        value = {key: one for key, one in value.items() if key in known or key not in spec.parameters}
    result = _Reader(spec.document, bad, keep_null=keep_null).message(spec.method.request, value, "")
    bad.raise_if_any()
    return result


def answer(spec: Spec, value: Any) -> list[str]:
    """What of an answer does not fit its schema: texts, empty when all is well. Read-only fields count as fields."""
    if spec.method.response is None:
        return []
    bad = Violations()
    _Reader(spec.document, bad, keep_null=False, output=True).message(spec.method.response, value, "")
    return [text for _, text in bad.found]


class _Reader:
    """Walks a JSON value along a schema."""

    def __init__(self, document: Document, bad: Violations, *, keep_null: bool, output: bool = False) -> None:
        self.schemas = document.schemas
        self.bad = bad
        self.keep_null = keep_null
        self.output = output

    def message(self, name: str, value: Any, path: str) -> Body:
        return self._object(self.schemas[name], value, path)

    def _object(self, schema: dict[str, Any], value: Any, path: str) -> Body:
        if not isinstance(value, dict):
            self.bad.value(path, "Message", value)
            return {}
        properties = schema.get("properties")
        extra = schema.get("additionalProperties")
        if properties is None and extra is None:
            if value and "properties" not in schema and schema.get("type") == "object" and schema.get("id"):
                for name in value:
                    if not name.startswith("@"):
                        self.bad.unknown(path, name)
            return value
        result: Body = {}
        for raw, item in value.items():
            at = f"{path}.{raw}" if path else raw
            name = raw if properties and raw in properties else _camel(raw)
            if properties and name in properties:
                self._property(properties[name], name, item, at, result)
            elif raw.startswith("@"):
                result[raw] = item
            elif extra is not None and item is None and self.keep_null:
                result[raw] = None  # a merge patch takes this entry out of the map
            elif extra is not None:
                result[raw] = self._value(extra, item, f'{path}["{raw}"]' if path else raw)
            else:
                self.bad.unknown(path, raw)
        return result

    def _property(self, schema: dict[str, Any], name: str, item: Any, path: str, result: Body) -> None:
        if schema.get("readOnly") and not self.output:
            return
        if item is None and schema.get("type") != "any":
            if self.output:
                self.bad.value(path, "null", "null")
            elif self.keep_null:
                result[name] = None
            return
        result[name] = self._value(schema, item, path)

    def _value(self, schema: dict[str, Any], item: Any, path: str) -> Any:
        if "$ref" in schema:
            return self._object(self.schemas[schema["$ref"]], item, path)
        kind = schema.get("type")
        if kind == "array":
            if not isinstance(item, list):
                self.bad.value(path, "Repeated", item)
                return []
            return [self._value(schema["items"], one, f"{path}[{i}]") for i, one in enumerate(item)]
        if kind == "object":
            return self._object(schema, item, path)
        if kind == "any":
            return item
        return _scalar(schema, item, path, self.bad, strict=self.output)


def _scalar(schema: dict[str, Any], item: Any, path: str, bad: Violations, *, strict: bool) -> Any:
    kind, form = schema.get("type"), schema.get("format", "")
    if kind == "boolean":
        if not strict and item in ("true", "false"):
            return item == "true"
        if not isinstance(item, bool):
            bad.value(path, "TYPE_BOOL", item)
        return item
    if form in INT_RANGE or kind == "integer":
        return _integer(schema, item, path, bad, strict=strict)
    if kind == "number":
        return _number(item, path, bad)
    if not isinstance(item, str):
        if not strict and schema.get("enum") and isinstance(item, int) and not isinstance(item, bool):
            return _enum_by_position(schema, item)
        bad.value(path, "TYPE_ENUM" if schema.get("enum") else "TYPE_STRING", item)
        return item
    return _text(schema, item, path, bad)


def _text(schema: dict[str, Any], item: str, path: str, bad: Violations) -> str:
    form = schema.get("format", "")
    allowed = schema.get("enum")
    if allowed and item not in allowed and item != "":
        bad.value(path, "Enum", item)
    elif form == "google-datetime" and not TIMESTAMP.match(item):
        bad.value(path, "type.googleapis.com/google.protobuf.Timestamp", item)
    elif form == "google-duration" and not DURATION.match(item):
        bad.value(path, "type.googleapis.com/google.protobuf.Duration", item)
    elif form == "byte" and not _base64(item):
        bad.value(path, "TYPE_BYTES", item)
    return item


def _integer(schema: dict[str, Any], item: Any, path: str, bad: Violations, *, strict: bool) -> Any:
    form = schema.get("format", "int32")
    as_text = schema.get("type") == "string"
    whole = isinstance(item, float) and item.is_integer()
    numeric = (isinstance(item, int) and not isinstance(item, bool)) or whole
    textual = isinstance(item, str) and INTEGER.match(item) is not None
    if not (numeric or textual) or (strict and as_text != textual):
        bad.value(path, TYPE_WORD.get(form, "TYPE_INT32"), item)
        return item
    number = int(item)
    low, high = INT_RANGE.get(form, INT_RANGE["int64"])
    if not low <= number <= high:
        bad.value(path, TYPE_WORD.get(form, "TYPE_INT32"), item)
    return str(number) if as_text else number


def _number(item: Any, path: str, bad: Violations) -> Any:
    if isinstance(item, (int, float)) and not isinstance(item, bool):
        return item
    if isinstance(item, str):
        try:
            return float(item)
        except ValueError:
            pass
    bad.value(path, "TYPE_DOUBLE", item)
    return item


def _enum_by_position(schema: dict[str, Any], item: int) -> Any:
    # only where no proto descriptor is at hand (enums.py knows the numbers of the GAPIC clients' APIs)
    names = schema["enum"]
    return names[item] if 0 <= item < len(names) else item


def _parameter(parameter: dict[str, Any], text: str, name: str, bad: Violations) -> Any:
    if parameter.get("type") == "boolean":
        if text.lower() not in ("true", "false", "1", "0", ""):
            bad.value(name, "TYPE_BOOL", text)
        return text.lower() in ("true", "1", "")
    if text == "" and parameter.get("type") != "string":
        return 0
    if parameter.get("enum") and INTEGER.match(text):
        return _enum_by_position(parameter, int(text))
    return _scalar(parameter, text, name, bad, strict=False)


def _base64(text: str) -> bool:
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        return False
    return True


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)
