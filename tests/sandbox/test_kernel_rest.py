"""The kernel over plain HTTP: routing, gates, answers' shapes, uploads, Google's own clients."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import google.api_core.exceptions
import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2, secretmanager_v1

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox


def options(sandbox: Sandbox, api: str) -> dict[str, Any]:
    """Arguments of a generated REST client for this sandbox."""
    return {
        "credentials": AnonymousCredentials(),  # type: ignore[no-untyped-call]
        "transport": "rest",
        "client_options": ClientOptions(api_endpoint=f"{sandbox.rest}/{api}"),
    }


def test_project_is_there_by_id_and_by_number_in_both_versions(sandbox: Sandbox) -> None:
    v1 = sandbox.ok("GET", f"cloudresourcemanager/v1/projects/{PROJECT}")
    v3 = sandbox.ok("GET", f"cloudresourcemanager/v3/projects/{NUMBER}")
    assert v1["projectNumber"] == NUMBER
    assert v3["name"] == f"projects/{NUMBER}"
    assert v3["state"] == v1["lifecycleState"] == "ACTIVE"


def test_googleapiclient_pages_through_enabled_services(sandbox: Sandbox) -> None:
    client = sandbox.client("serviceusage", "v1")
    request = client.services().list(parent=f"projects/{PROJECT}", filter="state:ENABLED", pageSize=100)
    names: list[str] = []
    while request is not None:
        answer = request.execute()
        names += [one["config"]["name"] for one in answer["services"]]
        request = client.services().list_next(request, answer)
    assert len(set(names)) == len(names) > 200
    assert {"run.googleapis.com", "sqladmin.googleapis.com"} <= set(names)


def test_a_method_without_handler_answers_404_unimplemented_and_names_it(sandbox: Sandbox) -> None:
    answer = sandbox.get(f"dns/dns/v1/projects/{PROJECT}/managedZones/z/dnsKeys")
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == "UNIMPLEMENTED"
    assert "dns.dnsKeys.list" in answer.json()["error"]["message"]


def test_a_path_that_google_does_not_have_names_the_path(sandbox: Sandbox) -> None:
    answer = sandbox.get("sqladmin/v1/nothing/here")
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == "UNIMPLEMENTED"
    assert "GET /sqladmin/v1/nothing/here" in answer.json()["error"]["message"]


def test_an_api_that_is_off_answers_service_disabled_in_googles_form(sandbox: Sandbox) -> None:
    sandbox.reset(services=["run"])
    answer = sandbox.get(f"secretmanager/v1/projects/{PROJECT}/secrets")
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert error["status"] == "PERMISSION_DENIED"
    info = error["details"][0]
    assert info["reason"] == "SERVICE_DISABLED"
    assert info["domain"] == "googleapis.com"
    assert info["metadata"]["service"] == "secretmanager.googleapis.com"
    assert info["metadata"]["consumer"] == f"projects/{NUMBER}"
    assert f"has not been used in project {NUMBER} before or it is disabled" in error["message"]
    assert [one["@type"].rsplit(".", 1)[-1] for one in error["details"]] == ["ErrorInfo", "LocalizedMessage", "Help"]


def test_the_older_shape_names_the_reason_too(sandbox: Sandbox) -> None:
    sandbox.reset(services=["run"])
    error = sandbox.get(f"compute/compute/v1/projects/{PROJECT}/global/networks").json()["error"]
    assert error["errors"][0]["reason"] == "accessNotConfigured"


def test_a_project_that_does_not_exist_is_denied(sandbox: Sandbox) -> None:
    for path in ("secretmanager/v1/projects/nobody-here/secrets", "cloudresourcemanager/v1/projects/nobody-here"):
        answer = sandbox.get(path)
        assert answer.status_code == 403
        assert answer.json()["error"]["message"] == "The caller does not have permission"


def test_unknown_query_parameters_and_broken_json_are_refused(sandbox: Sandbox) -> None:
    answer = sandbox.get(f"secretmanager/v1/projects/{PROJECT}/secrets?colour=red")
    assert answer.status_code == 400
    assert "Cannot bind query parameter" in answer.json()["error"]["message"]
    broken = sandbox.session.post(f"{sandbox.rest}/secretmanager/v1/projects/{PROJECT}/secrets?secretId=s", data="{")
    assert broken.status_code == 400
    assert "Invalid JSON payload" in broken.json()["error"]["message"]


def test_partial_answers(sandbox: Sandbox) -> None:
    assert sandbox.ok("GET", f"cloudresourcemanager/v1/projects/{PROJECT}?fields=projectId,parent/id") == {
        "projectId": PROJECT
    }
    answer = sandbox.ok("GET", f"serviceusage/v1/projects/{PROJECT}/services?fields=services(config/name)&pageSize=1")
    assert list(answer["services"][0]) == ["config"]
    assert sandbox.get(f"cloudresourcemanager/v1/projects/{PROJECT}?fields=a(b").status_code == 400


def test_the_hosts_header_picks_the_api_and_absolute_targets_work(sandbox: Sandbox) -> None:
    port = int(sandbox.rest.rsplit(":", 1)[-1])
    for target, host in (
        (f"/v1/projects/{PROJECT}", "cloudresourcemanager.googleapis.com"),
        (f"http://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}", "cloudresourcemanager.googleapis.com"),
        (f"/storage/v1/b?project={PROJECT}", "www.googleapis.com"),
        (f"/v2/projects/{PROJECT}/locations/us-central1/jobs", "us-central1-run.googleapis.com"),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200"), (target, host, answer)
    assert [entry["transport"] for entry in sandbox.wire()] == ["proxy"] * 4


def test_uploads_multipart_media_gzip_and_resumable(sandbox: Sandbox) -> None:
    sandbox.ok("POST", f"storage/storage/v1/b?project={PROJECT}", {"name": "plant-uploads", "location": "us-central1"})
    up = f"{sandbox.rest}/storage/upload/storage/v1/b/plant-uploads/o"
    post = sandbox.session.post
    assert post(f"{up}?uploadType=media&name=a", data=b"one", headers={"content-type": "text/plain"}).ok
    packed = {"content-type": "text/plain", "content-encoding": "gzip"}
    assert post(f"{up}?uploadType=media&name=g", data=gzip.compress(b"small"), headers=packed).ok
    for quote in ("", '"', "'"):
        parts = b'--xx\r\ncontent-type: application/json\r\n\r\n{"name": "b"}\r\n--xx\r\ncontent-type: x/y\r\n\r\n'
        kind = {"content-type": f"multipart/related; boundary={quote}xx{quote}"}
        done = post(f"{up}?uploadType=multipart", data=parts + b"t\r\nwo\n\r\n--xx--", headers=kind)
        assert done.json()["size"] == "6"
    begun = post(f"{up}?uploadType=resumable&name=c", json={}, headers={"x-upload-content-type": "x/z"})
    place = begun.headers["location"]
    first = sandbox.session.put(place, data=b"abcd", headers={"content-range": "bytes 0-3/*"})
    assert (first.status_code, first.headers["range"]) == (308, "bytes=0-3")
    asked = sandbox.session.put(place, headers={"content-range": "bytes */*"})
    assert (asked.status_code, asked.headers["range"]) == (308, "bytes=0-3")
    gap = sandbox.session.put(place, data=b"z", headers={"content-range": "bytes 9-9/10"})
    assert (gap.status_code, gap.headers["range"]) == (308, "bytes=0-3")
    last = sandbox.session.put(place, data=b"def", headers={"content-range": "bytes 3-5/6"})  # one byte again
    assert last.json()["contentType"] == "x/z"
    read = {
        name: sandbox.get(f"storage/storage/v1/b/plant-uploads/o/{name}?alt=media").content for name in ("a", "b", "c")
    }
    assert read == {"a": b"one", "b": b"t\r\nwo\n", "c": b"abcdef"}
    piece = sandbox.get("storage/storage/v1/b/plant-uploads/o/c?alt=media", headers={"range": "bytes=1-2"})
    assert (piece.status_code, piece.content, piece.headers["content-range"]) == (206, b"bc", "bytes 1-2/6")


def test_the_generated_rest_clients_work_with_enum_numbers(sandbox: Sandbox) -> None:
    client = secretmanager_v1.SecretManagerServiceClient(**options(sandbox, "secretmanager"))
    parent = f"projects/{PROJECT}"
    wanted = secretmanager_v1.Secret(replication={"automatic": {}})
    secret = client.create_secret(parent=parent, secret_id="S", secret=wanted, retry=None, timeout=10)
    version = client.add_secret_version(
        parent=secret.name, payload=secretmanager_v1.SecretPayload(data=b"x"), retry=None, timeout=10
    )
    assert version.state == secretmanager_v1.SecretVersion.State.ENABLED
    assert client.access_secret_version(name=version.name, retry=None, timeout=10).payload.data == b"x"
    with pytest.raises(google.api_core.exceptions.Conflict):
        client.create_secret(parent=parent, secret_id="S", secret=wanted, retry=None, timeout=10)
    jobs = run_v2.JobsClient(**options(sandbox, "run"))
    template = {"template": {"containers": [{"image": "us-docker.pkg.dev/cloudrun/container/job"}]}}
    operation = jobs.create_job(
        parent=f"{parent}/locations/us-central1",
        job=run_v2.Job(template=template, launch_stage=4),
        job_id="j",
        retry=None,
        timeout=10,
    )
    assert operation.result(timeout=20).launch_stage == 4  # type: ignore[no-untyped-call]
    raw = sandbox.ok("GET", f"run/v2/{parent}/locations/us-central1/jobs/j?$alt=json;enum-encoding=int")
    assert raw["launchStage"] == 4
    for transport in (jobs.transport, client.transport):
        transport.close()  # type: ignore[no-untyped-call]


def test_state_holds_what_a_critical_path_needs(sandbox: Sandbox) -> None:
    sandbox.ok("POST", f"serviceusage/v1/projects/{PROJECT}/services/run.googleapis.com:enable", {})
    state = sandbox.ok("GET", "_sandbox/state")
    (operation,) = state["operations"]
    assert operation["method_id"] == "serviceusage.services.enable"
    assert operation["done"]
    assert operation["duration_s"] == 20
    assert operation["started_wall"] > 0
    assert f"cloudresourcemanager/projects/{PROJECT}" in {one["key"] for one in state["resources"]}


def test_reset_makes_a_new_incarnation_and_an_empty_project_has_nothing_on(sandbox: Sandbox) -> None:
    first = sandbox.ok("GET", "_sandbox/status")["incarnation"]
    sandbox.reset(services=[])
    assert sandbox.ok("GET", "_sandbox/status")["incarnation"] != first
    assert sandbox.ok("GET", f"serviceusage/v1/projects/{PROJECT}/services?filter=state:ENABLED") == {}
    assert sandbox.ok("GET", f"cloudbilling/v1/projects/{PROJECT}/billingInfo")["billingEnabled"] is True


def test_the_console_refuses_what_it_does_not_know(sandbox: Sandbox) -> None:
    assert sandbox.get("_sandbox/nothing").status_code == 404
    assert sandbox.call("PUT", "_sandbox/clock", {"speed": -1}).status_code == 400
    assert sandbox.call("PUT", "_sandbox/clock", {"colour": "red"}).status_code == 400
    assert sandbox.post("_sandbox/reset", {"projects": [{"projectId": "NO"}]}).status_code == 400


def test_the_clock_moves_timestamps_and_survives_no_reset(sandbox: Sandbox) -> None:
    before = sandbox.ok("GET", "_sandbox/clock")
    after = sandbox.ok("PUT", "_sandbox/clock", {"advance_s": 86400, "speed": 60})
    assert after["offset_s"] == before["offset_s"] + 86400
    assert after["now"][:10] > before["now"][:10]
    assert after["speed"] == 60
    sandbox.reset()
    assert sandbox.ok("GET", "_sandbox/clock")["offset_s"] == 0


def test_the_console_answers_to_its_own_name_only(sandbox: Sandbox) -> None:
    assert sandbox.get("_sandbox/status", headers={"host": "evil.example.com"}).status_code == 404
    assert sandbox.get("_sandbox/status", headers={"host": "run.googleapis.com"}).status_code == 404


def test_state_shows_no_secret(sandbox: Sandbox) -> None:
    secrets = f"secretmanager/v1/projects/{PROJECT}/secrets"
    sandbox.ok("POST", f"{secrets}?secretId=S", {"replication": {"automatic": {}}})
    sandbox.ok("POST", f"{secrets}/S:addVersion", {"payload": {"data": "c3VycHJpc2U="}})
    text = sandbox.get("_sandbox/state").text
    assert f"secretmanager/projects/{PROJECT}/secrets/S/versions/1" in text
    assert "c3VycHJpc2U" not in text


def test_a_permanent_operation_takes_its_invented_time_at_a_finite_speed(sandbox: Sandbox) -> None:
    sandbox.reset(services=[], speed=100)
    name = sandbox.ok("POST", f"serviceusage/v1/projects/{PROJECT}/services/logging.googleapis.com:enable", {})["name"]
    assert "done" not in sandbox.ok("GET", f"serviceusage/v1/{name}")
    sandbox.ok("PUT", "_sandbox/clock", {"speed": "max"})
    for _ in range(200):
        found = sandbox.ok("GET", f"serviceusage/v1/{name}")
        if found.get("done"):
            break
    assert found["response"]["service"]["state"] == "ENABLED"
    assert json.dumps(found)
