"""Policies, roles and the tokens of metadata servers: what is allowed, and Google's words for what is not."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from plantctl.sandbox.access import permission_of
from plantctl.sandbox.service import OWNER
from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

CRM = f"cloudresourcemanager/v1/projects/{PROJECT}"
EMAIL = f"plant-app@{PROJECT}.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{EMAIL}"
ACCESSOR = "roles/secretmanager.secretAccessor"


def account(sandbox: Sandbox) -> None:
    """The service account of EMAIL."""
    sandbox.ok("POST", f"iam/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "plant-app"})


def policy(sandbox: Sandbox) -> Any:
    """The project's policy."""
    return sandbox.ok("POST", f"{CRM}:getIamPolicy", {"options": {"requestedPolicyVersion": 3}})


def set_policy(sandbox: Sandbox, *bindings: dict[str, Any], etag: str = "", version: int = 3) -> Any:
    """The answer to a set of the project's policy."""
    body = {"policy": {"bindings": list(bindings), "version": version, **({"etag": etag} if etag else {})}}
    return sandbox.post(f"{CRM}:setIamPolicy", body)


def test_read_modify_write_with_etag(sandbox: Sandbox) -> None:
    account(sandbox)
    first = policy(sandbox)
    assert list(first) == ["etag"]
    done = set_policy(sandbox, {"role": "roles/viewer", "members": [MEMBER, MEMBER]}, etag=first["etag"]).json()
    assert done["bindings"] == [{"role": "roles/viewer", "members": [MEMBER]}]
    assert done["version"] == 1
    assert policy(sandbox) == done
    late = set_policy(sandbox, etag=first["etag"])
    assert late.status_code == 409
    assert late.json()["error"]["status"] == "ABORTED"
    assert "concurrent policy changes" in late.json()["error"]["message"]
    assert policy(sandbox) == done


def test_an_etag_that_was_never_given_is_stale(sandbox: Sandbox) -> None:
    assert set_policy(sandbox, etag="BwXwrong000=").status_code == 409


def test_v1_and_v3_and_the_number_are_one_policy(sandbox: Sandbox) -> None:
    assert set_policy(sandbox, {"role": "roles/viewer", "members": ["user:a@example.com"]}).status_code == 200
    v3 = sandbox.ok("POST", f"cloudresourcemanager/v3/projects/{NUMBER}:getIamPolicy", {})
    assert v3 == policy(sandbox)


def test_a_service_account_that_does_not_exist_is_refused(sandbox: Sandbox) -> None:
    answer = set_policy(sandbox, {"role": "roles/viewer", "members": [MEMBER]})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"Service account {EMAIL} does not exist."
    account(sandbox)
    assert set_policy(sandbox, {"role": "roles/viewer", "members": [MEMBER]}).status_code == 200


def test_a_new_service_account_is_visible_to_policies_only_after_a_while(sandbox: Sandbox) -> None:
    sandbox.reset(speed=1)
    account(sandbox)
    assert set_policy(sandbox, {"role": "roles/viewer", "members": [MEMBER]}).status_code == 400
    sandbox.ok("PUT", "_sandbox/clock", {"speed": "max"})
    assert set_policy(sandbox, {"role": "roles/viewer", "members": [MEMBER]}).status_code == 200


def test_agents_on_demand_exist_after_generate_service_identity(sandbox: Sandbox) -> None:
    agent = f"serviceAccount:service-{NUMBER}@gcp-sa-secretmanager.iam.gserviceaccount.com"
    assert set_policy(sandbox, {"role": "roles/viewer", "members": [agent]}).status_code == 400
    path = f"serviceusage/v1beta1/projects/{PROJECT}/services/secretmanager.googleapis.com:generateServiceIdentity"
    made = sandbox.ok("POST", path)
    assert made["done"] is True
    assert f"serviceAccount:{made['response']['email']}" == agent
    assert sandbox.ok("POST", path) == made
    assert set_policy(sandbox, {"role": "roles/viewer", "members": [agent]}).status_code == 200


@pytest.mark.parametrize(
    "binding",
    [
        {"role": "viewer", "members": ["user:a@example.com"]},
        {"role": "roles/viewer", "members": ["somebody"]},
    ],
)
def test_bindings_that_make_no_sense(sandbox: Sandbox, binding: dict[str, Any]) -> None:
    assert set_policy(sandbox, binding).status_code == 400


def test_conditions_need_version_three_and_are_hidden_below(sandbox: Sandbox) -> None:
    condition = {"title": "t", "expression": "request.time < timestamp('2030-01-01T00:00:00Z')"}
    binding = {"role": "roles/viewer", "members": ["user:a@example.com"], "condition": condition}
    assert set_policy(sandbox, binding, version=1).status_code == 400
    assert set_policy(sandbox, binding).json()["version"] == 3
    assert policy(sandbox)["bindings"] == [binding]
    hidden = sandbox.ok("POST", f"{CRM}:getIamPolicy", {})
    assert hidden["bindings"][0]["role"].startswith("roles/viewer_withcond_")


def test_a_metadata_token_names_its_account_and_gets_what_it_was_granted(sandbox: Sandbox) -> None:
    account(sandbox)
    secrets = f"secretmanager/v1/projects/{PROJECT}/secrets"
    for name in ("MINE", "OTHER"):
        sandbox.ok("POST", f"{secrets}?secretId={name}", {"replication": {"automatic": {}}})
        sandbox.ok("POST", f"{secrets}/{name}:addVersion", {"payload": {"data": "aGk="}})
    binding = {"policy": {"bindings": [{"role": ACCESSOR, "members": [MEMBER]}], "version": 3}}
    sandbox.ok("POST", f"{secrets}/MINE:setIamPolicy", binding)
    token, seconds = sandbox.app.world.access.mint(EMAIL, "access")
    assert seconds > 3000
    said = {"authorization": f"Bearer {token}"}
    assert sandbox.get(f"{secrets}/MINE/versions/latest:access", headers=said).status_code == 200
    denied = sandbox.get(f"{secrets}/OTHER/versions/1:access", headers=said)
    assert denied.status_code == 403
    assert "Permission 'secretmanager.versions.access' denied" in denied.json()["error"]["message"]
    assert sandbox.get(f"{secrets}/MINE", headers=said).status_code == 403
    assert sandbox.get(f"{secrets}/OTHER", headers={"authorization": "Bearer anything"}).status_code == 200


def test_decisions_walk_up_to_the_project(sandbox: Sandbox) -> None:
    account(sandbox)
    access = sandbox.app.world.access
    key = f"secretmanager/projects/{PROJECT}/secrets/S/versions/1"
    assert access.allows(OWNER, "secretmanager.versions.access", key)
    assert not access.allows(MEMBER, "secretmanager.versions.access", key)
    set_policy(sandbox, {"role": "roles/editor", "members": [MEMBER]})
    assert access.allows(MEMBER, "secretmanager.secrets.get", key)
    assert not access.allows(MEMBER, "secretmanager.versions.access", key)
    assert not access.allows(MEMBER, "secretmanager.secrets.setIamPolicy", key)
    set_policy(sandbox, {"role": ACCESSOR, "members": [MEMBER]})
    assert access.allows(MEMBER, "secretmanager.versions.access", key)
    condition = {"title": "never", "expression": "false"}
    set_policy(sandbox, {"role": ACCESSOR, "members": [MEMBER], "condition": condition})
    assert not access.allows(MEMBER, "secretmanager.versions.access", key)


def test_a_buckets_project_is_found_by_its_number(sandbox: Sandbox) -> None:
    account(sandbox)
    sandbox.ok("POST", f"storage/storage/v1/b?project={PROJECT}", {"name": "plant-some-bucket", "location": "US"})
    access = sandbox.app.world.access
    assert not access.allows(MEMBER, "storage.objects.get", "storage/b/plant-some-bucket")
    set_policy(sandbox, {"role": "roles/storage.objectViewer", "members": [MEMBER]})
    assert access.allows(MEMBER, "storage.objects.get", "storage/b/plant-some-bucket")
    assert not access.allows(MEMBER, "storage.objects.create", "storage/b/plant-some-bucket")


def test_custom_roles_grant_what_they_hold(sandbox: Sandbox) -> None:
    account(sandbox)
    world = sandbox.app.world
    world.store.put(f"iam/projects/{PROJECT}/roles/mine", {"includedPermissions": ["run.jobs.run"]})
    set_policy(sandbox, {"role": f"projects/{PROJECT}/roles/mine", "members": [MEMBER]})
    assert world.access.allows(MEMBER, "run.jobs.run", f"run/projects/{PROJECT}/locations/l/jobs/j")
    assert not world.access.allows(MEMBER, "run.jobs.delete", f"run/projects/{PROJECT}/locations/l/jobs/j")


def test_identity_tokens_carry_their_claims(sandbox: Sandbox) -> None:
    token, _ = sandbox.app.world.access.mint(EMAIL, "identity", "https://plant")
    middle = token.split(".")[1]
    claims = json.loads(urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert (claims["aud"], claims["email"]) == ("https://plant", EMAIL)
    assert sandbox.app.world.access.audience_of(token) == "https://plant"


def test_held_permissions(sandbox: Sandbox) -> None:
    asked = {"permissions": ["run.jobs.run", "resourcemanager.projects.get"]}
    assert sandbox.ok("POST", f"{CRM}:testIamPermissions", asked) == asked
    account(sandbox)
    token, _ = sandbox.app.world.access.mint(EMAIL, "access")
    said = {"authorization": f"Bearer {token}"}
    set_policy(sandbox, {"role": "roles/browser", "members": [MEMBER]})
    answer = sandbox.post(f"{CRM}:testIamPermissions", asked, headers=said)
    assert answer.json() == {"permissions": ["resourcemanager.projects.get"]}


@pytest.mark.parametrize(
    ("method_id", "permission"),
    [
        ("secretmanager.projects.secrets.versions.access", "secretmanager.versions.access"),
        ("storage.objects.insert", "storage.objects.create"),
        ("sql.instances.patch", "cloudsql.instances.update"),
        ("logging.entries.write", "logging.logEntries.create"),
        ("run.projects.locations.jobs.run", "run.jobs.run"),
        ("cloudresourcemanager.projects.get", "resourcemanager.projects.get"),
    ],
)
def test_permissions_of_methods(method_id: str, permission: str) -> None:
    assert permission_of(method_id) == permission
