"""Every operation of the OpenAPI document, asked by those who may not: nobody, another tenant, a lower role."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from backend.main import create_app
from backend.security.callers import PARTNER_SCOPES
from backend.settings import Settings
from tests.backend.api.conftest import Api

OPEN = {"list_industries", "list_skills", "list_job_roles", "read_job_role", "list_agents", "read_agent"}
OPEN |= {"read_summary", "register", "sign_in", "refresh", "sign_out", "health", "ready", "version"}
ANY_ACCOUNT = {"read_me", "update_me"}

# A body that passes validation, so that what refuses is the guard and not the form.
BODIES: dict[str, dict[str, Any]] = {
    "update_me": {"display_name": "x"},
    "start_hire": {"agent_slug": "noor-halvorsen"},
    "convert_hire": {"plan": "monthly"},
    "cancel_hire": {},
    "decide_deliverable": {"decision": "approve"},
    "create_deliverable": {"title": "x", "body": "x"},
    "create_listing": {
        "slug": "refused",
        "name": "x",
        "industry": "sales",
        "job_role": "content-strategist",
        "monthly_price_minor": 1,
    },
    "update_listing": {"tagline": "x"},
    "set_availability": {"availability": "available"},
    "create_api_key": {"name": "x", "scopes": ["agents:read"]},
    "create_industry": {"slug": "refused", "name": "x"},
    "create_skill": {"slug": "refused", "name": "x", "category": "technical"},
    "update_skill": {"name": "x"},
    "create_job_role": {"slug": "refused", "name": "x", "seniority": "mid"},
    "update_job_role": {"name": "x"},
    "publish_listing": {},
    "reject_listing": {"note": "x"},
    "retire_listing": {},
}


PAGES = {"/", "/customer", "/partner", "/openapi.json"}
PAGES |= {"/customer/{path}", "/partner/{path}", "/shared/{path}"}
"""What is served to everybody and is no operation: the portals' files, and the document itself."""

# Which single scope of a partner's API key opens what; anything else under /partner is for accounts.
SCOPES = {
    "list_listings": "agents:read",
    "read_listing": "agents:read",
    "read_metrics": "agents:read",
    "create_listing": "agents:write",
    "update_listing": "agents:write",
    "submit_listing": "agents:write",
    "set_availability": "agents:write",
    "list_partner_hires": "hires:read",
    "create_deliverable": "deliverables:write",
}


def application() -> Any:
    environment = {"environment": "test", "db_host": "127.0.0.1", "database_password": "x", "db_sslmode": "disable"}
    return create_app(Settings.model_validate(environment))


def operations() -> list[tuple[str, str, str]]:
    """Method, path and operation id of everything that the application serves below the prefix."""
    paths = application().openapi()["paths"]
    return [
        (method.upper(), path, operation["operationId"])
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


GUARDED = [operation for operation in operations() if operation[2] not in OPEN]


def owner(path: str, operation: str) -> str:
    """Who may: read from where it lies."""
    if operation in ANY_ACCOUNT:
        return "account"
    if "/admin/" in path:
        return "operator"
    if "/service/" in path:
        return "service"
    return "partner" if "/partner/" in path else "customer"


@pytest.fixture(scope="module")
def things(api: Api) -> dict[str, str]:
    """Things of ann's and pia's, of which bob and pete try to get hold."""
    agent = api.sql(
        "INSERT INTO plant.agent (slug, name, industry_id, job_role_id, monthly_price_minor, partner_id) "
        "SELECT 'refusals', 'Refusals', i.id, r.id, 1, "
        f"'{api.people['pia']['partner']}' FROM plant.industry i, plant.job_role r LIMIT 1 RETURNING id"
    ).splitlines()[0]
    hire = api.sql(
        "INSERT INTO plant.hire (customer_id, agent_id, price_minor, currency, trial_ends_at) "
        f"VALUES ('{api.people['ann']['customer']}', '{agent}', 1, 'INR', now() + interval '7 days') RETURNING id"
    ).splitlines()[0]
    deliverable = api.sql(
        "INSERT INTO plant.deliverable (hire_id, title, kind, body, bytes, sha256) "
        f"VALUES ('{hire}', 'x', 'document', 'x', 1, sha256('x')) RETURNING id"
    ).splitlines()[0]
    key = api.call("POST", "/partner/api-keys", "pia", json=BODIES["create_api_key"]).json()["id"]
    found = {"agent_id": agent, "hire_id": hire, "deliverable_id": deliverable, "key_id": key}
    return found | {"slug": "copywriting", "job_id": "1"}


def attempt(api: Api, method: str, path: str, operation: str, who: str, things: dict[str, str]) -> tuple[int, str]:
    """Status and problem type of an attempt with everything right but the caller."""
    filled = re.sub(r"{(\w+)}", lambda match: things[match[1]], path)
    headers = {"If-Match": '"v1"', "Idempotency-Key": uuid.uuid4().hex}
    answer = api.call(method, filled, who, json=BODIES.get(operation), headers=headers)
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    assert "WWW-Authenticate" in answer.headers or answer.status_code != 401
    return answer.status_code, answer.json()["type"].rsplit(":", 1)[1]


@pytest.mark.parametrize(("method", "path", "operation"), GUARDED, ids=[row[2] for row in GUARDED])
def test_nobody_and_lower_roles_are_refused(
    api: Api, things: dict[str, str], method: str, path: str, operation: str
) -> None:
    assert attempt(api, method, path, operation, "", things) == (401, "unauthorized")
    if owner(path, operation) != "service":
        assert attempt(api, method, path, operation, "service", things) == (403, "forbidden")
    for who, kind in {"bob": "customer", "pete": "partner", "olga": "operator"}.items():
        if kind != owner(path, operation) != "account":
            assert attempt(api, method, path, operation, who, things) == (403, "forbidden")


TENANTS = [row for row in GUARDED if "{" in row[1] and owner(row[1], row[2]) in ("customer", "partner")]


@pytest.mark.parametrize(("method", "path", "operation"), TENANTS, ids=[row[2] for row in TENANTS])
def test_another_tenant_finds_nothing(api: Api, things: dict[str, str], method: str, path: str, operation: str) -> None:
    who = {"customer": "bob", "partner": "pete"}[owner(path, operation)]
    assert attempt(api, method, path, operation, who, things) == (404, "not-found")


def test_nothing_was_changed(api: Api, things: dict[str, str]) -> None:
    assert api.sql(f"SELECT state, version FROM plant.hire WHERE id = '{things['hire_id']}'") == "trial|1"
    assert api.sql(f"SELECT listing, version FROM plant.agent WHERE id = '{things['agent_id']}'") == "draft|1"
    assert api.sql("SELECT count(*) FROM plant.industry WHERE slug = 'refused'") == "0"


GUARDED_PARTNERS = [row for row in GUARDED if owner(row[1], row[2]) == "partner"]


@pytest.fixture(scope="module")
def keys(api: Api) -> dict[str, dict[str, str]]:
    """A key of another partner's for each scope, as headers."""
    made = {
        scope: api.call("POST", "/partner/api-keys", "pete", json={"name": "x", "scopes": [scope]}).json()["key"]
        for scope in PARTNER_SCOPES
    }
    return {scope: {"X-API-Key": key} for scope, key in made.items()}


@pytest.mark.parametrize(("method", "path", "operation"), GUARDED, ids=[row[2] for row in GUARDED])
def test_an_api_key_opens_what_its_scope_names(
    api: Api, things: dict[str, str], keys: dict[str, dict[str, str]], method: str, path: str, operation: str
) -> None:
    filled = re.sub(r"{(\w+)}", lambda match: things[match[1]], path)
    for scope, key in keys.items():
        headers = key | {"If-Match": '"v1"', "Idempotency-Key": uuid.uuid4().hex}
        body = BODIES.get(operation)
        if SCOPES.get(operation) == scope:
            body = {} if body else None  # a body that makes nothing, for what lets the key in
            assert api.call(method, filled, json=body, headers=headers).status_code in (200, 404, 422)
        else:
            assert api.call(method, filled, json=body, headers=headers).status_code == 403, scope


LISTS = [row for row in GUARDED if row[0] == "GET" and "{" not in row[1] and owner(row[1], row[2]) != "service"]


@pytest.mark.parametrize(("method", "path", "operation"), LISTS, ids=[row[2] for row in LISTS])
def test_lists_hold_nothing_of_another_tenant(
    api: Api, things: dict[str, str], method: str, path: str, operation: str
) -> None:
    who = {"customer": "bob", "partner": "pete", "account": "bob"}.get(owner(path, operation))
    if who is not None:
        answer = api.call(method, path, who)
        assert answer.status_code == 200
        others = {things["agent_id"], things["hire_id"], things["deliverable_id"], things["key_id"]}
        others |= {api.people["ann"]["account"], api.people["pia"]["account"]}
        assert not [name for name in others if name in answer.text]


def test_every_route_is_an_operation_of_the_document_or_a_page() -> None:
    """So that no endpoint is left out above by being left out of the document."""
    known = {(method, path) for method, path, _ in operations()}
    routes = {
        (method, getattr(context, "path_format", None) or context.path)
        for context in iter_route_contexts(application().routes)
        for method in (getattr(context, "methods", None) or ["GET"])
    }
    hidden = {path for method, path in routes - known} - PAGES
    assert hidden == {"/docs", "/docs/oauth2-redirect"}
    assert known <= routes


def test_the_table_is_whole() -> None:
    assert set(SCOPES) <= {row[2] for row in GUARDED_PARTNERS}
    assert len(GUARDED) >= 33
    assert len(TENANTS) >= 13
    assert {row[2] for row in operations()} >= OPEN | ANY_ACCOUNT
