"""The tables of methods against Google's discovery documents, and against the sandbox's own table of what writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from googleapiclient import discovery_cache

from plantctl.gcp import methods
from plantctl.sandbox import wire

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


@pytest.mark.parametrize("method_id", methods.IDEMPOTENCY)
def test_a_method_with_a_class_exists_and_takes_a_request_id_when_it_is_of_that_class(method_id: str) -> None:
    method = published(*methods.api_of(method_id))[method_id]
    assert methods.is_mutating(method_id, method["httpMethod"], {})
    assert (methods.IDEMPOTENCY[method_id] == "R") == ("requestId" in method["parameters"])


def test_client_and_sandbox_agree_on_what_writes() -> None:
    used = set(methods.IDEMPOTENCY) | set(methods.READING_POSTS)
    verbs = {method_id: published(*methods.api_of(method_id))[method_id]["httpMethod"] for method_id in used}
    for method_id, verb in verbs.items():
        for params in ({}, {"validateOnly": "true"}):
            assert methods.is_mutating(method_id, verb, params) == wire.is_mutating(method_id, verb, dict(params))
