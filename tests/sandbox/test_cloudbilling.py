"""The billing account, its links and its budgets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

ACCOUNT = "billingAccounts/012345-6789AB-CDEF01"
BUDGETS = f"billingbudgets/v1/{ACCOUNT}/budgets"
BODY: dict[str, Any] = {
    "displayName": "plant",
    "amount": {"specifiedAmount": {"units": 500}},
    "thresholdRules": [{"thresholdPercent": 0.5}],
    "budgetFilter": {"projects": [f"projects/{PROJECT}"]},
}


def test_the_account(sandbox: Sandbox) -> None:
    found = sandbox.ok("GET", "cloudbilling/v1/billingAccounts")["billingAccounts"]
    assert [(one["name"], one["open"]) for one in found] == [(ACCOUNT, True)]
    assert sandbox.ok("GET", f"cloudbilling/v1/{ACCOUNT}")["currencyCode"] == "USD"
    assert sandbox.get("cloudbilling/v1/billingAccounts/000000-000000-000000").status_code == 403


def test_link_unlink_and_quota(sandbox: Sandbox) -> None:
    info = f"cloudbilling/v1/projects/{PROJECT}/billingInfo"
    assert sandbox.ok("GET", info)["billingAccountName"] == ACCOUNT
    assert sandbox.ok("PUT", info, {"billingAccountName": ""})["billingEnabled"] is False
    assert sandbox.call("PUT", info, {"billingAccountName": "billingAccounts/0-0-0"}).status_code == 403
    assert sandbox.ok("PUT", info, {"billingAccountName": ACCOUNT})["billingEnabled"] is True
    status = []
    for number in range(5):
        sandbox.ok("POST", "cloudresourcemanager/v3/projects", {"projectId": f"plant-more-{number}"})
        path = f"cloudbilling/v1/projects/plant-more-{number}/billingInfo"
        answer = sandbox.call("PUT", path, {"billingAccountName": ACCOUNT})
        status.append(answer.status_code)
    assert status == [200, 200, 200, 200, 400]
    details = answer.json()["error"]["details"][0]
    assert details["violations"][0]["subject"] == ACCOUNT
    listed = sandbox.ok("GET", f"cloudbilling/v1/{ACCOUNT}/projects")["projectBillingInfo"]
    assert len(listed) == 5


def test_billing_of_nobody(sandbox: Sandbox) -> None:
    assert sandbox.get("cloudbilling/v1/projects/nobody-here/billingInfo").status_code == 403


def test_the_same_budget_twice_is_two_budgets(sandbox: Sandbox) -> None:
    first, second = sandbox.ok("POST", BUDGETS, BODY), sandbox.ok("POST", BUDGETS, BODY)
    assert first["name"] != second["name"]
    assert first["amount"]["specifiedAmount"] == {"currencyCode": "USD", "units": "500"}
    assert first["thresholdRules"] == [{"spendBasis": "CURRENT_SPEND", "thresholdPercent": 0.5}]
    assert first["budgetFilter"]["projects"] == [f"projects/{NUMBER}"]
    assert len(sandbox.ok("GET", BUDGETS)["budgets"]) == 2
    sandbox.ok("DELETE", f"billingbudgets/v1/{first['name']}")
    assert sandbox.get(f"billingbudgets/v1/{first['name']}").status_code == 404
    assert [one["name"] for one in sandbox.ok("GET", BUDGETS)["budgets"]] == [second["name"]]


def test_patching_a_budget(sandbox: Sandbox) -> None:
    budget = sandbox.ok("POST", BUDGETS, BODY)
    path = f"billingbudgets/v1/{budget['name']}"
    changed = sandbox.ok("PATCH", f"{path}?updateMask=displayName", {"displayName": "new", "etag": budget["etag"]})
    assert (changed["displayName"], changed["amount"]) == ("new", budget["amount"])
    stale = sandbox.call("PATCH", f"{path}?updateMask=displayName", {"displayName": "x", "etag": budget["etag"]})
    assert stale.status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        {"amount": None},
        {"amount": {"specifiedAmount": {"units": "5", "currencyCode": "EUR"}}},
        {"amount": {"specifiedAmount": {"units": "lots"}}},
    ],
)
def test_what_a_budget_may_not_be(sandbox: Sandbox, change: dict[str, Any]) -> None:
    assert sandbox.post(BUDGETS, {**BODY, **change}).status_code == 400


def test_budgets_of_another_account(sandbox: Sandbox) -> None:
    assert sandbox.get("billingbudgets/v1/billingAccounts/000000-000000-000000/budgets").status_code == 403
