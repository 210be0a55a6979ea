"""The tables of methods against Google's discovery documents, and against the sandbox's own table of what writes."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from googleapiclient import discovery_cache

from plantctl.gcp import methods
from plantctl.gcp.idempotency import IDEMPOTENCY
from plantctl.gcp.typed import TYPED
from plantctl.sandbox import wire
from tests.unit.source_tree import ROOT

METHOD = re.compile(r"\"([a-z]+(?:\.[A-Za-z]+){2,})\"")
APIS = {*methods.APIS.values(), ("serviceusage", "v1beta1")}
POLICIES = ("cloudresourcemanager.projects", "iam.projects.serviceAccounts", "secretmanager.projects.secrets")
DOCUMENTS = Path(str(discovery_cache.__file__)).parent / "documents"


@functools.cache
def published(api: str, version: str) -> dict[str, dict[str, Any]]:
    """Every method of a discovery document by id."""
    found: dict[str, dict[str, Any]] = {}

    def walk(node: dict[str, Any]) -> None:
        found.update({method["id"]: method for method in node.get("methods", {}).values()})
        for inner in node.get("resources", {}).values():
            walk(inner)

    walk(json.loads((DOCUMENTS / f"{api}.{version}.json").read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("method_id", IDEMPOTENCY)
def test_a_method_with_a_class_exists_and_takes_a_request_id_when_it_is_of_that_class(method_id: str) -> None:
    method = published(*methods.api_of(method_id))[method_id]
    assert methods.is_mutating(method_id, method["httpMethod"], {})
    assert (IDEMPOTENCY[method_id] == "R") == ("requestId" in method["parameters"])


def named() -> dict[str, str]:
    """Verb by id of every method of Google's that the client side's source names, not by way of the tables."""
    sources = [path for path in (ROOT / "plantctl").rglob("*.py") if "sandbox" not in path.parts]
    words = {word for path in sources for word in METHOD.findall(path.read_text(encoding="utf-8"))}
    words |= {f"{prefix}.{verb}" for prefix in POLICIES for verb in ("getIamPolicy", "setIamPolicy")}
    known = {name: method for api in APIS for name, method in published(*api).items()}
    return {word: known[word]["httpMethod"] for word in words if word in known}


def test_client_and_sandbox_agree_on_what_writes() -> None:
    verbs = {**named(), "logging.entries.list": "POST", "cloudresourcemanager.projects.testIamPermissions": "POST"}
    assert len(verbs) > 40
    for method_id, verb in verbs.items():
        for params in ({}, {"validateOnly": "true"}):
            ours = methods.is_mutating(method_id, verb, dict(params))
            assert ours == wire.is_mutating(method_id, verb, dict(params)), method_id


def test_every_write_that_the_source_names_has_a_class() -> None:
    writes = {name for name, verb in named().items() if methods.is_mutating(name, verb, {})}
    assert sorted(writes - set(IDEMPOTENCY)) == []


PLACE = {"project": "p"}


@pytest.mark.parametrize(
    ("params", "body", "resource"),
    [
        (PLACE, {"name": "plant-allow-internal"}, "p/plant-allow-internal"),
        ({**PLACE, "instance": "i"}, {"name": "plant_app", "password": "x"}, "p/i/plant_app"),
        ({**PLACE, "instance": "i", "name": "plant_app"}, {"name": "plant_app"}, "p/i/plant_app"),
        ({**PLACE, "instance": "p"}, {"name": "p"}, "p/p"),
        ({"name": "projects/p"}, {"accountId": "sa", "serviceAccount": {}}, "projects/p/sa"),
        ({}, {"projectId": "p", "displayName": "Plant"}, "p"),
        ({"parent": "billingAccounts/A"}, {"displayName": "plant"}, "billingAccounts/A/plant"),
        ({"parent": "projects/p", "secretId": "S"}, {}, "projects/p/S"),
        ({"bucket": "b", "name": "o", "ifGenerationMatch": "0"}, {}, "b/o"),
        ({"name": "n", "updateMask": "labels", "requestId": "u"}, None, "n"),
    ],
)
def test_the_journal_tells_resources_apart(params: dict[str, Any], body: dict[str, Any] | None, resource: str) -> None:
    assert methods.resource_of(params, body) == resource


SECTION_2 = {
    "N": "cloudresourcemanager.projects.create iam.projects.serviceAccounts.create sql.instances.insert"
    " servicenetworking.services.connections.create vpcaccess.projects.locations.connectors.create sql.databases.insert"
    " redis.projects.locations.instances.create secretmanager.projects.secrets.create dns.managedZones.create"
    " artifactregistry.projects.locations.repositories.create run.projects.locations.services.create"
    " monitoring.projects.dashboards.create monitoring.services.create logging.projects.sinks.create"
    " monitoring.services.serviceLevelObjectives.create logging.projects.metrics.create storage.buckets.insert"
    " logging.projects.locations.buckets.create accesscontextmanager.accessPolicies.accessLevels.create"
    " accesscontextmanager.accessPolicies.servicePerimeters.create cloudscheduler.projects.locations.jobs.create"
    " dlp.projects.locations.jobTriggers.create",
    "R": "compute.networks.insert compute.subnetworks.insert compute.globalAddresses.insert compute.firewalls.insert"
    " compute.routers.insert compute.routers.patch compute.securityPolicies.insert compute.backendServices.insert"
    " compute.regionNetworkEndpointGroups.insert compute.urlMaps.insert compute.sslCertificates.insert"
    " compute.sslPolicies.insert compute.targetHttpsProxies.insert compute.globalForwardingRules.insert",
    "P": "cloudresourcemanager.projects.setIamPolicy storage.objects.insert dns.changes.create"
    " binaryauthorization.projects.updatePolicy sql.instances.patch",
    "U": "cloudbilling.projects.updateBillingInfo serviceusage.services.enable serviceusage.services.batchEnable"
    " sql.users.insert run.projects.locations.services.patch",
    "X": "iam.projects.serviceAccounts.keys.create sql.backupRuns.insert secretmanager.projects.secrets.addVersion"
    " cloudbuild.projects.locations.builds.create monitoring.projects.alertPolicies.create"
    " monitoring.projects.notificationChannels.create monitoring.projects.uptimeCheckConfigs.create"
    " billingbudgets.billingAccounts.budgets.create accesscontextmanager.accessPolicies.create"
    " run.projects.locations.jobs.run",
}
"""Hazards section 2, written down a second time: a class that is changed by mistake is seen here."""


def test_every_write_of_the_catalogue_has_the_class_that_it_says() -> None:
    said = {method: word for word, methods_of in SECTION_2.items() for method in methods_of.split()}
    assert {method: IDEMPOTENCY.get(method) for method in said} == said


def test_typed_rows_name_what_the_libraries_have() -> None:
    import importlib

    for method_id, row in TYPED.items():
        module = importlib.import_module(f"google.cloud.{row.library}")
        request = getattr(module, row.request)
        assert hasattr(getattr(module, row.client).get_transport_class(row.transport), row.rpc), method_id
        fields = set(request.meta.fields)
        assert row.field in ("", "*") or row.field in fields, method_id
        assert method_id in published(*methods.api_of(method_id)), method_id
