"""Routing by Google's documents: every method's own path leads to it, in every document that the sandbox serves."""

from __future__ import annotations

import re

import pytest

from plantctl.sandbox.catalog import Catalog, api_words
from plantctl.sandbox.registry import SERVICES, load_services
from plantctl.sandbox.service import Service

DOCUMENTS = [
    "artifactregistry.v1", "billingbudgets.v1", "cloudbilling.v1", "cloudbuild.v1", "cloudresourcemanager.v1",
    "cloudresourcemanager.v3", "cloudscheduler.v1", "compute.v1", "containeranalysis.v1", "dns.v1", "iam.v1",
    "logging.v2", "monitoring.v1", "monitoring.v3", "pubsub.v1", "redis.v1", "run.v1", "run.v2", "secretmanager.v1",
    "servicenetworking.v1", "serviceusage.v1", "serviceusage.v1beta1", "sqladmin.v1", "sqladmin.v1beta4", "storage.v1",
    "vpcaccess.v1", "vpcaccess.v1beta1",
]  # fmt: skip
SQL = {"project": "p", "instance": "i"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Documents without handlers."""
    return Catalog()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_method_is_found_by_its_own_path(catalog: Catalog, name: str) -> None:
    api, version = name.split(".")
    document = catalog.document(api, version)
    wrong = []
    for method_id, flat in document.flat_paths.items():
        path = re.sub(r"\{\+?(\w+)\}", lambda found: found.group(1).lower(), flat)
        match = catalog.resolve(api, document.methods[method_id].method.verb, path)
        if match is None or match.spec.id != method_id:
            wrong.append((method_id, flat, match and match.spec.id))
    assert not wrong
    assert document.methods


@pytest.mark.parametrize(
    ("api", "verb", "path", "method_id", "params"),
    [
        (
            "sqladmin",
            "GET",
            "sql/v1beta4/projects/p/instances/i",
            "sql.instances.get",
            SQL,
        ),
        ("sqladmin", "GET", "v1beta4/projects/p/instances/i", "sql.instances.get", SQL),
        ("sqladmin", "GET", "v1/projects/p/instances/i", "sql.instances.get", SQL),
        (
            "compute",
            "GET",
            "compute/beta/projects/p/global/networks/n",
            "compute.networks.get",
            {"project": "p", "network": "n"},
        ),
        ("storage", "GET", "storage/v1/b/b1/o/a%2Fb%20c", "storage.objects.get", {"bucket": "b1", "object": "a/b c"}),
        (
            "storage",
            "GET",
            "download/storage/v1/b/b1/o/x%3Ay",
            "storage.objects.get",
            {"bucket": "b1", "object": "x:y"},
        ),
        (
            "serviceusage",
            "POST",
            "v1/projects/1/services/run.googleapis.com:enable",
            "serviceusage.services.enable",
            {"name": "projects/1/services/run.googleapis.com"},
        ),
        (
            "run",
            "PUT",
            "apis/serving.knative.dev/v1/namespaces/p/services/s",
            "run.namespaces.services.replaceService",
            {"name": "namespaces/p/services/s"},
        ),
    ],
)
def test_addresses_that_clients_really_use(
    catalog: Catalog, api: str, verb: str, path: str, method_id: str, params: dict[str, str]
) -> None:
    match = catalog.resolve(api, verb, path)
    assert match is not None
    assert (match.spec.id, match.params) == (method_id, params)


def test_an_upload_path_is_known_as_one(catalog: Catalog) -> None:
    match = catalog.resolve("storage", "POST", "upload/storage/v1/b/b1/o")
    assert match is not None
    assert match.upload
    assert match.spec.id == "storage.objects.insert"


def test_what_google_does_not_have_is_no_match(catalog: Catalog) -> None:
    assert catalog.resolve("sqladmin", "GET", "v1/projects/p/nothing") is None
    assert catalog.resolve("sqladmin", "GET", "v9/projects/p/instances") is None
    assert catalog.resolve("nonesuch", "GET", "v1/x") is None


def test_a_handler_for_a_method_that_google_lacks_is_refused() -> None:
    service = Service("sqladmin", versions=("v1",))
    service.method("sql.instances.explode")(lambda call: {})
    with pytest.raises(LookupError, match=r"sql\.instances\.explode"):
        Catalog([service])


def test_all_services_assemble_and_stand_in_the_table() -> None:
    services = load_services()
    assert len(set(SERVICES)) == len(SERVICES)
    assert len(list(Catalog(services).implemented())) > 100
    assert {service.api for service in services} <= set(api_words())
