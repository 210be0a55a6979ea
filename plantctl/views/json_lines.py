"""A run as JSON, one object a line: `{"schema_version": 1, "event": "run-finished", ...}`. For scripts and CI."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TextIO

from plantctl.model.events import Event, ItemFinished
from plantctl.model.step import Change, Finding, Later

SCHEMA_VERSION = 1


class JsonLinesView:
    """Writes each event at once and flushes, so that a reader at the other end of a pipe follows live."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: Event) -> None:
        """Write one line."""
        self._out.write(json.dumps(event_document(event), ensure_ascii=False) + "\n")
        self._out.flush()

    def remark(self, text: str) -> None:
        """Not for scripts."""

    def close(self) -> None:
        """Nothing to give back."""


def event_document(event: Event) -> dict[str, object]:
    """The event, its name in kebab-case; without `item` where there is none, nor a finished item's empty words."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()
    body = {field.name: plain(getattr(event, field.name)) for field in fields(event)}
    if not body["item"]:
        del body["item"]
    if isinstance(event, ItemFinished):
        body = {key: value for key, value in body.items() if value not in ("", None)}
    return {"schema_version": SCHEMA_VERSION, "event": name, **body}


def plain(value: object) -> object:
    """A value as JSON knows it. Sensitive changes lose their values; what is no plain type is written as its words,
    so that a Secret shows its stars."""
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, Change):
        return _change(value)
    if isinstance(value, Finding):
        return finding_document(value)
    if isinstance(value, Later):
        return {"later": str(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)


def finding_document(finding: Finding) -> dict[str, object]:
    """Verdict, reason, hint, operation and changes; facts stay inside."""
    return {
        "verdict": str(finding.verdict),
        "reason": finding.reason,
        "hint": finding.hint,
        "operation": finding.operation,
        "changes": [_change(change) for change in finding.changes],
    }


def _change(change: Change) -> dict[str, object]:
    hidden = "(sensitive)"
    return {
        "field": change.field,
        "live": hidden if change.sensitive else plain(change.live),
        "desired": hidden if change.sensitive else plain(change.desired),
        "restarts": change.restarts,
        "sensitive": change.sensitive,
    }
