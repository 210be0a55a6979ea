"""Artifact Registry and its scans through Google's client: repositories, what pushes keep, findings by lock file."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from plantctl.sandbox import errors
from plantctl.sandbox.services import artifactregistry, containeranalysis
from tests.sandbox.conftest import PROJECT, Sandbox

LOCATION = f"projects/{PROJECT}/locations/us-central1"
REPOSITORY = f"{LOCATION}/repositories/plant"
IMAGE = f"us-central1-docker.pkg.dev/{PROJECT}/plant/backend"
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture
def repositories(sandbox: Sandbox) -> Any:
    """The collection of Google's client, with one repository."""
    repositories = sandbox.client("artifactregistry", "v1").projects().locations().repositories()
    body = {"format": "DOCKER", "dockerConfig": {"immutableTags": True}}
    repositories.create(parent=LOCATION, repositoryId="plant", body=body).execute()
    return repositories


def code(request: Any) -> int:
    """Status of a request that has to fail."""
    with pytest.raises(HttpError) as caught:
        request.execute()
    return int(caught.value.status_code)


def test_a_repository_is_made_by_an_operation_and_says_where_it_is(sandbox: Sandbox, repositories: Any) -> None:
    live = repositories.get(name=REPOSITORY).execute()
    assert live["registryUri"] == f"us-central1-docker.pkg.dev/{PROJECT}/plant"
    assert live["mode"] == "STANDARD_REPOSITORY"
    scanning = live["vulnerabilityScanningConfig"]
    assert scanning["enablementState"] == "SCANNING_DISABLED"  # the scanning API is off (recorded exchange)
    assert repositories.list(parent=LOCATION).execute()["repositories"] == [live]
    operation = repositories.delete(name=REPOSITORY).execute()
    assert sandbox.ok("GET", f"artifactregistry/v1/{operation['name']}")["done"]
    assert code(repositories.get(name=REPOSITORY)) == 404


def test_a_taken_id_no_format_and_an_immutable_field(repositories: Any) -> None:
    assert code(repositories.create(parent=LOCATION, repositoryId="plant", body={"format": "DOCKER"})) == 409
    assert code(repositories.create(parent=LOCATION, repositoryId="other", body={})) == 400
    assert code(repositories.patch(name=REPOSITORY, updateMask="format", body={"format": "MAVEN"})) == 400
    changed = repositories.patch(name=REPOSITORY, updateMask="labels", body={"labels": {"a": "b"}}).execute()
    assert (changed["labels"], changed["format"]) == ({"a": "b"}, "DOCKER")


def test_a_tag_leads_to_a_digest_and_immutable_tags_stay(sandbox: Sandbox, repositories: Any) -> None:
    world = sandbox.app.world
    artifactregistry.push(world, f"{IMAGE}:1.0", ONE, 1234)
    with pytest.raises(errors.ApiError, match="tag immutability"):  # hazards A04
        artifactregistry.push(world, f"{IMAGE}:1.0", TWO, 1234)
    artifactregistry.push(world, f"{IMAGE}:1.1", TWO, 1234)
    packages = repositories.packages()
    tag = packages.tags().get(name=f"{REPOSITORY}/packages/backend/tags/1.0").execute()
    assert tag["version"] == f"{REPOSITORY}/packages/backend/versions/{ONE}"
    images = repositories.dockerImages().list(parent=REPOSITORY).execute()["dockerImages"]
    assert [(image["uri"], image["tags"]) for image in images] == [
        (f"{IMAGE}@{ONE}", ["1.0"]),
        (f"{IMAGE}@{TWO}", ["1.1"]),
    ]
    assert repositories.dockerImages().get(name=images[0]["name"]).execute() == images[0]
    assert artifactregistry.resolve(world, f"{IMAGE}:1.1") == (f"artifactregistry/{REPOSITORY}", TWO)
    assert artifactregistry.resolve(world, f"{IMAGE}:none") is None


def test_a_policy_on_a_repository(repositories: Any) -> None:
    member = f"serviceAccount:plant-build-sa@{PROJECT}.iam.gserviceaccount.com"
    policy = {"policy": {"bindings": [{"role": "roles/artifactregistry.writer", "members": [member]}]}}
    assert code(repositories.setIamPolicy(resource=REPOSITORY, body=policy)) == 400  # no such account
    policy["policy"]["bindings"][0]["members"] = ["user:owner@example.com"]
    repositories.setIamPolicy(resource=REPOSITORY, body=policy).execute()
    assert repositories.getIamPolicy(resource=REPOSITORY).execute()["bindings"] == policy["policy"]["bindings"]


def test_only_a_push_with_the_scanning_api_on_is_scanned(sandbox: Sandbox, repositories: Any) -> None:
    occurrences = sandbox.client("containeranalysis", "v1").projects().occurrences()
    wanted = f'kind="DISCOVERY" AND resourceUrl="https://{IMAGE}@{TWO}"'
    artifactregistry.push(sandbox.app.world, f"{IMAGE}:1", ONE, 1)
    service = f"serviceusage/v1/projects/{PROJECT}/services/containerscanning.googleapis.com"
    sandbox.ok("POST", f"{service}:enable", {})
    assert occurrences.list(parent=f"projects/{PROJECT}").execute() == {}
    sandbox.ok("PUT", "_sandbox/clock", {"speed": 20})
    try:
        artifactregistry.push(sandbox.app.world, f"{IMAGE}:2", TWO, 1)
        (scan,) = occurrences.list(parent=f"projects/{PROJECT}", filter=wanted).execute()["occurrences"]
        assert scan["discovery"]["analysisStatus"] == "SCANNING"
    finally:
        sandbox.ok("PUT", "_sandbox/clock", {"speed": "max"})
    (scan,) = occurrences.list(parent=f"projects/{PROJECT}", filter=wanted).execute()["occurrences"]
    assert scan["discovery"]["analysisStatus"] == "FINISHED_SUCCESS"
    other = '(kind = "BUILD" OR kind = "SBOM_REFERENCE") AND resourceUrl = "https://x"'
    assert occurrences.list(parent=f"projects/{PROJECT}", filter=other).execute() == {}
    assert code(occurrences.list(parent=f"projects/{PROJECT}", filter="createTime > 1")) == 400


def test_findings_are_the_fixtures_by_package_and_version() -> None:
    found = containeranalysis.findings((("jinja2", "2.10"), ("jinja2", "3.1"), ("requests", "2.19.0")))
    assert [(name, version, entry["severity"]) for name, version, entry in found] == [
        ("jinja2", "2.10", "CRITICAL"),
        ("requests", "2.19.0", "HIGH"),
    ]
    assert all(entry["id"].startswith("SANDBOX-") for entry in containeranalysis.fixture())
