"""IAM service accounts through Google's client: rules of ids, masks, etags, visibility, keys, policies."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from tests.sandbox.conftest import PROJECT, Sandbox

NAME = f"projects/{PROJECT}"
EMAIL = f"plant-backend-sa@{PROJECT}.iam.gserviceaccount.com"
ACCOUNT = f"{NAME}/serviceAccounts/{EMAIL}"


@pytest.fixture
def accounts(sandbox: Sandbox) -> Any:
    """The collection of Google's client."""
    return sandbox.client("iam", "v1").projects().serviceAccounts()


def make(accounts: Any, account_id: str = "plant-backend-sa", **fields: str) -> dict[str, Any]:
    """Create an account."""
    return dict(accounts.create(name=NAME, body={"accountId": account_id, "serviceAccount": fields}).execute())


def status(request: Any) -> tuple[int, str]:
    """HTTP status and google.rpc code of a request that has to fail."""
    with pytest.raises(HttpError) as caught:
        request.execute()
    error = caught.value
    return error.status_code, str(error.error_details[0].get("reason") if error.error_details else error.reason)


def test_an_account_has_what_the_server_fills_in(accounts: Any) -> None:
    made = make(accounts, displayName="Backend")
    assert (made["email"], made["name"], made["projectId"]) == (EMAIL, ACCOUNT, PROJECT)
    assert made["uniqueId"].isdigit()
    assert accounts.get(name=ACCOUNT).execute() == made
    assert accounts.get(name=f"projects/-/serviceAccounts/{made['uniqueId']}").execute() == made


def test_a_taken_id_answers_409_and_a_short_one_400(accounts: Any) -> None:
    make(accounts)
    with pytest.raises(HttpError) as taken:
        make(accounts)
    with pytest.raises(HttpError) as short:
        make(accounts, "five5")
    assert (taken.value.status_code, short.value.status_code) == (409, 400)


def test_a_missing_account_answers_404_or_403_behind_a_dash(accounts: Any) -> None:
    # IAM reference: with `-` for the project a missing account is 403
    assert status(accounts.get(name=ACCOUNT))[0] == 404
    assert status(accounts.get(name=f"projects/-/serviceAccounts/{EMAIL}"))[0] == 403


def test_a_patch_changes_what_its_mask_names_and_answers_that_alone(accounts: Any) -> None:
    etag = make(accounts, displayName="a", description="b")["etag"]
    body = {"serviceAccount": {"displayName": "c", "description": "ignored"}, "updateMask": "display_name"}
    assert accounts.patch(name=ACCOUNT, body=body).execute() == {"name": ACCOUNT, "displayName": "c"}
    live = accounts.get(name=ACCOUNT).execute()
    assert (live["displayName"], live["description"]) == ("c", "b")
    stale = {"serviceAccount": {"displayName": "d", "etag": etag}, "updateMask": "displayName"}
    assert status(accounts.patch(name=ACCOUNT, body=stale))[0] == 409
    wrong = {"serviceAccount": {"email": "x"}, "updateMask": "email"}
    assert status(accounts.patch(name=ACCOUNT, body=wrong))[0] == 400


def test_a_list_comes_in_pages(accounts: Any) -> None:
    ids = [f"account-{n}" for n in range(5)]
    for one in ids:
        make(accounts, one)
    seen: list[str] = []
    request = accounts.list(name=NAME, pageSize=2)
    pages = 0
    while request is not None:
        answer = request.execute()
        seen += [one["email"].split("@")[0] for one in answer["accounts"]]
        request, pages = accounts.list_next(request, answer), pages + 1
    assert [one for one in seen if one in ids] == ids
    assert pages == (len(seen) + 1) // 2


def test_a_deleted_account_stays_in_policies_under_another_name(sandbox: Sandbox, accounts: Any) -> None:
    unique = make(accounts)["uniqueId"]
    projects = sandbox.client("cloudresourcemanager", "v3").projects()
    binding = {"role": "roles/run.viewer", "members": [f"serviceAccount:{EMAIL}"]}
    projects.setIamPolicy(resource=NAME, body={"policy": {"bindings": [binding]}}).execute()
    accounts.delete(name=ACCOUNT).execute()
    policy = projects.getIamPolicy(resource=NAME, body={}).execute()
    assert policy["bindings"][0]["members"] == [f"deleted:serviceAccount:{EMAIL}?uid={unique}"]  # hazards I08


def test_a_new_account_is_not_visible_to_policies_at_once(sandbox: Sandbox, accounts: Any) -> None:
    # hazards I01, I03: the policy is refused until the account has spread
    sandbox.ok("PUT", "_sandbox/clock", {"speed": 60})
    try:
        make(accounts)
        binding = {"role": "roles/run.viewer", "members": [f"serviceAccount:{EMAIL}"]}
        policy = {"policy": {"bindings": [binding]}}
        answer = sandbox.post(f"cloudresourcemanager/v3/{NAME}:setIamPolicy", policy)
        assert answer.status_code == 400
        assert "does not exist" in answer.json()["error"]["message"]
        sandbox.ok("PUT", "_sandbox/clock", {"speed": "max"})
        sandbox.ok("POST", f"cloudresourcemanager/v3/{NAME}:setIamPolicy", policy)
    finally:
        sandbox.ok("PUT", "_sandbox/clock", {"speed": "max"})


def test_keys_show_their_private_part_once(accounts: Any) -> None:
    make(accounts)
    keys = accounts.keys()
    made = keys.create(name=ACCOUNT, body={}).execute()
    assert made["privateKeyData"]
    listed = keys.list(name=ACCOUNT, keyTypes="USER_MANAGED").execute()["keys"]
    assert [key["name"] for key in listed] == [made["name"]]
    assert "privateKeyData" not in listed[0]
    keys.delete(name=made["name"]).execute()
    assert keys.list(name=ACCOUNT, keyTypes="USER_MANAGED").execute() == {}


def test_act_as_is_checked_by_the_accounts_own_policy(sandbox: Sandbox, accounts: Any) -> None:
    make(accounts)
    make(accounts, "plant-build-sa")
    token, _ = sandbox.app.world.access.mint(f"plant-build-sa@{PROJECT}.iam.gserviceaccount.com", "access")
    headers = {"Authorization": f"Bearer {token}"}
    assert sandbox.get(f"iam/v1/{ACCOUNT}", headers=headers).status_code == 403
    member = f"serviceAccount:plant-build-sa@{PROJECT}.iam.gserviceaccount.com"
    policy = {"policy": {"bindings": [{"role": "roles/iam.serviceAccountUser", "members": [member]}]}}
    accounts.setIamPolicy(resource=ACCOUNT, body=policy).execute()
    asked = {"permissions": ["iam.serviceAccounts.actAs", "iam.serviceAccounts.delete"]}
    held = sandbox.ok("POST", f"iam/v1/{ACCOUNT}:testIamPermissions", asked)
    assert held["permissions"] == asked["permissions"]
    assert sandbox.get(f"iam/v1/{ACCOUNT}", headers=headers).status_code == 200
