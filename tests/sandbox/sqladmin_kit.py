"""What the tests of Cloud SQL Admin share: addresses, a small instance, waiting for an operation."""

from __future__ import annotations

from typing import Any

from tests.sandbox.conftest import PROJECT, Sandbox

BASE = f"sqladmin/v1/projects/{PROJECT}"
INSTANCES = f"{BASE}/instances"
ONE = f"{INSTANCES}/plant"
NETWORK = f"projects/{PROJECT}/global/networks/plant-network"


def body(name: str = "plant", **settings: Any) -> dict[str, Any]:
    """A small PostgreSQL 15 instance."""
    return {
        "name": name,
        "region": "us-central1",
        "databaseVersion": "POSTGRES_15",
        "settings": {"tier": "db-custom-2-8192", **settings},
    }


def settle(box: Sandbox, answer: dict[str, Any]) -> dict[str, Any]:
    """The operation when it is done."""
    for _ in range(2000):
        operation = box.ok("GET", f"{BASE}/operations/{answer['name']}")
        if operation["status"] == "DONE":
            return dict(operation)
    raise AssertionError(f"{answer['name']} did not end")


def make(box: Sandbox, name: str = "plant", **settings: Any) -> dict[str, Any]:
    """Create an instance and read it."""
    operation = settle(box, box.ok("POST", INSTANCES, body(name, **settings)))
    assert "error" not in operation, operation
    return dict(box.ok("GET", f"{INSTANCES}/{name}"))


def reason(answer: Any, status: int) -> str:
    """`errors[].reason` of a refusal with this status."""
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["errors"][0]["reason"])


def refused(box: Sandbox, change: dict[str, Any], verb: str = "POST", path: str = INSTANCES) -> str:
    """The words of a 400."""
    answer = box.call(verb, path, change)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


BACKUP = {"enabled": True, "pointInTimeRecoveryEnabled": True, "startTime": "03:00"}
