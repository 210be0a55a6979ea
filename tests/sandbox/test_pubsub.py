"""Topics."""

from __future__ import annotations

from tests.sandbox.conftest import PROJECT, Sandbox

TOPICS = f"pubsub/v1/projects/{PROJECT}/topics"


def test_a_topics_life(sandbox: Sandbox) -> None:
    name = f"projects/{PROJECT}/topics/plant"
    missing = sandbox.get(f"{TOPICS}/plant")
    assert (missing.status_code, missing.json()["error"]["message"]) == (404, "Resource not found (resource=plant).")
    assert sandbox.ok("PUT", f"{TOPICS}/plant", {"labels": {"a": "b"}}) == {"name": name, "labels": {"a": "b"}}
    assert sandbox.call("PUT", f"{TOPICS}/plant", {}).status_code == 409
    changed = {"topic": {"labels": {"a": "c"}}, "updateMask": "labels"}
    assert sandbox.ok("PATCH", f"{TOPICS}/plant", changed)["labels"] == {"a": "c"}
    assert [one["name"] for one in sandbox.ok("GET", TOPICS)["topics"]] == [name]
    grant = {"policy": {"bindings": [{"role": "roles/pubsub.publisher", "members": ["user:a@example.com"]}]}}
    sandbox.ok("POST", f"{TOPICS}/plant:setIamPolicy", grant)
    assert sandbox.ok("GET", f"{TOPICS}/plant:getIamPolicy")["bindings"] == grant["policy"]["bindings"]
    sandbox.ok("DELETE", f"{TOPICS}/plant")
    assert sandbox.ok("GET", TOPICS) == {}
    sandbox.ok("PUT", f"{TOPICS}/plant", {})
    assert "bindings" not in sandbox.ok("GET", f"{TOPICS}/plant:getIamPolicy")


def test_names(sandbox: Sandbox) -> None:
    for name in ("ab", "1abc", "google-thing"):
        assert sandbox.call("PUT", f"{TOPICS}/{name}", {}).status_code == 400
