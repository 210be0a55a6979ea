"""Container Analysis v1: what a scan would find. Findings are a fixture's, by package and version of the lock file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.service import Body, Call, Service, World
from plantctl.sandbox.services import artifactregistry

service = Service("containeranalysis", versions=("v1",))

OCCURRENCES = "containeranalysis.projects.occurrences"
NOTES = "projects/goog-vulnz/notes"
TOKEN = re.compile(r'\s*(?:([()])|(AND|OR)\b|(kind|resourceUrl)\s*=\s*"([^"]*)")')
FIELDS = {"kind": "kind", "resourceUrl": "resourceUri"}

Test = Callable[[Body], bool]


@cache
def fixture() -> tuple[Body, ...]:
    """The sandbox's made-up vulnerabilities: package, versions that have it, fixed version, severity, score, words."""
    text = (files("plantctl.sandbox.services") / "containeranalysis_fixture.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)["vulnerabilities"])


def findings(packages: tuple[tuple[str, str], ...]) -> list[tuple[str, str, Body]]:
    """(package, version, vulnerability) for every pinned package that the fixture names in this version."""
    return [
        (name, version, entry)
        for name, version in packages
        for entry in fixture()
        if entry["package"] == name and version in entry["versions"]
    ]


@service.method(f"{OCCURRENCES}.list")
def list_occurrences(call: Call) -> Body:
    """`filter` knows kind and resourceUrl with AND, OR and parentheses: what scans are read by."""
    wanted = parse(str(call.params.get("filter") or ""))
    found = [body for body in _occurrences(call) if wanted(body)]
    return standard.page(found, call.params, "occurrences")


@service.method(f"{OCCURRENCES}.get")
def get_occurrence(call: Call) -> Body:
    """One occurrence."""
    for body in _occurrences(call):
        if body["name"] == call.name():
            return body
    raise errors.not_found(f'occurrence with ID "{call.name().rsplit("/", 1)[1]}" for project not found')


@service.method(f"{OCCURRENCES}.getVulnerabilitySummary")
def summary(call: Call) -> Body:
    """Counts by resource and severity (discovery: FixableTotalByDigest)."""
    wanted = parse(str(call.params.get("filter") or ""))
    counts: dict[tuple[str, str], Body] = {}
    for body in _occurrences(call):
        if body["kind"] != "VULNERABILITY" or not wanted(body):
            continue
        severity = body["vulnerability"]["effectiveSeverity"]
        count = counts.setdefault(
            (body["resourceUri"], severity),
            {"resourceUri": body["resourceUri"], "severity": severity, "fixableCount": "0", "totalCount": "0"},
        )
        count["totalCount"] = str(int(count["totalCount"]) + 1)
        if body["vulnerability"]["fixAvailable"]:
            count["fixableCount"] = str(int(count["fixableCount"]) + 1)
    return {"counts": list(counts.values())} if counts else {}


def parse(expression: str) -> Test:
    """A filter as a test on an occurrence; the empty one takes all. 400 for what the sandbox cannot read."""
    tokens: list[tuple[str, str]] = []
    position = 0
    while expression[position:].strip():
        match = TOKEN.match(expression, position)
        if match is None:
            raise errors.invalid(f"invalid filter: {expression[position:]!r}", "filter")
        bracket, word, field, value = match.groups()
        tokens.append((field, value) if field else (bracket or word, ""))
        position = match.end()
    if not tokens:
        return lambda body: True
    test = _any(tokens, expression)
    if tokens:
        raise errors.invalid(f"invalid filter: {expression!r}", "filter")
    return test


def _any(tokens: list[tuple[str, str]], whole: str) -> Test:
    tests = [_all(tokens, whole)]
    while tokens and tokens[0][0] == "OR":
        tokens.pop(0)
        tests.append(_all(tokens, whole))
    return lambda body: any(test(body) for test in tests)


def _all(tokens: list[tuple[str, str]], whole: str) -> Test:
    tests = [_one(tokens, whole)]
    while tokens and tokens[0][0] == "AND":
        tokens.pop(0)
        tests.append(_one(tokens, whole))
    return lambda body: all(test(body) for test in tests)


def _one(tokens: list[tuple[str, str]], whole: str) -> Test:
    kind, value = tokens.pop(0) if tokens else ("", "")
    if kind == "(":
        test = _any(tokens, whole)
        if not tokens or tokens.pop(0)[0] != ")":
            raise errors.invalid(f"invalid filter: {whole!r}", "filter")
        return test
    if kind not in FIELDS:
        raise errors.invalid(f"invalid filter: {whole!r}", "filter")
    return lambda body: bool(body[FIELDS[kind]] == value)


def _occurrences(call: Call) -> list[Body]:
    """Of every image of the project that was pushed while automatic scanning was on."""
    project = str(call.params.get("parent") or call.params["name"]).split("/")[1]
    project = call.world.project_id(project)
    found: list[Body] = []
    for image in artifactregistry.scanned_images(call.world, project):
        pushed = datetime.fromisoformat(image["uploadTime"].replace("Z", "+00:00"))
        found += _of_image(call.world, project, image, pushed)
    return found


def _of_image(world: World, project: str, image: Body, pushed: datetime) -> list[Body]:
    uri = f"https://{image['uri']}"
    age_s = (world.clock.now() - pushed.astimezone(UTC)).total_seconds()
    # an invented wait on the scaled clock: at speed max the scan has ended at once
    done = age_s >= world.clock.real_seconds(DURATIONS["containeranalysis.scan"])
    common: Body = {
        "resourceUri": uri,
        "createTime": image["uploadTime"],
        "updateTime": world.clock.rfc3339(pushed + timedelta(seconds=min(age_s, DURATIONS["containeranalysis.scan"]))),
    }
    discovery: Body = {"continuousAnalysis": "ACTIVE", "analysisStatus": "FINISHED_SUCCESS" if done else "SCANNING"}
    if done:
        discovery |= {"lastScanTime": common["updateTime"], "analysisCompleted": {"analysisType": ["VULNERABILITY"]}}
    scan = {
        **common,
        "name": _name(project, uri, "discovery"),
        "noteName": "projects/goog-analysis/notes/PACKAGE_VULNERABILITY",
        "kind": "DISCOVERY",
        "discovery": discovery,
    }
    if not done or world.plane is None:
        return [scan]
    digest = image["uri"].rsplit("@", 1)[1]
    found = findings(world.plane.images.packages(digest))
    return [scan, *(_vulnerability(project, uri, common, *finding) for finding in found)]


def _vulnerability(project: str, uri: str, common: Body, package: str, version: str, entry: Body) -> Body:
    fixed: str = entry.get("fixed", "")
    issue: dict[str, Any] = {
        "affectedPackage": package,
        "affectedVersion": {"name": version, "kind": "NORMAL", "fullName": version},
        "fixedPackage": package,
        "fixedVersion": {"name": fixed, "kind": "NORMAL", "fullName": fixed} if fixed else {"kind": "MAXIMUM"},
        "fixAvailable": bool(fixed),
        "packageType": "PYPI",
        "effectiveSeverity": entry["severity"],
    }
    return {
        **common,
        "name": _name(project, uri, f"{entry['id']} {package}"),
        "noteName": f"{NOTES}/{entry['id']}",
        "kind": "VULNERABILITY",
        "vulnerability": {
            "severity": entry["severity"],
            "effectiveSeverity": entry["severity"],
            "cvssScore": entry["score"],
            "shortDescription": entry["id"],
            "longDescription": f"sandbox fixture: {entry['words']}",
            "packageIssue": [issue],
            "fixAvailable": bool(fixed),
        },
    }


def _name(project: str, uri: str, what: str) -> str:
    digest = hashlib.sha256(f"{uri} {what}".encode()).hexdigest()
    return f"projects/{project}/occurrences/{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
