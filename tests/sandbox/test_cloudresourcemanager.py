"""Projects: create, look, change, delete and undelete, in v1 and v3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import PROJECT, Sandbox

V1, V3 = "cloudresourcemanager/v1/projects", "cloudresourcemanager/v3/projects"


def wait(sandbox: Sandbox, version: str, operation: Any) -> Any:
    """The response of an operation."""
    done = sandbox.ok("GET", f"cloudresourcemanager/{version}/{operation['name']}")
    assert done["done"] is True
    return done["response"]


def test_create_v3(sandbox: Sandbox) -> None:
    body = {"projectId": "plant-two", "displayName": "Plant Two", "labels": {"managed-by": "plantctl"}}
    made = wait(sandbox, "v3", sandbox.ok("POST", V3, body))
    assert made["state"] == "ACTIVE"
    assert made["name"].startswith("projects/")
    assert made["@type"] == "type.googleapis.com/google.cloud.resourcemanager.v3.Project"
    assert sandbox.ok("GET", f"{V3}/plant-two")["labels"] == {"managed-by": "plantctl"}
    assert sandbox.ok("GET", f"{V1}/plant-two")["name"] == "Plant Two"
    policy = sandbox.ok("POST", f"{V3}/plant-two:getIamPolicy", {})
    assert policy["bindings"] == [{"role": "roles/owner", "members": ["user:owner@example.com"]}]
    assert sandbox.ok("GET", "cloudbilling/v1/projects/plant-two/billingInfo")["billingEnabled"] is False
    on = sandbox.ok("GET", "serviceusage/v1/projects/plant-two/services?filter=state:ENABLED&pageSize=200")
    assert "logging.googleapis.com" in {one["config"]["name"] for one in on["services"]}


def test_create_v1_and_the_two_metadata(sandbox: Sandbox) -> None:
    begun = sandbox.ok(
        "POST", V1, {"projectId": "plant-two", "name": "A name", "parent": {"type": "folder", "id": "5"}}
    )
    assert list(begun) == ["name"]
    done = sandbox.ok("GET", f"cloudresourcemanager/v1/{begun['name']}")
    assert done["metadata"] == {
        "@type": "type.googleapis.com/google.cloudresourcemanager.v1.ProjectCreationStatus",
        "gettable": True,
        "ready": True,
    }
    assert done["response"]["parent"] == {"type": "folder", "id": "5"}
    assert sandbox.ok("GET", f"{V3}/plant-two")["parent"] == "folders/5"


def test_an_id_is_taken_while_it_is_made_and_while_it_is_deleted(sandbox: Sandbox) -> None:
    sandbox.reset(speed=1)
    body = {"projectId": "plant-two"}
    assert sandbox.post(V3, body).status_code == 200
    assert sandbox.get(f"{V3}/plant-two").status_code == 403
    again = sandbox.post(V3, body)
    assert (again.status_code, again.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
    sandbox.reset()
    sandbox.ok("DELETE", f"{V1}/{PROJECT}")
    assert sandbox.ok("GET", f"{V1}/{PROJECT}")["lifecycleState"] == "DELETE_REQUESTED"
    assert sandbox.post(V3, {"projectId": PROJECT}).status_code == 409
    refused = sandbox.get(f"secretmanager/v1/projects/{PROJECT}/secrets")
    assert refused.json()["error"]["details"][0]["reason"] == "CONSUMER_SUSPENDED"
    assert sandbox.call("DELETE", f"{V1}/{PROJECT}").status_code == 400
    sandbox.ok("POST", f"{V3}/{PROJECT}:undelete", {})
    assert sandbox.ok("GET", f"{V3}/{PROJECT}")["state"] == "ACTIVE"


def test_a_create_that_fails_frees_the_id(sandbox: Sandbox) -> None:
    failing = {"lro_error": {"code": 8, "message": "exceeded your allotted project quota"}}
    sandbox.faults({"match": "cloudresourcemanager.projects.create", "when": "on_poll", "do": failing})
    begun = sandbox.ok("POST", V3, {"projectId": "plant-two"})
    assert sandbox.ok("GET", f"cloudresourcemanager/v3/{begun['name']}")["error"]["code"] == 8
    assert sandbox.post(V3, {"projectId": "plant-two"}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"projectId": "ab"},
        {"projectId": "Plant-Two"},
        {"projectId": "plant-two-"},
        {"projectId": "plant-two", "displayName": "x"},
        {"projectId": "plant-two", "labels": {"A": "b"}},
        {"projectId": "plant-two", "colour": "red"},
    ],
)
def test_what_create_refuses(sandbox: Sandbox, body: dict[str, Any]) -> None:
    assert sandbox.post(V3, body).status_code == 400


def test_patch_takes_the_masked_fields(sandbox: Sandbox) -> None:
    body = {"displayName": "Other name", "labels": {"a": "b"}}
    sandbox.ok("PATCH", f"{V3}/{PROJECT}?updateMask=labels", body)
    found = sandbox.ok("GET", f"{V3}/{PROJECT}")
    assert found["labels"] == {"a": "b"}
    assert "displayName" not in found


def test_lists(sandbox: Sandbox) -> None:
    sandbox.ok("POST", V3, {"projectId": "plant-two", "labels": {"env": "prod"}})
    everything = sandbox.ok("GET", V1)["projects"]
    assert [one["projectId"] for one in everything] == [PROJECT, "plant-two"]
    by_label = sandbox.ok("GET", f"{V1}?filter=lifecycleState:ACTIVE labels.env:prod")["projects"]
    assert [one["projectId"] for one in by_label] == ["plant-two"]
    assert sandbox.ok("GET", f"{V3}:search?query=id:plant-t*")["projects"][0]["projectId"] == PROJECT
    assert sandbox.ok("GET", f"{V3}:search?query=id:nothing") == {}


def test_a_project_that_is_not_there_is_denied_in_v3s_words(sandbox: Sandbox) -> None:
    answer = sandbox.get(f"{V3}/nobody-here")
    assert answer.status_code == 403
    assert "(or it may not exist)" in answer.json()["error"]["message"]
