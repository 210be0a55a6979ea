"""A hire from its trial to its end, with keys, versions and deliverables."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from tests.backend.api.conftest import Api


@pytest.fixture
def agent(api: Api) -> str:
    """A published agent of pia's, fresh for each test."""
    slug = f"agent-{uuid.uuid4().hex[:8]}"
    api.sql(
        "INSERT INTO plant.agent (slug, name, industry_id, job_role_id, monthly_price_minor, partner_id, listing, "
        f"availability, published_at) SELECT '{slug}', 'Agent', i.id, r.id, 50000, '{api.people['pia']['partner']}', "
        "'published', 'available', now() FROM plant.industry i, plant.job_role r LIMIT 1"
    )
    return slug


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def start(api: Api, agent: str, who: str = "ann") -> dict[str, Any]:
    answer = api.call("POST", "/hires", who, json={"agent_slug": agent}, headers=key())
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def step(api: Api, hire: dict[str, Any], verb: str, body: dict[str, Any] | None = None, who: str = "ann") -> Any:
    headers = {"If-Match": f'"v{hire["version"]}"'}
    return api.call("POST", f"/hires/{hire['id']}/{verb}", who, json=body, headers=headers)


def kind(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rsplit(":", 1)[1]


def test_the_way_of_a_hire(api: Api, agent: str) -> None:
    hire = start(api, agent)
    assert (hire["state"], hire["days_left"], hire["price_minor"]) == ("trial", 7, 50000)
    assert hire["allowed_actions"] == ["convert", "cancel"]
    for verb, body, state in (
        ("convert", {"plan": "quarterly"}, "active"),
        ("pause", None, "paused"),
        ("resume", None, "active"),
    ):
        answer = step(api, hire, verb, body)
        assert answer.status_code == 200, answer.text
        hire = answer.json()
        assert (hire["state"], answer.headers["ETag"]) == (state, f'"v{hire["version"]}"')
    assert 92 <= hire["days_left"] <= 100  # seven days of trial and three months
    hire = step(api, hire, "cancel", {"reason": "too dear"}).json()
    assert (hire["state"], hire["cancel_at_period_end"]) == ("active", True)
    hire = step(api, hire, "cancel", {"at_period_end": False}).json()
    assert (hire["state"], hire["allowed_actions"]) == ("cancelled", [])
    assert start(api, agent)["state"] == "trial"  # a new one may begin
    events = api.sql(f"SELECT action FROM plant.audit_event WHERE entity_id = '{hire['id']}' ORDER BY id")
    assert events.splitlines() == ["hire.start", "hire.convert", "hire.pause", "hire.resume", *["hire.cancel"] * 2]
    assert api.sql(f"SELECT count(*) FROM plant.outbox WHERE payload->>'hire' = '{hire['id']}'") == "6"


def test_what_the_state_forbids(api: Api, agent: str) -> None:
    hire = start(api, agent)
    assert kind(step(api, hire, "pause")) == (409, "illegal-transition")
    assert kind(step(api, hire, "resume")) == (409, "illegal-transition")
    again = api.call("POST", "/hires", "ann", json={"agent_slug": agent}, headers=key())
    assert kind(again) == (409, "open-hire")
    api.sql(f"UPDATE plant.hire SET trial_ends_at = now() - interval '1 min' WHERE id = '{hire['id']}'")
    assert kind(step(api, hire, "convert", {})) == (409, "trial-over")
    api.sql(f"UPDATE plant.agent SET availability = 'offline' WHERE slug = '{agent}'")
    assert kind(api.call("POST", "/hires", "bob", json={"agent_slug": agent}, headers=key())) == (409, "agent-offline")


def test_versions_guard_against_lost_updates(api: Api, agent: str) -> None:
    hire = start(api, agent)
    path = f"/hires/{hire['id']}/cancel"
    assert kind(api.call("POST", path, "ann", json={})) == (428, "if-match-required")
    for tag in ('"v9"', "v1x", '"x"', "*"):
        assert kind(api.call("POST", path, "ann", json={}, headers={"If-Match": tag})) == (412, "version-mismatch")
    assert api.call("GET", f"/hires/{hire['id']}", "ann").headers["ETag"] == '"v1"'


def test_a_key_gives_the_same_answer_again(api: Api, agent: str) -> None:
    headers, body = key(), {"agent_slug": agent}
    first = api.call("POST", "/hires", "ann", json=body, headers=headers)
    second = api.call("POST", "/hires", "ann", json=body, headers=headers)
    assert (first.status_code, second.status_code, first.json()) == (201, 201, second.json())
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    other = api.call("POST", "/hires", "ann", json={"agent_slug": "noor-halvorsen"}, headers=headers)
    assert kind(other) == (422, "idempotency-key-reused")
    assert kind(api.call("POST", "/hires", "ann", json=body)) == (400, "idempotency-key-missing")
    assert api.call("POST", "/hires", "bob", json=body, headers=headers).status_code == 201  # a key is one person's


def test_a_key_whose_request_failed_can_be_used(api: Api, agent: str) -> None:
    headers, body = key(), {"agent_slug": agent}
    api.sql(f"UPDATE plant.agent SET availability = 'offline' WHERE slug = '{agent}'")
    assert api.call("POST", "/hires", "ann", json=body, headers=headers).status_code == 409
    api.sql(f"UPDATE plant.agent SET availability = 'available' WHERE slug = '{agent}'")
    assert api.call("POST", "/hires", "ann", json=body, headers=headers).status_code == 201


def test_many_at_once_with_one_key_make_one_hire(api: Api, agent: str) -> None:
    headers, body = key(), {"agent_slug": agent}
    answers: list[int] = []

    def post() -> None:
        answers.append(api.call("POST", "/hires", "ann", json=body, headers=headers).status_code)

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {201, 409}
    assert 201 in answers
    made = f"SELECT count(*) FROM plant.hire h JOIN plant.agent a ON a.id = h.agent_id WHERE a.slug = '{agent}'"
    assert api.sql(made) == "1"


def test_deliverables_and_decisions(api: Api, agent: str) -> None:
    hire = start(api, agent)
    path = f"/partner/hires/{hire['id']}/deliverables"
    headers = key()
    body = {"title": "Plan", "kind": "report", "body": "words"}
    made = api.call("POST", path, "pia", json=body, headers=headers)
    assert made.status_code == 201
    assert api.call("POST", path, "pia", json=body, headers=headers).json() == made.json()
    second = api.call("POST", path, "pia", json={"title": "Draft", "body": "more"}, headers=key()).json()
    listed = api.call("GET", f"/hires/{hire['id']}/deliverables?limit=1", "ann").json()
    rest = api.call("GET", f"/hires/{hire['id']}/deliverables?cursor={listed['next_cursor']}", "ann").json()
    assert [row["id"] for row in listed["items"] + rest["items"]] == [second["id"], made.json()["id"]]
    assert api.call("GET", f"/hires/{hire['id']}", "ann").json()["pending_deliverables"] == 2
    decide = f"/deliverables/{second['id']}/decision"
    assert api.call("POST", decide, "ann", json={"decision": "reject"}).status_code == 422
    rejected = api.call("POST", decide, "ann", json={"decision": "reject", "note": "too short"})
    assert (rejected.json()["review_state"], rejected.json()["review_note"]) == ("rejected", "too short")
    assert kind(api.call("POST", decide, "ann", json={"decision": "approve"})) == (409, "already-decided")
    assert api.call("GET", f"/deliverables/{made.json()['id']}", "ann").json()["body"] == "words"
    step(api, api.call("GET", f"/hires/{hire['id']}", "ann").json(), "cancel", {})
    assert kind(api.call("POST", path, "pia", json=body, headers=key())) == (409, "hire-not-open")
    assert api.call("GET", f"/deliverables/{second['id']}", "ann").status_code == 200  # kept after the end


def test_what_the_partner_sees(api: Api, agent: str) -> None:
    hire = start(api, agent, "bob")
    rows = api.call("GET", "/partner/hires?limit=100", "pia").json()["items"]
    assert {"customer": "bob", "state": "trial"}.items() <= next(row for row in rows if row["id"] == hire["id"]).items()
    assert api.call("GET", "/partner/hires", "pete").json()["items"] == []
    agent_id = api.sql(f"SELECT id FROM plant.agent WHERE slug = '{agent}'")
    metrics = api.call("GET", f"/partner/agents/{agent_id}/metrics", "pia").json()
    assert (metrics["open"], len(metrics["days"]), metrics["days"][-1]["started"]) == (1, 30, 1)


def test_pages_of_hires(api: Api) -> None:
    api.add("carl", "customer")
    slugs = api.sql(
        "SELECT slug FROM plant.agent WHERE listing = 'published' AND availability <> 'offline' ORDER BY slug LIMIT 5"
    )
    made = [start(api, slug, "carl")["id"] for slug in slugs.splitlines()]
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.call("GET", f"/hires?limit=2{cursor}", "carl").json()
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == made[::-1]
