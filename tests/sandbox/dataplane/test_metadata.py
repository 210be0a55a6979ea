"""The metadata server, by hand and through Google's own client."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from plantctl.sandbox.dataplane.metadata import Identity, MetadataServer

EMAIL = "plant-backend-sa@waooaw-prod.iam.gserviceaccount.com"
ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"
FLAVOR = {"Metadata-Flavor": "Google"}


@pytest.fixture
def server() -> Iterator[MetadataServer]:
    def mint(account: str, kind: str, audience: str) -> tuple[str, int]:
        if audience == "broken":
            raise LookupError("the account is gone")
        return f"{kind} of {account} for {audience}", 3599

    server = MetadataServer(
        Identity(service_account=EMAIL, project_id="waooaw-prod", project_number="42", region="us-central1"), mint
    )
    yield server
    server.close()


def _get(server: MetadataServer, path: str, headers: dict[str, str]) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(server.address, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert answer.headers["Metadata-Flavor"] == "Google"
        return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    finally:
        connection.close()


def test_header_is_asked_for(server: MetadataServer) -> None:
    status, body, _ = _get(server, f"{ACCOUNT}/token", {})
    assert status == 403
    assert "access of" not in body
    assert _get(server, f"{ACCOUNT}/token", {"Metadata-Flavor": "google"})[0] == 403
    assert _get(server, f"{ACCOUNT}/token", FLAVOR | {"X-Forwarded-For": "1.2.3.4"})[0] == 403
    assert _get(server, f"{ACCOUNT}/token", FLAVOR)[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("instance/service-accounts/default/email", EMAIL),
        (f"instance/service-accounts/{EMAIL}/email", EMAIL),
        ("project/project-id", "waooaw-prod"),
        ("project/numeric-project-id", "42"),
        ("instance/region", "projects/42/regions/us-central1"),
        ("universe/universe-domain", "googleapis.com"),
        ("instance/service-accounts/default/identity?audience=https://x", f"identity of {EMAIL} for https://x"),
    ],
)
def test_values(server: MetadataServer, path: str, body: str) -> None:
    assert _get(server, f"/computeMetadata/v1/{path}", FLAVOR)[:2] == (200, body)


def test_token_shape(server: MetadataServer) -> None:
    status, body, content_type = _get(server, f"{ACCOUNT}/token?scopes=x", FLAVOR)
    assert (status, content_type) == (200, "application/json")
    assert json.loads(body) == {
        "access_token": f"access of {EMAIL} for ",
        "expires_in": 3599,
        "token_type": "Bearer",
    }


def test_errors(server: MetadataServer) -> None:
    assert _get(server, f"{ACCOUNT}/identity", FLAVOR)[:2] == (400, "non-empty audience parameter required")
    assert _get(server, f"{ACCOUNT}/identity?audience=broken", FLAVOR)[:2] == (503, "LookupError\n")
    for path in (f"{ACCOUNT}/key", "/computeMetadata/v1/instance/service-accounts/other/token", "/other"):
        assert _get(server, path, FLAVOR)[0] == 404


def test_googles_own_client(server: MetadataServer) -> None:
    """As a process of the run data plane has it: nothing but the two variables."""
    program = (
        "import google.auth, google.auth.transport.requests as t\n"
        "credentials, project = google.auth.default()\n"
        "credentials.refresh(t.Request())\n"
        "print(project, credentials.service_account_email, credentials.token, sep='|')\n"
    )
    env = {"GCE_METADATA_HOST": server.address, "GCE_METADATA_IP": server.address, "HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"waooaw-prod|{EMAIL}|access of {EMAIL} for \n", done.stderr


def test_nothing_listens_after_close(server: MetadataServer) -> None:
    server.close()
    with pytest.raises(ConnectionRefusedError):
        _get(server, f"{ACCOUNT}/email", FLAVOR)
