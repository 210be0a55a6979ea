"""The real gcloud, with no endpoint override, through the proxy (sandbox 4, way B)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import PROJECT, Sandbox

pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed here"),
]
Gcloud = Callable[..., Any]


@pytest.fixture
def gcloud(sandbox: Sandbox, tmp_path: Path) -> Gcloud:
    """gcloud with JSON output; raises when it fails."""
    token = tmp_path / "token"
    token.write_text("any text")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        "CLOUDSDK_CORE_PROJECT": PROJECT,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": sandbox.app.endpoints["proxy"].rsplit(":", 1)[-1],
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": sandbox.app.endpoints["ca"],
    }

    def run(*words: str) -> Any:
        command = ["gcloud", *words, "--format=json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def test_projects_and_services(gcloud: Gcloud, sandbox: Sandbox) -> None:
    sandbox.reset(services=["logging"])
    assert gcloud("projects", "describe", PROJECT)["lifecycleState"] == "ACTIVE"
    gcloud("services", "enable", "run.googleapis.com", "redis.googleapis.com")
    listed = {one["config"]["name"] for one in gcloud("services", "list", "--enabled")}
    assert listed == {"logging.googleapis.com", "run.googleapis.com", "redis.googleapis.com"}
    assert all(one["status"] < 400 for one in sandbox.wire())
    assert "gcloud" in sandbox.wire()[0]["user_agent"]


def test_policies(gcloud: Gcloud, sandbox: Sandbox) -> None:
    gcloud("iam", "service-accounts", "create", "plant-backend-sa")
    member = f"serviceAccount:plant-backend-sa@{PROJECT}.iam.gserviceaccount.com"
    policy = gcloud("projects", "add-iam-policy-binding", PROJECT, f"--member={member}", "--role=roles/cloudsql.client")
    assert policy["bindings"] == [{"role": "roles/cloudsql.client", "members": [member]}]
    assert [one["method_id"].rsplit(".", 1)[-1] for one in sandbox.wire()][-2:] == ["getIamPolicy", "setIamPolicy"]


def test_objects_go_up_and_down(gcloud: Gcloud, tmp_path: Path) -> None:
    source, target = tmp_path / "up.bin", tmp_path / "down.bin"
    source.write_bytes(bytes(range(256)) * 40)
    gcloud("storage", "buckets", "create", "gs://plant-gcloud", "--location=us-central1")
    gcloud("storage", "cp", str(source), "gs://plant-gcloud/a/b.bin")
    gcloud("storage", "cp", "gs://plant-gcloud/a/b.bin", str(target))
    assert target.read_bytes() == source.read_bytes()
