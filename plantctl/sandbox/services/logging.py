"""Cloud Logging v2: entries, written by what runs in the sandbox, read by filter (a part of the query language)."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from plantctl.sandbox import errors
from plantctl.sandbox.service import Body, Call, Service, World

service = Service("logging", versions=("v2",))

KEPT = 20_000
"""Entries a project; the oldest go first."""
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
TERM = re.compile(r'\s*(NOT\s+|-)?([\w."/]+)\s*(>=|<=|!=|=~|!~|=|:|>|<)\s*("(?:[^"\\]|\\.)*"|[^\s()]+)\s*')


def write_entry(world: World, project: str, entry: Body, *, ring: str = "", kept: int = KEPT) -> None:
    """Append one entry, which the caller gives away; fields that Logging fills in are filled in.

    `ring`: entries that are many (requests) push out only their like, of which `kept` stay.
    """
    number = world.store.next_number(f"log-entry/{project}{ring}")
    now = world.clock.rfc3339()
    body = {
        "insertId": uuid.uuid4().hex[:16],
        "timestamp": now,
        "severity": "DEFAULT",
        **entry,
        "receiveTimestamp": now,
    }
    world.store.put(f"logging/{project}/{ring}{number:012d}", body, given_away=True)
    world.store.delete(f"logging/{project}/{ring}{number - kept:012d}")


def from_line(line: str) -> Body:
    """A line of stdout or stderr as Cloud Run hands it on: JSON becomes jsonPayload, its special fields move up.

    Special fields: severity, message, time, logging.googleapis.com/trace and labels (Logging docs, structured logging).
    """
    try:
        payload = json.loads(line)
    except ValueError:
        return {"textPayload": line}
    if not isinstance(payload, dict):
        return {"textPayload": line}
    entry: Body = {}
    severity = str(payload.pop("severity", "DEFAULT")).upper()
    entry["severity"] = severity if severity in SEVERITIES else "DEFAULT"
    if "time" in payload:
        entry["timestamp"] = payload.pop("time")
    for special in ("trace", "spanId"):
        if f"logging.googleapis.com/{special}" in payload:
            entry[special] = payload.pop(f"logging.googleapis.com/{special}")
    if "logging.googleapis.com/labels" in payload:
        entry["labels"] = payload.pop("logging.googleapis.com/labels")
    entry["jsonPayload"] = payload
    return entry


@service.method("logging.entries.list")
def list_entries(call: Call) -> Body:
    """By filter, oldest first unless `orderBy: timestamp desc`."""
    names = call.body.get("resourceNames") or []
    projects = [call.world.project_id(name.split("/")[1]) for name in names if name.startswith("projects/")]
    if not projects:
        raise errors.invalid("At least one resource name is required.", "resource_names")
    found = []
    terms = parse(str(call.body.get("filter") or ""))
    for project in projects:
        key = f"cloudresourcemanager/projects/{project}"
        if not call.world.access.allows(call.principal, "logging.logEntries.list", key):
            raise errors.denied("Permission 'logging.logEntries.list' denied on resource (or it may not exist).")
        found += [body for _, body in call.store.list(f"logging/{project}/") if matches(terms, body)]
    found.sort(key=lambda body: str(body["timestamp"]), reverse="desc" in str(call.body.get("orderBy") or ""))
    size = int(call.body.get("pageSize") or 50)
    token = str(call.body.get("pageToken") or "0")
    start = int(token) if token.isdigit() else 0
    answer: Body = {"entries": found[start : start + size]} if found[start:] else {}
    if start + size < len(found):
        answer["nextPageToken"] = str(start + size)
    return answer


@service.method("logging.entries.write")
def write_entries(call: Call) -> Body:
    """Entries take logName, resource and labels from the request where they have none of their own."""
    for given in call.body.get("entries") or []:
        entry = {k: call.body[k] for k in ("logName", "resource", "labels") if k in call.body} | given
        project = call.world.project_id(str(entry.get("logName", "//")).split("/")[1])
        if not project:
            raise errors.invalid("A log name is required.", "log_name")
        if not call.world.access.allows(
            call.principal, "logging.logEntries.create", f"cloudresourcemanager/projects/{project}"
        ):
            raise errors.denied("Permission 'logging.logEntries.create' denied on resource (or it may not exist).")
        write_entry(call.world, project, entry)
    return {}


def parse(text: str) -> list[tuple[bool, str, str, str]]:
    """(negated, field, operator, value) of a conjunction; OR and parentheses are refused, not ignored."""
    terms, position = [], 0
    text = re.sub(r"\n+", " AND ", text.strip())
    while position < len(text):
        match = TERM.match(text, position)
        if not match:
            raise errors.invalid(
                f"Unparseable filter: syntax error at column {position + 1} ({text[position:][:20]!r})"
            )
        negated, field, operator, value = match.groups()
        terms.append((bool(negated), field.replace('"', ""), operator, json.loads(value) if value[0] == '"' else value))
        position = match.end()
        joint = re.compile(r"AND\s+").match(text, position)
        position = joint.end() if joint else position
    return terms


def matches(terms: list[tuple[bool, str, str, str]], entry: Body) -> bool:
    """True when the entry fulfils every term."""
    return all(_holds(field, operator, value, entry) != negated for negated, field, operator, value in terms)


def _value(entry: Body, field: str) -> Any:
    value: Any = entry
    parts = field.split(".")
    while parts:
        if not isinstance(value, dict):
            return None
        # label keys hold dots and slashes: `labels."run.googleapis.com/execution_name"` came in without its quotes
        whole = ".".join(parts)
        if whole in value:
            return value[whole]
        value = value.get(parts.pop(0))
    return value


def _holds(field: str, operator: str, wanted: str, entry: Body) -> bool:
    value = _value(entry, field)
    if value is None:
        return False
    if field == "severity":
        ranks = (SEVERITIES.index(str(value)), SEVERITIES.index(wanted.upper()))
        return _compare(operator, *ranks)
    if field in ("timestamp", "receiveTimestamp"):
        return _compare(
            operator, *(datetime.fromisoformat(t.replace("Z", "+00:00")).timestamp() for t in (value, wanted))
        )
    if operator == ":":
        return wanted.lower() in str(value).lower()
    if operator in ("=~", "!~"):
        return (re.search(wanted, str(value)) is not None) == (operator == "=~")
    return _compare(operator, str(value), wanted)


def _compare(operator: str, left: Any, right: Any) -> bool:
    compare = {"=": eq, ":": eq, "!=": ne, ">": gt, "<": lt, ">=": ge, "<=": le}[operator]
    return bool(compare(left, right))
