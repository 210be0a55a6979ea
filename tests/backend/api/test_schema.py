"""The OpenAPI document against the application: no 5xx and no answer that the document does not promise, whoever asks.

Requests are generated from the document, right ones and wrong ones, the same in every run; half of them name things
that exist. `nox -s acceptance` sends many more.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import backend
from tests.backend.api.conftest import Api, _seeded, _served, _settings
from tests.backend.redis_server import RedisServer

KINDS = {"": "", "service": "service", "ann": "customer", "pia": "partner", "olga": "operator"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
Operation = Any  # Schemathesis's types have four parameters that nobody here needs
DOCUMENT = json.loads((Path(backend.__file__).parent / "openapi.json").read_text())


def operations(document: dict[str, Any] = DOCUMENT) -> list[Operation]:
    found = [cast(Any, result).ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]
    return sorted(found, key=lambda operation: (operation.method.upper() == "DELETE", operation.label))


@pytest.fixture(scope="module")
def fuzzed(api: Api) -> Iterator[Api]:
    """A database and a Redis of their own, in which anything may be made."""
    redis = RedisServer()
    try:
        redis.start()
        database = _seeded(api.server)
        with _served(_settings(api.server, database, redis)) as address:
            made = Api(address, api.server, database, redis, api.tokens)
            for name, kind in KINDS.items():
                if kind not in ("", "service"):
                    made.add(name, kind)
            yield made
    finally:
        redis.kill()


@pytest.fixture(scope="module")
def things(fuzzed: Api) -> dict[str, str]:
    """Things by the names that path parameters have."""
    partner, customer = fuzzed.people["pia"]["partner"], fuzzed.people["ann"]["customer"]
    agent = fuzzed.sql(
        "INSERT INTO plant.agent (slug, name, industry_id, job_role_id, monthly_price_minor, partner_id) "
        f"SELECT 'fuzzed', 'Fuzzed', i.id, r.id, 1, '{partner}' FROM plant.industry i, plant.job_role r LIMIT 1 "
        "RETURNING id"
    ).splitlines()[0]
    hire = fuzzed.sql(
        "INSERT INTO plant.hire (customer_id, agent_id, price_minor, currency, trial_ends_at) "
        f"VALUES ('{customer}', '{agent}', 1, 'INR', now() + interval '7 days') RETURNING id"
    ).splitlines()[0]
    deliverable = fuzzed.sql(
        "INSERT INTO plant.deliverable (hire_id, title, kind, body, bytes, sha256) "
        f"VALUES ('{hire}', 'x', 'document', 'x', 1, sha256('x')) RETURNING id"
    ).splitlines()[0]
    return {"agent_id": agent, "hire_id": hire, "deliverable_id": deliverable, "slug": "copywriting"}


def send(fuzzed: Api, case: Any, who: str, known: dict[str, str]) -> None:
    """One request and what the document says of its answer. With `known`, it names things that exist."""
    for name in set(case.path_parameters or {}) & set(known):
        case.path_parameters[name] = known[name]
    headers = fuzzed.headers(who) | ({"If-Match": '"v1"'} if known else {})
    answer = case.call(base_url=fuzzed.address, headers=headers, timeout=20)
    case.validate_response(answer, checks=CHECKS)


def explore(fuzzed: Api, operation: Operation, things: dict[str, str], rounds: int) -> None:
    """As each kind of caller in turn, `rounds` right requests and as many wrong ones."""
    takes_something = bool([*operation.iter_parameters(), *operation.body])
    for mode in [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if takes_something else [GenerationMode.POSITIVE]:
        callers = itertools.cycle(KINDS)

        @settings(
            max_examples=rounds * len(KINDS),
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode), st.booleans(), st.just(callers))
        def run(case: Any, exists: bool, turns: Iterator[str]) -> None:
            send(fuzzed, case, next(turns), things if exists else {})

        run()


OPERATIONS = operations()


@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.label for operation in OPERATIONS])
def test_every_answer_is_one_that_the_document_promises(
    fuzzed: Api, things: dict[str, str], operation: Operation
) -> None:
    explore(fuzzed, operation, things, 1)


@pytest.mark.acceptance
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.label for operation in OPERATIONS])
def test_also_when_asked_a_thousand_times(fuzzed: Api, things: dict[str, str], operation: Operation) -> None:
    explore(fuzzed, operation, things, 100)


def test_a_promise_that_is_not_kept_is_found(fuzzed: Api) -> None:
    false = copy.deepcopy(DOCUMENT)
    answer = false["paths"]["/version"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer["required"] = ["phase_of_the_moon"]
    (lie,) = [operation for operation in operations(false) if operation.label == "GET /version"]
    with pytest.raises(FailureGroup, match="phase_of_the_moon"):
        explore(fuzzed, lie, {}, 1)


def test_the_document_is_whole() -> None:
    assert len(OPERATIONS) == sum(len(methods) for methods in DOCUMENT["paths"].values()) >= 55
