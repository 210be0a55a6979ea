"""What Cloud Build refuses at once; what it really builds is in test_run_jobs.py."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.plane_kit import BUILDER, IMAGE, LOCATION, account, build_body

SOURCE = {"bucket": f"{PROJECT}-plant-source", "name": "source.tgz", "generation": "1"}


@pytest.fixture
def builds(sandbox: Sandbox) -> Any:
    """The collection of Google's client; the build account is there."""
    account(sandbox, BUILDER)
    return sandbox.client("cloudbuild", "v1").projects().locations().builds()


def refusal(request: Any) -> tuple[int, str]:
    """Status and message of a request that has to fail."""
    with pytest.raises(HttpError) as caught:
        request.execute()
    return int(caught.value.status_code), str(caught.value.reason)


def test_an_own_account_needs_a_place_for_logs(builds: Any) -> None:
    body = build_body(SOURCE, options={})
    code, words = refusal(builds.create(parent=LOCATION, body=body))
    assert code == 400
    assert words.startswith("if 'build.service_account' is specified")  # hazards B01


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"steps": [{"name": "bash", "args": ["ls"]}]},
        {"source": {}},
        {"serviceAccount": f"projects/{PROJECT}/serviceAccounts/nobody@{PROJECT}.iam.gserviceaccount.com"},
    ],
    ids=["no steps", "another step", "no source", "no such account"],
)
def test_what_is_refused_before_it_starts(builds: Any, change: dict[str, Any]) -> None:
    assert refusal(builds.create(parent=LOCATION, body=build_body(SOURCE, **change)))[0] == 400
    assert builds.list(parent=LOCATION).execute() == {}


def test_a_caller_needs_to_act_as_the_build_account(sandbox: Sandbox, builds: Any) -> None:
    caller = f"plant-backend-sa@{PROJECT}.iam.gserviceaccount.com"
    account(sandbox, caller)
    policy = {
        "policy": {"bindings": [{"role": "roles/cloudbuild.builds.editor", "members": [f"serviceAccount:{caller}"]}]}
    }
    sandbox.ok("POST", f"cloudresourcemanager/v1/projects/{PROJECT}:setIamPolicy", policy)
    token, _ = sandbox.app.world.access.mint(caller, "access")
    headers = {"Authorization": f"Bearer {token}"}
    answer = sandbox.post(f"cloudbuild/v1/{LOCATION}/builds", build_body(SOURCE), headers=headers)
    assert answer.status_code == 403
    assert "act as service account" in answer.json()["error"]["message"]


def test_a_build_without_its_source_fails_and_is_found_by_its_tags(sandbox: Sandbox, builds: Any) -> None:
    operation = builds.create(parent=LOCATION, body=build_body(SOURCE, tags=["mine"])).execute()
    assert operation["metadata"]["build"]["status"] == "QUEUED"
    operations = sandbox.client("cloudbuild", "v1").projects().locations().operations()
    for _ in range(2000):
        done = operations.get(name=operation["name"]).execute()
        if done.get("done"):
            break
    assert done["error"]["code"] == 2
    (found,) = builds.list(parent=LOCATION, filter='tags="mine" AND status="FAILURE"').execute()["builds"]
    assert found["failureInfo"]["type"] == "FETCH_SOURCE_FAILED"
    assert found["images"] == [f"{IMAGE}:1"]
    assert builds.list(parent=LOCATION, filter='tags="other"').execute() == {}
    assert refusal(builds.list(parent=LOCATION, filter="substitutions.X = 1"))[0] == 400
    name = f"{LOCATION}/builds/{found['id']}"
    assert refusal(builds.cancel(name=name, body={}))[0] == 400


def test_a_queued_build_can_be_cancelled(sandbox: Sandbox, builds: Any) -> None:
    sandbox.ok("PUT", "_sandbox/clock", {"speed": 60})
    try:
        operation = builds.create(parent=LOCATION, body=build_body(SOURCE)).execute()
        identity = operation["metadata"]["build"]["id"]
        name = f"{LOCATION}/builds/{identity}"
        assert builds.cancel(name=name, body={}).execute()["status"] == "CANCELLED"
        assert builds.get(name=name).execute()["status"] == "CANCELLED"
    finally:
        sandbox.ok("PUT", "_sandbox/clock", {"speed": "max"})
