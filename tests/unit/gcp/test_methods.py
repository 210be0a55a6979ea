"""The tables of methods against Google's discovery documents, and against the sandbox's own table of what writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from googleapiclient import discovery_cache

from plantctl.gcp import methods
from plantctl.gcp.idempotency import IDEMPOTENCY
from plantctl.sandbox import wire
from tests.unit.source_tree import ROOT

METHOD = re.compile(r"\"([a-z]+(?:\.[A-Za-z]+){2,})\"")
APIS = {*methods.APIS.values(), ("serviceusage", "v1beta1")}
POLICIES = ("cloudresourcemanager.projects", "iam.projects.serviceAccounts", "secretmanager.projects.secrets")
DOCUMENTS = Path(str(discovery_cache.__file__)).parent / "documents"


def published(api: str, version: str) -> dict[str, dict[str, Any]]:
    """Every method of a discovery document by id."""
    found: dict[str, dict[str, Any]] = {}

    def walk(node: dict[str, Any]) -> None:
        found.update({method["id"]: method for method in node.get("methods", {}).values()})
        for inner in node.get("resources", {}).values():
            walk(inner)

    walk(json.loads((DOCUMENTS / f"{api}.{version}.json").read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("method_id", IDEMPOTENCY)
def test_a_method_with_a_class_exists_and_takes_a_request_id_when_it_is_of_that_class(method_id: str) -> None:
    method = published(*methods.api_of(method_id))[method_id]
    assert methods.is_mutating(method_id, method["httpMethod"], {})
    assert (IDEMPOTENCY[method_id] == "R") == ("requestId" in method["parameters"])


def named() -> dict[str, str]:
    """Verb by id of every method of Google's that the client side's source names, not by way of the tables."""
    sources = [path for path in (ROOT / "plantctl").rglob("*.py") if "sandbox" not in path.parts]
    words = {word for path in sources for word in METHOD.findall(path.read_text(encoding="utf-8"))}
    words |= {f"{prefix}.{verb}" for prefix in POLICIES for verb in ("getIamPolicy", "setIamPolicy")}
    known = {name: method for api in APIS for name, method in published(*api).items()}
    return {word: known[word]["httpMethod"] for word in words if word in known}


def test_client_and_sandbox_agree_on_what_writes() -> None:
    verbs = {**named(), "logging.entries.list": "POST", "cloudresourcemanager.projects.testIamPermissions": "POST"}
    assert len(verbs) > 40
    for method_id, verb in verbs.items():
        for params in ({}, {"validateOnly": "true"}):
            ours = methods.is_mutating(method_id, verb, dict(params))
            assert ours == wire.is_mutating(method_id, verb, dict(params)), method_id


def test_every_write_that_the_source_names_has_a_class() -> None:
    writes = {name for name, verb in named().items() if methods.is_mutating(name, verb, {})}
    assert sorted(writes - set(IDEMPOTENCY)) == []
