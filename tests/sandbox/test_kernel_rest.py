"""The kernel over plain HTTP: routing, gates, validation, answers' shapes."""

from __future__ import annotations

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox


def test_project_is_there_by_id_and_by_number_in_both_versions(sandbox: Sandbox) -> None:
    v1 = sandbox.ok("GET", f"cloudresourcemanager/v1/projects/{PROJECT}")
    v3 = sandbox.ok("GET", f"cloudresourcemanager/v3/projects/{NUMBER}")
    assert v1["projectNumber"] == NUMBER
    assert v3["name"] == f"projects/{NUMBER}"
    assert v3["state"] == v1["lifecycleState"] == "ACTIVE"


def test_googleapiclient_lists_enabled_services(sandbox: Sandbox) -> None:
    client = sandbox.client("serviceusage", "v1")
    request = client.services().list(parent=f"projects/{PROJECT}", filter="state:ENABLED", pageSize=200)
    names: set[str] = set()
    while request is not None:
        answer = request.execute()
        names |= {one["config"]["name"] for one in answer["services"]}
        request = client.services().list_next(request, answer)
    assert {"run.googleapis.com", "sqladmin.googleapis.com"} <= names
