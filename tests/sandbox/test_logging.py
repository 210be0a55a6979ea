"""Cloud Logging entries through Google's client: filters, order, pages, structured lines, who may write."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from plantctl.sandbox.services.logging import from_line
from tests.sandbox.conftest import PROJECT, Sandbox

LOG = f"projects/{PROJECT}/logs/run.googleapis.com%2Fstdout"


@pytest.fixture
def entries(sandbox: Sandbox) -> Any:
    """The collection of Google's client, with three entries of two executions."""
    entries = sandbox.client("logging", "v2").entries()

    def entry(execution: str, severity: str, **payload: Any) -> dict[str, Any]:
        labels = {"run.googleapis.com/execution_name": execution}
        resource = {"type": "cloud_run_job", "labels": {"job_name": "plant-ops"}}
        return {"logName": LOG, "labels": labels, "severity": severity, "resource": resource, **payload}

    body = {
        "entries": [
            entry("ops-1", "INFO", textPayload="first line"),
            entry("ops-1", "ERROR", jsonPayload={"message": "it broke", "code": 7}),
            entry("ops-2", "DEFAULT", textPayload="another"),
        ]
    }
    entries.write(body=body).execute()
    return entries


def found(entries: Any, wanted: str, **more: Any) -> list[str]:
    """What a filter finds, as words."""
    body = {"resourceNames": [f"projects/{PROJECT}"], "filter": wanted, **more}
    answer = entries.list(body=body).execute()
    return [e.get("textPayload") or e["jsonPayload"]["message"] for e in answer.get("entries", [])]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ('labels."run.googleapis.com/execution_name"="ops-1"', ["first line", "it broke"]),
        ('resource.type="cloud_run_job" AND severity>=ERROR', ["it broke"]),
        ('resource.labels.job_name="plant-ops" severity!=ERROR', ["first line", "another"]),
        ("jsonPayload.code=7", ["it broke"]),
        ("textPayload:LINE", ["first line"]),
        ('textPayload=~"^an"', ["another"]),
        ('NOT labels."run.googleapis.com/execution_name"="ops-1"', ["another"]),
        ('timestamp>="2020-01-01T00:00:00Z" timestamp<"2021-01-01T00:00:00Z"', []),
        (f'logName="{LOG}"\nseverity=INFO', ["first line"]),
    ],
)
def test_filters(entries: Any, wanted: str, words: list[str]) -> None:
    assert found(entries, wanted) == words


def test_what_is_not_understood_is_refused(entries: Any) -> None:
    with pytest.raises(HttpError) as caught:
        found(entries, "severity=ERROR OR severity=INFO")
    assert caught.value.status_code == 400


def test_order_and_pages(entries: Any) -> None:
    assert found(entries, "", orderBy="timestamp desc")[0] == "another"
    body = {"resourceNames": [f"projects/{PROJECT}"], "pageSize": 2}
    first = entries.list(body=body).execute()
    second = entries.list(body={**body, "pageToken": first["nextPageToken"]}).execute()
    assert (len(first["entries"]), len(second["entries"])) == (2, 1)
    assert "nextPageToken" not in second


def test_a_line_of_json_is_structured() -> None:
    # Logging documentation, structured logging: special fields move up, the rest is the payload
    line = '{"severity":"warning","message":"m","time":"2026-01-01T00:00:00Z","logging.googleapis.com/trace":"t","x":1}'
    assert from_line(line) == {
        "severity": "WARNING",
        "timestamp": "2026-01-01T00:00:00Z",
        "trace": "t",
        "jsonPayload": {"message": "m", "x": 1},
    }
    assert from_line("plain") == {"textPayload": "plain"}
    assert from_line("[1]") == {"textPayload": "[1]"}


def test_an_account_writes_only_with_the_role(sandbox: Sandbox, entries: Any) -> None:
    email = f"plant-backend-sa@{PROJECT}.iam.gserviceaccount.com"
    sandbox.ok("POST", f"iam/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "plant-backend-sa"})
    token, _ = sandbox.app.world.access.mint(email, "access")
    headers = {"Authorization": f"Bearer {token}"}
    body = {"entries": [{"logName": LOG, "textPayload": "from the job"}]}
    assert sandbox.post("logging/v2/entries:write", body, headers=headers).status_code == 403
    policy = {"policy": {"bindings": [{"role": "roles/logging.logWriter", "members": [f"serviceAccount:{email}"]}]}}
    sandbox.ok("POST", f"cloudresourcemanager/v1/projects/{PROJECT}:setIamPolicy", policy)
    assert sandbox.post("logging/v2/entries:write", body, headers=headers).status_code == 200
    listing = {"resourceNames": [f"projects/{PROJECT}"]}
    assert sandbox.post("logging/v2/entries:list", listing, headers=headers).status_code == 403
