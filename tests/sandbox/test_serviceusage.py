"""Service Usage: on and off, batches, billing, propagation, agents (hazards S01 to S09)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

BASE = f"serviceusage/v1/projects/{PROJECT}/services"


def enabled(sandbox: Sandbox) -> list[str]:
    """Names in the list of what is on."""
    answer = sandbox.ok("GET", f"{BASE}?filter=state:ENABLED&pageSize=200")
    return [one["config"]["name"] for one in answer.get("services", [])]


def error(answer: Any) -> Any:
    """The error of an answer that has to fail."""
    assert answer.status_code >= 400, answer.text
    return answer.json()["error"]


def test_one_is_turned_on_and_off(sandbox: Sandbox) -> None:
    sandbox.reset(services=[])
    assert sandbox.ok("GET", f"{BASE}/run.googleapis.com")["state"] == "DISABLED"
    begun = sandbox.ok("POST", f"{BASE}/run.googleapis.com:enable", {})
    assert "done" not in begun
    assert begun["name"].startswith(f"operations/acf.p2-{NUMBER}-")
    done = sandbox.ok("GET", f"serviceusage/v1/{begun['name']}")
    assert done["response"]["service"]["name"] == f"projects/{NUMBER}/services/run.googleapis.com"
    assert done["response"]["@type"].endswith("EnableServiceResponse")
    assert enabled(sandbox) == ["run.googleapis.com"]
    assert sandbox.get(f"run/v2/projects/{PROJECT}/locations/us-central1/jobs").status_code == 200
    sandbox.ok("POST", f"{BASE}/run.googleapis.com:disable", {})
    assert enabled(sandbox) == []
    assert error(sandbox.post(f"{BASE}/run.googleapis.com:disable", {}))["status"] == "FAILED_PRECONDITION"


def test_batches_are_two_to_twenty(sandbox: Sandbox) -> None:
    sandbox.reset(services=[])
    several = ["run.googleapis.com", "redis.googleapis.com"]
    begun = sandbox.ok("POST", f"{BASE}:batchEnable", {"serviceIds": several})
    done = sandbox.ok("GET", f"serviceusage/v1/{begun['name']}")
    assert [one["state"] for one in done["response"]["services"]] == ["ENABLED", "ENABLED"]
    assert enabled(sandbox) == sorted(several)
    for wrong in (["run.googleapis.com"], [f"{n}.googleapis.com" for n in "abcdefghijklmnopqrstu"]):
        assert error(sandbox.post(f"{BASE}:batchEnable", {"serviceIds": wrong}))["status"] == "INVALID_ARGUMENT"
    names = [f"projects/{PROJECT}/services/{one}" for one in several]
    found = sandbox.ok("GET", f"{BASE}:batchGet", params={"names": names})
    assert [one["state"] for one in found["services"]] == ["ENABLED", "ENABLED"]


def test_one_unknown_name_spoils_the_batch(sandbox: Sandbox) -> None:
    sandbox.reset(services=[])
    ids = ["run.googleapis.com", "runn.googleapis.com"]
    found = error(sandbox.post(f"{BASE}:batchEnable", {"serviceIds": ids}))
    assert found["status"] == "PERMISSION_DENIED"
    assert found["details"][0]["reason"] == "SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED"
    assert enabled(sandbox) == []


def test_no_billing_no_compute(sandbox: Sandbox) -> None:
    sandbox.reset(services=[])
    info = f"cloudbilling/v1/projects/{PROJECT}/billingInfo"
    sandbox.ok("PUT", info, {"billingAccountName": ""})
    found = error(sandbox.post(f"{BASE}/compute.googleapis.com:enable", {}))
    assert found["status"] == "FAILED_PRECONDITION"
    assert found["details"][0]["reason"] == "UREQ_PROJECT_BILLING_NOT_FOUND"
    assert found["details"][0]["domain"] == "serviceusage.googleapis.com/billing-enabled"
    assert found["details"][1]["violations"][0]["type"] == "googleapis.com/billing-enabled"
    assert sandbox.post(f"{BASE}/logging.googleapis.com:enable", {}).status_code == 200
    sandbox.ok("PUT", info, {"billingAccountName": "billingAccounts/012345-6789AB-CDEF01"})
    assert sandbox.post(f"{BASE}/compute.googleapis.com:enable", {}).status_code == 200


def test_two_at_once_on_one_service_are_refused(sandbox: Sandbox) -> None:
    sandbox.reset(services=[], speed=1)
    sandbox.ok("POST", f"{BASE}/run.googleapis.com:enable", {})
    found = error(sandbox.post(f"{BASE}/run.googleapis.com:enable", {}))
    assert "Another activation or deactivation is in progress" in found["message"]
    assert sandbox.post(f"{BASE}/redis.googleapis.com:enable", {}).status_code == 200


def test_what_was_just_turned_on_is_known_a_while_later(sandbox: Sandbox) -> None:
    sandbox.reset(services=[], speed=50)  # 20 s of work and 20 s of propagation: 0.4 s each
    name = sandbox.ok("POST", f"{BASE}/run.googleapis.com:enable", {})["name"]
    end = time.monotonic() + 10
    while "done" not in sandbox.ok("GET", f"serviceusage/v1/{name}") and time.monotonic() < end:
        time.sleep(0.02)
    assert sandbox.ok("GET", f"{BASE}/run.googleapis.com")["state"] == "ENABLED"
    early = error(sandbox.get(f"run/v2/projects/{PROJECT}/locations/us-central1/jobs"))
    assert early["details"][0]["reason"] == "SERVICE_DISABLED"
    assert enabled(sandbox) == []
    while sandbox.get(f"run/v2/projects/{PROJECT}/locations/us-central1/jobs").status_code == 403:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert enabled(sandbox) == ["run.googleapis.com"]


@pytest.mark.parametrize(("query", "status"), [("filter=state:ON", 400), ("pageToken=%21", 400), ("pageSize=7", 200)])
def test_list_parameters(sandbox: Sandbox, query: str, status: int) -> None:
    answer = sandbox.get(f"{BASE}?{query}")
    assert answer.status_code == status
    if status == 200:
        assert len(answer.json()["services"]) == 7
        assert answer.json()["nextPageToken"]
