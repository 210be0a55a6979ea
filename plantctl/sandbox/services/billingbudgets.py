"""Cloud Billing Budgets v1. No natural key: the same create twice makes two budgets (hazards 2, class X)."""

from __future__ import annotations

import uuid

from plantctl.sandbox import errors, standard
from plantctl.sandbox.projects import BILLING_ACCOUNT
from plantctl.sandbox.service import Body, Call, Service

service = Service("billingbudgets", versions=("v1",))

B = "billingbudgets.billingAccounts.budgets"


@service.method(f"{B}.create")
def create_budget(call: Call) -> Body:
    """An amount is required; its currency is that of the account (hazards S17)."""
    account = _account(call, "parent")
    name = f"billingAccounts/{account}/budgets/{uuid.uuid4()}"
    return _put(call, {**call.body, "name": name})


@service.method(f"{B}.get")
def get_budget(call: Call) -> Body:
    """One budget."""
    return _found(call)


@service.method(f"{B}.list")
def list_budgets(call: Call) -> Body:
    """All budgets of the account; `scope` narrows to a project."""
    prefix = f"billingbudgets/billingAccounts/{_account(call, 'parent')}/budgets/"
    found = [body for _, body in call.store.list(prefix)]
    scope = str(call.params.get("scope", ""))
    if scope:
        number = f"projects/{call.world.project_number(scope.removeprefix('projects/'))}"
        found = [body for body in found if number in body.get("budgetFilter", {}).get("projects", [])]
    return standard.page(found, call.params, "budgets")


@service.method(f"{B}.patch")
def patch_budget(call: Call) -> Body:
    """The masked fields; a stale etag answers 409."""
    live = _found(call)
    given = {key: value for key, value in call.body.items() if key not in ("name", "etag")}
    if call.body.get("etag") and call.body["etag"] != live["etag"]:
        raise errors.aborted("The etag of the budget does not match.")
    return _put(call, standard.masked(live, given, str(call.params.get("updateMask", ""))))


@service.method(f"{B}.delete")
def delete_budget(call: Call) -> Body:
    """Gone at once."""
    call.store.delete(f"billingbudgets/{_found(call)['name']}")
    return {}


def _put(call: Call, body: Body) -> Body:
    amount = body.get("amount") or {}
    if not ({"specifiedAmount", "lastPeriodAmount"} & set(amount)):
        raise errors.invalid("The budget must have an amount.", "budget.amount")
    money = amount.get("specifiedAmount") or {}
    if money and money.get("currencyCode", "USD") != "USD":
        raise errors.invalid("The currency code must match the currency of the billing account.", "currency_code")
    if money:
        amount["specifiedAmount"] = {"currencyCode": "USD", **money}
    rules = [{"spendBasis": "CURRENT_SPEND", **rule} for rule in body.get("thresholdRules") or []]
    scope = {"creditTypesTreatment": "INCLUDE_ALL_CREDITS", **(body.get("budgetFilter") or {})}
    if "customPeriod" not in scope:
        scope.setdefault("calendarPeriod", "MONTH")
    if scope.get("projects"):
        scope["projects"] = [f"projects/{call.world.project_number(p.split('/', 1)[-1])}" for p in scope["projects"]]
    body = {**body, "amount": amount, "budgetFilter": scope, "ownershipScope": body.get("ownershipScope", "ALL_USERS")}
    if rules:
        body["thresholdRules"] = rules
    body["etag"] = standard.etag(body)
    return call.store.put(f"billingbudgets/{body['name']}", body)


def _account(call: Call, param: str) -> str:
    account = str(call.params[param]).split("/")[1]
    if account != BILLING_ACCOUNT:
        raise errors.denied("The caller does not have permission")
    return account


def _found(call: Call) -> Body:
    _account(call, "name")
    body = call.store.get(f"billingbudgets/{call.params['name']}")
    if body is None:
        raise errors.not_found("Requested entity was not found.")
    return body
