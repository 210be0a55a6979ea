"""Builds and jobs with the real data plane: what was uploaded runs, with its environment, secrets and identity."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from plantctl.sandbox.app import App
from tests.sandbox import plane_kit as kit
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.dataplane.tarballs import tar_gz

pytestmark = pytest.mark.dataplane


@pytest.fixture(scope="module")
def box(plane_app: App) -> Iterator[Sandbox]:
    """One world with one image for all tests of this file."""
    box = Sandbox(plane_app)
    box.reset()
    yield box
    box.close()


@pytest.fixture(scope="module")
def image(box: Sandbox) -> str:
    """The toy image by digest."""
    return kit.prepare(box)


@pytest.fixture(scope="module")
def jobs(box: Sandbox, image: str) -> str:
    """A job with one environment variable and one secret that its account may read; and one that may not."""
    kit.secret(box, "DATABASE_PASSWORD", "s3cret")
    kit.secret(box, "API_KEYS", "hidden")
    secrets = f"secretmanager/v1/projects/{PROJECT}/secrets"
    kit.grant(box, f"{secrets}/DATABASE_PASSWORD", "roles/secretmanager.secretAccessor", f"serviceAccount:{kit.RUNNER}")

    def reference(name: str) -> dict[str, Any]:
        return {"name": name, "valueSource": {"secretKeyRef": {"secret": name, "version": "latest"}}}

    greeting = {"name": "GREETING", "value": "good day"}
    kit.make_job(box, "toy", image, env=[greeting, reference("DATABASE_PASSWORD")])
    kit.make_job(box, "toy-barred", image, env=[reference("API_KEYS")])
    return image


def test_a_build_makes_a_digest_that_the_registry_shows(box: Sandbox, image: str) -> None:
    digest = image.rsplit("@", 1)[1]
    parent = f"artifactregistry/v1/{kit.LOCATION}/repositories/plant"
    (found,) = box.ok("GET", f"{parent}/dockerImages")["dockerImages"]
    assert (found["uri"], found["tags"]) == (image, ["1"])
    tag = box.ok("GET", f"{parent}/packages/toy/tags/1")
    assert tag["version"].endswith(digest)
    (build,) = box.ok("GET", f"cloudbuild/v1/{kit.LOCATION}/builds")["builds"]
    assert build["status"] == "SUCCESS"
    lines = box.ok(
        "POST",
        "logging/v2/entries:list",
        {"resourceNames": [f"projects/{PROJECT}"], "filter": f'resource.labels.build_id="{build["id"]}"'},
    )["entries"]
    assert any("Successfully built" in line["textPayload"] for line in lines)


def test_the_same_source_gives_the_same_digest_under_another_tag(box: Sandbox, image: str) -> None:
    again = kit.build(box, kit.upload(box, tar_gz({"Dockerfile": kit.DOCKERFILE, "toy.py": kit.TOY})), tag="2")
    assert again["response"]["results"]["images"][0]["digest"] == image.rsplit("@", 1)[1]


def test_a_wrong_dockerfile_fails_the_build_and_its_log_says_why(box: Sandbox, image: str) -> None:
    done = kit.build(box, kit.upload(box, tar_gz({"Dockerfile": "FROM x\nINSTALL y\n"}), "bad.tgz"), tag="3")
    assert done["error"]["message"] == "Build failed; check build logs for details"
    build = box.ok("GET", f"cloudbuild/v1/{kit.LOCATION}/builds?filter=status%3D%22FAILURE%22")["builds"][0]
    assert build["failureInfo"]["type"] == "USER_BUILD_STEP"
    assert "unknown instruction: INSTALL" in build["failureInfo"]["detail"]


def test_a_builder_without_rights_cannot_read_the_source_or_push(box: Sandbox, image: str) -> None:
    poor = f"poor-builder@{PROJECT}.iam.gserviceaccount.com"
    kit.account(box, poor)
    uploaded = kit.upload(box, tar_gz({"Dockerfile": kit.DOCKERFILE, "toy.py": kit.TOY}))
    own = f"projects/{PROJECT}/serviceAccounts/{poor}"
    kit.build(box, uploaded, tag="4", serviceAccount=own)
    project = f"cloudresourcemanager/v1/projects/{PROJECT}"
    kit.grant(box, project, "roles/storage.objectViewer", f"serviceAccount:{poor}")
    kit.build(box, uploaded, tag="4", serviceAccount=own)
    failed = [b for b in box.ok("GET", f"cloudbuild/v1/{kit.LOCATION}/builds")["builds"] if b["serviceAccount"] == own]
    assert [b["failureInfo"]["type"] for b in failed] == ["PUSH_NOT_AUTHORIZED", "FETCH_SOURCE_FAILED"]


def test_immutable_tags_refuse_a_second_push(box: Sandbox, image: str) -> None:
    repository = f"artifactregistry/v1/{kit.LOCATION}/repositories/plant"
    box.ok("PATCH", f"{repository}?updateMask=dockerConfig", {"dockerConfig": {"immutableTags": True}})
    try:
        other = tar_gz({"Dockerfile": kit.DOCKERFILE, "toy.py": "print(1)"})
        done = kit.build(box, kit.upload(box, other, "other.tgz"))
        build = done["metadata"]["build"]
        assert build["failureInfo"]["type"] == "PUSH_FAILED"
        assert "tag immutability" in build["failureInfo"]["detail"]
    finally:
        box.ok("PATCH", f"{repository}?updateMask=dockerConfig", {"dockerConfig": {"immutableTags": False}})


def test_an_execution_runs_with_environment_and_secret_and_its_lines_are_logged(box: Sandbox, jobs: str) -> None:
    done = kit.run(box, "toy")
    execution = done["response"]
    assert (execution["succeededCount"], execution["taskCount"]) == (1, 1)
    assert execution["conditions"][0]["state"] == "CONDITION_SUCCEEDED"
    found = {entry.get("textPayload", "json"): entry for entry in kit.entries(box, execution["name"])}
    assert found["plain line"]["logName"].endswith("run.googleapis.com%2Fstderr")
    line = found["json"]
    assert line["severity"] == "WARNING"
    assert line["jsonPayload"] == {
        "message": "hi",
        "GREETING": "good day",
        "DATABASE_PASSWORD": "s3cret",
        "CLOUD_RUN_JOB": "toy",
        "CLOUD_RUN_TASK_ATTEMPT": "0",
    }
    job = box.ok("GET", f"run/v2/{kit.LOCATION}/jobs/toy")
    assert job["latestCreatedExecution"]["completionStatus"] == "EXECUTION_SUCCEEDED"


def test_overrides_hold_for_one_execution_only(box: Sandbox, jobs: str) -> None:
    done = kit.run(box, "toy", "hello", env=[{"name": "GREETING", "value": "changed"}])
    (line,) = [e for e in kit.entries(box, done["response"]["name"]) if "jsonPayload" in e]
    assert line["jsonPayload"]["GREETING"] == "changed"
    job = box.ok("GET", f"run/v2/{kit.LOCATION}/jobs/toy")
    assert job["template"]["template"]["containers"][0]["env"][0]["value"] == "good day"


def test_a_failing_task_is_tried_again_as_often_as_the_job_says(box: Sandbox, jobs: str) -> None:
    kit.make_job(box, "toy-retry", jobs, args=["fail"], maxRetries=2)
    done = kit.run(box, "toy-retry")
    assert "failed with exit code: 3" in done["error"]["message"]
    execution = done["metadata"]
    assert (execution["failedCount"], execution["retriedCount"]) == (1, 2)
    assert [e["textPayload"] for e in kit.entries(box, execution["name"])] == ["attempt 0", "attempt 1", "attempt 2"]


def test_without_the_accessor_role_the_execution_fails_in_cloud_runs_words(box: Sandbox, jobs: str) -> None:
    done = kit.run(box, "toy-barred")
    words = f"Permission denied on secret: projects/{PROJECT}/secrets/API_KEYS/versions/latest for Revision service"
    assert done["error"]["message"].startswith(words)
    assert kit.RUNNER in done["error"]["message"]
    execution = box.ok("GET", f"run/v2/{done['metadata']['name']}")
    assert execution["failedCount"] == 1
    assert execution["conditions"][0]["state"] == "CONDITION_FAILED"


def test_a_secret_volume_is_a_file(box: Sandbox, jobs: str) -> None:
    items = [{"path": "password", "version": "1"}]
    volumes = [{"name": "v", "secret": {"secret": "DATABASE_PASSWORD", "items": items}}]
    mounts = [{"name": "v", "mountPath": "/secrets"}]
    # the program finds it by a variable: there is no file system of its own, only names that are put in place
    env = [{"name": "PASSWORD_FILE", "value": "/secrets/password"}]
    kit.make_job(box, "toy-file", jobs, args=["file"], env=env, volumes=volumes, volumeMounts=mounts)
    done = kit.run(box, "toy-file")
    assert "error" not in done, done
    (line,) = kit.entries(box, done["response"]["name"])
    assert line["jsonPayload"] == {"content": "s3cret"}


def test_a_job_acts_as_its_own_account(box: Sandbox, jobs: str) -> None:
    done = kit.run(box, "toy", "token")
    (line,) = [e for e in kit.entries(box, done["response"]["name"]) if "jsonPayload" in e]
    headers = {"Authorization": f"Bearer {line['jsonPayload']['token']}"}
    secrets = f"secretmanager/v1/projects/{PROJECT}/secrets"
    allowed = box.get(f"{secrets}/DATABASE_PASSWORD/versions/1:access", headers=headers)
    barred = box.get(f"{secrets}/API_KEYS/versions/1:access", headers=headers)
    assert (allowed.status_code, barred.status_code) == (200, 403)
    assert barred.json()["error"]["status"] == "PERMISSION_DENIED"


def test_cancel_ends_the_process(box: Sandbox, jobs: str) -> None:
    first = kit.start(box, "toy", "sleep")
    name = first["metadata"]["name"]
    end = time.monotonic() + 20
    while not kit.entries(box, name):
        assert time.monotonic() < end
        time.sleep(0.05)
    kit.wait(box, "run", box.ok("POST", f"run/v2/{name}:cancel", {}))
    execution = box.ok("GET", f"run/v2/{name}")
    assert execution["cancelledCount"] == 1
    assert execution["conditions"][0]["executionReason"] == "CANCELLED"
    assert kit.wait(box, "run", first)["error"]["code"] == 1
    again = box.post(f"run/v2/{name}:cancel", {})
    assert again.status_code == 400


def test_an_image_that_is_not_there_fails_the_execution(box: Sandbox, jobs: str) -> None:
    kit.make_job(box, "toy-lost", f"{kit.IMAGE}@sha256:{'0' * 64}")
    assert "not found" in kit.run(box, "toy-lost")["error"]["message"]


def test_the_scan_of_a_pushed_image_ends(box: Sandbox, image: str) -> None:
    wanted = f'kind="DISCOVERY" AND resourceUrl="https://{image}"'
    path = f"containeranalysis/v1/projects/{PROJECT}/occurrences"
    (scan,) = box.session.get(f"{box.rest}/{path}", params={"filter": wanted}, timeout=10).json()["occurrences"]
    assert scan["discovery"]["analysisStatus"] == "FINISHED_SUCCESS"
    assert box.ok("GET", f"{path}:vulnerabilitySummary") == {}
    unscanned = box.session.get(f"{box.rest}/{path}", params={"filter": 'resourceUrl="https://x"'}, timeout=10).json()
    assert unscanned == {}
