"""Certificates, SSL policies, Cloud Armor and serverless endpoints through Google's client, as recordings show them."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from tests.sandbox.conftest import PROJECT, Sandbox

GLOBAL: dict[str, Any] = {"project": PROJECT}
REGIONAL: dict[str, Any] = {"project": PROJECT, "region": "us-central1"}


@pytest.fixture
def compute(sandbox: Sandbox) -> Any:
    """Google's client; at speed max an accepted operation has ended."""
    return sandbox.client("compute", "v1")


def test_a_profile_enables_its_suites(compute: Any) -> None:
    policies = compute.sslPolicies()
    policies.insert(**GLOBAL, body={"name": "p", "profile": "RESTRICTED", "minTlsVersion": "TLS_1_2"}).execute()
    live = policies.get(**GLOBAL, sslPolicy="p").execute()
    assert len(live["enabledFeatures"]) == 6
    modern = {"profile": "MODERN", "fingerprint": live["fingerprint"]}
    operation = policies.patch(**GLOBAL, sslPolicy="p", body=modern).execute()
    assert operation["operationType"] == "compute.sslPolicies.patch"  # recorded exchange
    assert len(policies.get(**GLOBAL, sslPolicy="p").execute()["enabledFeatures"]) == 10
    with pytest.raises(HttpError) as stale:
        policies.patch(**GLOBAL, sslPolicy="p", body=modern).execute()
    assert stale.value.status_code == 412
    with pytest.raises(HttpError) as custom:
        policies.insert(**GLOBAL, body={"name": "q", "profile": "CUSTOM"}).execute()
    assert custom.value.status_code == 400


def test_a_security_policy_ends_with_a_rule_for_everybody(compute: Any) -> None:
    match = {"versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ["10.0.0.0/8"]}}
    rule = {"action": "deny(403)", "priority": 1000, "match": match}
    policies = compute.securityPolicies()
    policies.insert(**GLOBAL, body={"name": "armor", "rules": [rule]}).execute()
    live = policies.get(**GLOBAL, securityPolicy="armor").execute()
    assert [(r["priority"], r["action"], r["preview"]) for r in live["rules"]] == [
        (1000, "deny(403)", False),
        (2147483647, "allow", False),
    ]
    assert live["type"] == "CLOUD_ARMOR"
    with pytest.raises(HttpError) as twice:
        policies.insert(**GLOBAL, body={"name": "twice", "rules": [rule, rule]}).execute()
    assert twice.value.status_code == 400


def test_a_serverless_group_has_one_backend(compute: Any) -> None:
    groups = compute.regionNetworkEndpointGroups()
    body = {"name": "neg", "networkEndpointType": "SERVERLESS", "cloudRun": {"service": "plant-backend"}}
    operation = groups.insert(**REGIONAL, body=body).execute()
    assert operation["operationType"] == "compute.regionNetworkEndpointGroups.insert"  # recorded exchange
    assert groups.get(**REGIONAL, networkEndpointGroup="neg").execute()["size"] == 0
    with pytest.raises(HttpError) as none:
        groups.insert(**REGIONAL, body={"name": "none", "networkEndpointType": "SERVERLESS"}).execute()
    assert none.value.status_code == 400


def test_a_managed_certificate_names_domains(compute: Any) -> None:
    certificates = compute.sslCertificates()
    body = {"name": "c", "type": "MANAGED", "managed": {"domains": ["plant.example.com"]}}
    certificates.insert(**GLOBAL, body=body).execute()
    assert certificates.get(**GLOBAL, sslCertificate="c").execute()["managed"]["domains"] == ["plant.example.com"]
    assert [c["name"] for c in certificates.list(**GLOBAL).execute()["items"]] == ["c"]
    with pytest.raises(HttpError) as none:
        certificates.insert(**GLOBAL, body={"name": "d", "type": "MANAGED"}).execute()
    assert none.value.status_code == 400
