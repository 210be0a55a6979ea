"""Secret Manager through both of Google's clients: discovery, and the generated one over REST with enum numbers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import secretmanager_v1
from googleapiclient.errors import HttpError

from plantctl.sandbox.crc32c import crc32c
from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

PARENT = f"projects/{PROJECT}"
SECRET = f"{PARENT}/secrets/DATABASE_PASSWORD"


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[secretmanager_v1.SecretManagerServiceClient]:
    """The generated client."""
    options = ClientOptions(api_endpoint=f"{sandbox.rest}/secretmanager")
    client = secretmanager_v1.SecretManagerServiceClient(
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        transport="rest",
        client_options=options,
    )
    with client:
        yield client


@pytest.fixture
def secrets(sandbox: Sandbox) -> Any:
    """The collection of the discovery client, with one secret."""
    secrets = sandbox.client("secretmanager", "v1").projects().secrets()
    body = {"replication": {"automatic": {}}, "labels": {"managed-by": "plantctl"}}
    secrets.create(parent=PARENT, secretId="DATABASE_PASSWORD", body=body).execute()
    return secrets


def add(secrets: Any, value: bytes = b"s3cret", **payload: Any) -> dict[str, Any]:
    """Add a version."""
    body = {"payload": {"data": base64.b64encode(value).decode(), **payload}}
    return dict(secrets.addVersion(parent=SECRET, body=body).execute())


def code(request: Any) -> int:
    """Status of a request that has to fail."""
    with pytest.raises(HttpError) as caught:
        request.execute()
    return int(caught.value.status_code)


def test_names_carry_the_project_number(secrets: Any) -> None:
    live = secrets.get(name=SECRET).execute()
    assert live["name"] == f"projects/{NUMBER}/secrets/DATABASE_PASSWORD"
    assert secrets.get(name=live["name"]).execute() == live


def test_a_taken_id_a_wrong_id_and_no_replication(secrets: Any) -> None:
    automatic: dict[str, Any] = {"replication": {"automatic": {}}}
    assert code(secrets.create(parent=PARENT, secretId="DATABASE_PASSWORD", body=automatic)) == 409
    assert code(secrets.create(parent=PARENT, secretId="not.this", body=automatic)) == 400
    assert code(secrets.create(parent=PARENT, secretId="OTHER", body={})) == 400
    assert code(secrets.get(name=f"{PARENT}/secrets/NOWHERE")) == 404


def test_the_generated_client_sees_states_as_its_own_enum(
    client: secretmanager_v1.SecretManagerServiceClient, secrets: Any
) -> None:
    payload = secretmanager_v1.SecretPayload(data=b"s3cret", data_crc32c=crc32c(b"s3cret"))
    version = client.add_secret_version(request={"parent": SECRET, "payload": payload})
    assert version.state is secretmanager_v1.SecretVersion.State.ENABLED
    assert version.client_specified_payload_checksum
    read = client.access_secret_version(name=f"{SECRET}/versions/latest")
    assert (read.payload.data, read.payload.data_crc32c) == (b"s3cret", crc32c(b"s3cret"))
    disabled = client.disable_secret_version(name=version.name)
    assert disabled.state is secretmanager_v1.SecretVersion.State.DISABLED
    with pytest.raises(exceptions.BadRequest, match="is in DISABLED state"):
        client.access_secret_version(name=version.name)
    assert [v.name for v in client.list_secret_versions(parent=SECRET)] == [version.name]


def test_latest_is_the_newest_also_when_it_is_disabled(secrets: Any) -> None:
    # hazards K02: `latest` does not fall back
    add(secrets, b"one")
    add(secrets, b"two")
    versions = secrets.versions()
    versions.disable(name=f"{SECRET}/versions/2", body={}).execute()
    assert code(versions.access(name=f"{SECRET}/versions/latest")) == 400
    first = versions.access(name=f"{SECRET}/versions/1").execute()
    assert base64.b64decode(first["payload"]["data"]) == b"one"


def test_a_wrong_checksum_an_empty_and_a_large_payload_are_refused(secrets: Any) -> None:
    payloads: list[dict[str, str]] = [
        {"data": base64.b64encode(b"x").decode(), "dataCrc32c": "1"},
        {},
        {"data": base64.b64encode(b"x" * (64 * 1024 + 1)).decode()},
    ]
    for payload in payloads:
        assert code(secrets.addVersion(parent=SECRET, body={"payload": payload})) == 400


def test_destroyed_is_final(secrets: Any) -> None:
    add(secrets)
    versions = secrets.versions()
    gone = versions.destroy(name=f"{SECRET}/versions/1", body={}).execute()
    assert gone["state"] == "DESTROYED"
    assert gone["destroyTime"]
    assert code(versions.enable(name=f"{SECRET}/versions/1", body={})) == 400  # hazards K03


def test_a_patch_keeps_to_its_mask_its_etag_and_what_is_immutable(secrets: Any) -> None:
    live = secrets.get(name=SECRET).execute()
    body = {"labels": {"a": "b"}, "annotations": {"not": "named"}, "etag": live["etag"]}
    changed = secrets.patch(name=SECRET, updateMask="labels", body=body).execute()
    assert changed["labels"] == {"a": "b"}
    assert "annotations" not in changed
    assert code(secrets.patch(name=SECRET, updateMask="labels", body=body)) == 400  # hazards K04: stale etag
    assert code(secrets.patch(name=SECRET, updateMask="replication", body={})) == 400


def test_a_secret_made_anew_begins_at_version_one(secrets: Any) -> None:
    add(secrets)
    add(secrets)
    secrets.delete(name=SECRET).execute()
    secrets.create(parent=PARENT, secretId="DATABASE_PASSWORD", body={"replication": {"automatic": {}}}).execute()
    assert add(secrets)["name"].endswith("/versions/1")  # hazards K07


def test_an_account_reads_only_what_its_role_allows(sandbox: Sandbox, secrets: Any) -> None:
    add(secrets)
    email = f"plant-backend-sa@{PROJECT}.iam.gserviceaccount.com"
    sandbox.ok("POST", f"iam/v1/{PARENT}/serviceAccounts", {"accountId": "plant-backend-sa"})
    token, _ = sandbox.app.world.access.mint(email, "access")
    path = f"secretmanager/v1/{SECRET}/versions/latest:access"
    headers = {"Authorization": f"Bearer {token}"}
    refused = sandbox.get(path, headers=headers)
    assert (refused.status_code, refused.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    binding = {"role": "roles/secretmanager.secretAccessor", "members": [f"serviceAccount:{email}"]}
    secrets.setIamPolicy(resource=SECRET, body={"policy": {"bindings": [binding]}}).execute()
    assert sandbox.get(path, headers=headers).status_code == 200
    stale = {"policy": {"bindings": [], "etag": "BwXXXXXXXXX="}}
    assert code(secrets.setIamPolicy(resource=SECRET, body=stale)) == 409  # hazards I04


def test_lists_are_filtered_and_paged(secrets: Any) -> None:
    for name in ("API_KEYS", "JWT_SECRET_KEY"):
        secrets.create(parent=PARENT, secretId=name, body={"replication": {"automatic": {}}}).execute()
    first = secrets.list(parent=PARENT, pageSize=2).execute()
    second = secrets.list_next(secrets.list(parent=PARENT, pageSize=2), first).execute()
    assert (len(first["secrets"]), len(second["secrets"]), first["totalSize"]) == (2, 1, 3)
    found = secrets.list(parent=PARENT, filter="labels.managed-by=plantctl").execute()["secrets"]
    assert [one["name"].rsplit("/", 1)[1] for one in found] == ["DATABASE_PASSWORD"]
