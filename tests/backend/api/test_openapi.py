"""The committed OpenAPI document is the application's; run `python -m backend.openapi` to renew it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import backend
from backend.openapi import standalone

COMMITTED = Path(backend.__file__).parent / "openapi.json"


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def test_the_committed_document_is_current() -> None:
    assert json.loads(COMMITTED.read_text()) == standalone()


def test_operations_are_named_once_described_and_answer_with_problems() -> None:
    document = standalone()
    found = operations(document)
    ids = [operation["operationId"] for operation in found]
    assert len(ids) == len(set(ids))
    for operation in found:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"])
        assert operation["description"]
        assert "422" not in operation["responses"]
        assert list(operation["responses"]["4XX"]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_reference_has_its_schema() -> None:
    document = standalone()
    names = set(re.findall(r"#/components/schemas/([\w.-]+)", json.dumps(document)))
    assert names <= set(document["components"]["schemas"])
