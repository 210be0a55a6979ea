"""Planned faults: each kind does what it says, all are accounted for, and the wire log tells of every request."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from plantctl.sandbox.wire import is_mutating
from tests.sandbox.conftest import PROJECT, Sandbox

SECRETS = f"secretmanager/v1/projects/{PROJECT}/secrets"
CREATE = "secretmanager.projects.secrets.create"
BODY: dict[str, Any] = {"replication": {"automatic": {}}}


def names(sandbox: Sandbox) -> list[str]:
    """Ids of the secrets that exist."""
    return [one["name"].rsplit("/", 1)[-1] for one in sandbox.ok("GET", SECRETS).get("secrets", [])]


def account(sandbox: Sandbox) -> Any:
    """The account of the plan."""
    return sandbox.ok("GET", "_sandbox/faults")


def test_a_status_before_the_write_leaves_nothing_behind(sandbox: Sandbox) -> None:
    sandbox.faults({"match": CREATE, "nth": 2, "do": {"status": 503, "retry_after": 7}})
    assert sandbox.post(f"{SECRETS}?secretId=A", BODY).status_code == 200
    struck = sandbox.post(f"{SECRETS}?secretId=B", BODY)
    assert (struck.status_code, struck.headers["retry-after"]) == (503, "7")
    assert struck.json()["error"]["status"] == "UNAVAILABLE"
    assert sandbox.post(f"{SECRETS}?secretId=C", BODY).status_code == 200
    assert names(sandbox) == ["A", "C"]
    found = account(sandbox)
    assert found["unfired"] == []
    (fired,) = found["rules"][0]["fired"]
    assert fired["method_id"] == CREATE
    assert sandbox.wire()[fired["seq"] - 1]["fault"] == "before 503"


def test_both_error_shapes_carry_the_reason(sandbox: Sandbox) -> None:
    sandbox.faults(
        {"match": "compute.networks.list", "do": {"status": 403, "reason": "rateLimitExceeded"}},
        {"match": CREATE, "do": {"status": 429, "reason": "RATE_LIMIT_EXCEEDED"}},
    )
    legacy = sandbox.get(f"compute/compute/v1/projects/{PROJECT}/global/networks").json()["error"]
    assert legacy["errors"][0]["reason"] == "rateLimitExceeded"
    newer = sandbox.post(f"{SECRETS}?secretId=A", BODY).json()["error"]
    assert newer["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert newer["status"] == "RESOURCE_EXHAUSTED"


def test_an_answer_lost_after_commit_leaves_the_write(sandbox: Sandbox) -> None:
    sandbox.faults({"match": CREATE, "when": "after_commit", "do": "reset"})
    with pytest.raises(requests.exceptions.ConnectionError):
        sandbox.post(f"{SECRETS}?secretId=A", BODY)
    assert names(sandbox) == ["A"]
    (entry,) = [one for one in sandbox.wire() if one["method_id"] == CREATE]
    assert (entry["status"], entry["fault"], entry["mutating"]) == (None, "after_commit reset", True)


def test_a_reset_before_the_handler_is_in_the_log_with_its_fate(sandbox: Sandbox) -> None:
    sandbox.faults({"match": CREATE, "do": "reset"})
    with pytest.raises(requests.exceptions.ConnectionError):
        sandbox.post(f"{SECRETS}?secretId=A", BODY)
    assert names(sandbox) == []
    assert [one["fault"] for one in sandbox.wire() if one["method_id"] == CREATE] == ["before reset"]


def test_the_first_answer_of_every_mutating_method_lost(sandbox: Sandbox) -> None:
    sandbox.faults({"match": "*mutating*", "when": "after_commit", "do": "reset"})
    for method, path, body in (
        ("POST", f"{SECRETS}?secretId=A", BODY),
        ("POST", f"{SECRETS}/A:addVersion", {"payload": {"data": "aGk="}}),
        ("DELETE", f"{SECRETS}/A", None),
    ):
        with pytest.raises(requests.exceptions.ConnectionError):
            sandbox.call(method, path, body)
    assert sandbox.post(f"{SECRETS}?secretId=B", BODY).status_code == 200
    assert sandbox.post(f"{SECRETS}/B:getIamPolicy").status_code == 404  # GET in this API, and no reason to strike
    assert len(account(sandbox)["rules"][0]["fired"]) == 3


def test_truncation_and_hanging(sandbox: Sandbox) -> None:
    sandbox.faults(
        {"match": "secretmanager.projects.secrets.list", "do": "truncate:5"},
        {"match": "secretmanager.projects.secrets.get", "do": "hang:0.4"},
    )
    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        sandbox.get(SECRETS)
    began = time.monotonic()
    assert sandbox.get(f"{SECRETS}/none").status_code == 404
    assert time.monotonic() - began >= 0.4


def test_stale_reads_see_what_was_before_the_write(sandbox: Sandbox) -> None:
    sandbox.faults({"match": CREATE, "nth": 2, "do": "stale:2"})
    sandbox.ok("POST", f"{SECRETS}?secretId=OLD", BODY)
    sandbox.ok("POST", f"{SECRETS}?secretId=NEW", BODY)
    assert sandbox.get(f"{SECRETS}/NEW").status_code == 404
    assert names(sandbox) == ["OLD"]
    assert sandbox.get(f"{SECRETS}/NEW").status_code == 200
    assert names(sandbox) == ["OLD", "NEW"]


def test_a_stale_read_by_the_reading_method(sandbox: Sandbox) -> None:
    sandbox.faults({"match": "secretmanager.projects.secrets.get", "nth": 2, "do": "stale:1"})
    sandbox.ok("POST", f"{SECRETS}?secretId=A", {**BODY, "labels": {"v": "1"}})
    sandbox.ok("PATCH", f"{SECRETS}/A?updateMask=labels", {"labels": {"v": "2"}})
    assert [sandbox.ok("GET", f"{SECRETS}/A")["labels"]["v"] for _ in range(3)] == ["2", "1", "2"]


def test_an_operation_that_fails(sandbox: Sandbox) -> None:
    sandbox.faults(
        {
            "match": "serviceusage.services.enable",
            "when": "on_poll",
            "do": {"lro_error": {"code": "INTERNAL", "message": "encountered internal error 160009"}},
        },
        {
            "match": "compute.networks.insert",
            "when": "on_poll",
            "do": {"lro_error": {"code": "QUOTA_EXCEEDED", "message": "Quota exceeded"}},
        },
    )
    name = sandbox.ok("POST", f"serviceusage/v1/projects/{PROJECT}/services/run.googleapis.com:enable", {})["name"]
    found = sandbox.ok("GET", f"serviceusage/v1/{name}")
    assert found["error"] == {"code": 13, "message": "encountered internal error 160009"}
    networks = f"compute/compute/v1/projects/{PROJECT}/global"
    sandbox.ok("POST", f"{networks}/networks", {"name": "n", "autoCreateSubnetworks": False})
    state = sandbox.ok("GET", "_sandbox/state")["operations"]
    operation = sandbox.ok("GET", f"{networks}/operations/{state[-1]['name']}")
    assert operation["error"]["errors"][0]["code"] == "QUOTA_EXCEEDED"
    assert account(sandbox)["unfired"] == []
    again = sandbox.ok("POST", f"serviceusage/v1/projects/{PROJECT}/services/run.googleapis.com:enable", {})["name"]
    assert "error" not in sandbox.ok("GET", f"serviceusage/v1/{again}")


def test_polls_of_one_operation_are_struck(sandbox: Sandbox) -> None:
    rule = {"match": "serviceusage.services.enable", "when": "on_poll", "do": {"status": 500}, "times": 2}
    sandbox.faults(rule)
    name = sandbox.ok("POST", f"serviceusage/v1/projects/{PROJECT}/services/run.googleapis.com:enable", {})["name"]
    assert account(sandbox)["unfired"] == [0]
    assert [sandbox.get(f"serviceusage/v1/{name}").status_code for _ in range(3)] == [500, 500, 200]
    assert len(account(sandbox)["rules"][0]["fired"]) == 2


def test_dice_fall_the_same_for_the_same_seed(sandbox: Sandbox) -> None:
    def play(seed: int) -> list[int]:
        rule = {"match": "secretmanager.projects.secrets.list", "do": {"status": 503}, "chance": 0.5, "times": 99}
        sandbox.call("PUT", "_sandbox/faults", {"seed": seed, "rules": [rule]})
        return [sandbox.get(SECRETS).status_code for _ in range(20)]

    first = play(7)
    assert set(first) == {200, 503}
    assert play(7) == first
    assert play(8) != first


def test_a_rule_that_never_fired_is_told(sandbox: Sandbox) -> None:
    sandbox.faults({"match": "sql.instances.insert", "do": "reset"}, {"match": "*reading*", "do": {"status": 500}})
    sandbox.get(SECRETS)
    assert account(sandbox)["unfired"] == [0]


@pytest.mark.parametrize(
    "rule",
    [
        {"match": "x"},
        {"match": "x", "do": "explode"},
        {"match": "x", "do": "hang:soon"},
        {"match": "x", "do": "reset", "when": "never"},
        {"match": "x", "do": "reset", "nht": 2},
        {"match": "x", "do": {"colour": 1}},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(sandbox: Sandbox, rule: dict[str, Any]) -> None:
    assert sandbox.call("PUT", "_sandbox/faults", {"rules": [rule]}).status_code == 400


def test_one_entry_a_request_in_order_with_what_the_client_said(sandbox: Sandbox) -> None:
    said = {"user-agent": "plantctl/test", "x-goog-request-reason": "plantctl/run1/3"}
    sandbox.post(f"{SECRETS}?secretId=A", BODY, headers=said)
    sandbox.get(f"{SECRETS}/A", headers=said)
    sandbox.get("sqladmin/v1/nothing", headers=said)
    entries = sandbox.wire()
    assert [one["seq"] for one in entries] == [1, 2, 3]
    assert [one["status"] for one in entries] == [200, 200, 404]
    assert [one["mutating"] for one in entries] == [True, False, False]
    assert {one["user_agent"] for one in entries} == {"plantctl/test"}
    assert {one["reason"] for one in entries} == {"plantctl/run1/3"}
    assert entries[0]["resource"] == entries[1]["resource"] == f"secretmanager/projects/{PROJECT}/secrets/A"
    assert [one["seq"] for one in sandbox.wire(since=2)] == [3]


@pytest.mark.parametrize(
    ("method_id", "verb", "params", "mutating"),
    [
        ("sql.instances.get", "GET", {}, False),
        ("sql.instances.insert", "POST", {}, True),
        ("cloudresourcemanager.projects.getIamPolicy", "POST", {}, False),
        ("cloudresourcemanager.projects.setIamPolicy", "POST", {}, True),
        ("storage.buckets.testIamPermissions", "POST", {}, False),
        ("logging.entries.list", "POST", {}, False),
        ("logging.entries.write", "POST", {}, True),
        ("compute.globalOperations.wait", "POST", {}, False),
        ("run.projects.locations.operations.wait", "POST", {}, False),
        ("run.projects.locations.jobs.create", "POST", {"validateOnly": "true"}, False),
        ("run.projects.locations.jobs.create", "POST", {"validateOnly": False}, True),
        ("run.projects.locations.jobs.run", "POST", {}, True),
        ("compute.networks.delete", "DELETE", {}, True),
    ],
)
def test_what_a_write_is(method_id: str, verb: str, params: dict[str, Any], mutating: bool) -> None:
    assert is_mutating(method_id, verb, params) is mutating
