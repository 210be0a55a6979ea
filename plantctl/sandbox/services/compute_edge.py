"""Compute's resources at the edge, as far as recordings show them: certificates, SSL policies, Cloud Armor, endpoints.

Kinds of compute.py's table, with its methods. They are kept and shown; no traffic goes through them.
"""

from __future__ import annotations

from datetime import timedelta

from plantctl.sandbox import errors, standard
from plantctl.sandbox.service import Body, World
from plantctl.sandbox.services import compute
from plantctl.sandbox.services.compute import BY_ID, Kind, service

__all__ = ["service"]

DEFAULT_PRIORITY = 2147483647
GCM = ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
CBC = ("AES_128_CBC_SHA", "AES_256_CBC_SHA")
PLAIN_RSA = ("3DES_EDE_CBC_SHA", "AES_128_CBC_SHA", "AES_128_GCM_SHA256", "AES_256_CBC_SHA", "AES_256_GCM_SHA384")


def features(profile: str, custom: list[str]) -> list[str]:
    """Cipher suites of a profile (recorded exchanges; COMPATIBLE by the SSL policies documentation)."""
    if profile == "CUSTOM":
        return sorted(custom)
    kinds = GCM if profile == "RESTRICTED" else (*GCM, *CBC)
    suites = [f"TLS_ECDHE_{key}_WITH_{kind}" for key in ("ECDSA", "RSA") for kind in kinds]
    if profile == "COMPATIBLE":
        suites += [f"TLS_RSA_WITH_{kind}" for kind in PLAIN_RSA]
    return sorted(suites)


def ssl_policy(world: World, project: str, body: Body) -> Body:
    """Lowest version and profile by default, and what they enable."""
    filled = {"minTlsVersion": "TLS_1_0", "profile": "COMPATIBLE", **body}
    filled["enabledFeatures"] = features(filled["profile"], filled.get("customFeatures") or [])
    filled["fingerprint"] = standard.etag({k: v for k, v in filled.items() if k != "fingerprint"})
    return filled


def check_ssl_policy(world: World, project: str, body: Body, live: Body | None) -> None:
    """Custom features and the CUSTOM profile need each other (compute reference, sslPolicies)."""
    merged = {**(live or {}), **body}
    if (merged.get("profile") == "CUSTOM") != bool(merged.get("customFeatures")):
        raise errors.invalid("Invalid value for field 'resource.customFeatures': only for profile CUSTOM.")


def certificate(world: World, project: str, body: Body) -> Body:
    """A managed certificate; no authority issues it here."""
    return {**body, "expireTime": world.clock.rfc3339(world.clock.now() + timedelta(days=90))}


def check_certificate(world: World, project: str, body: Body, live: Body | None) -> None:
    """A managed one names its domains (compute reference, sslCertificates)."""
    if body.get("type") == "MANAGED" and not body.get("managed", {}).get("domains"):
        raise errors.invalid("Invalid value for field 'resource.managed.domains': must not be empty.")


def security_policy(world: World, project: str, body: Body) -> Body:
    """Each rule gets its kind; without a last rule there is one that allows all (Cloud Armor documentation)."""
    filled = {"type": "CLOUD_ARMOR", **body}
    rules = list(filled.get("rules") or [])
    if not any(int(rule.get("priority", 0)) == DEFAULT_PRIORITY for rule in rules):
        everyone = {"versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ["*"]}}
        rules.append({"action": "allow", "priority": DEFAULT_PRIORITY, "match": everyone})
    default = {"kind": "compute#securityPolicyRule", "description": "", "preview": False}
    # in the order of the recordings, which is that of the priorities' digits
    filled["rules"] = sorted(({**default, **rule} for rule in rules), key=lambda rule: str(rule["priority"]))
    filled["labelFingerprint"] = standard.etag(filled.get("labels", {}))
    filled["fingerprint"] = standard.etag({k: v for k, v in filled.items() if k != "fingerprint"})
    return filled


def check_security_policy(world: World, project: str, body: Body, live: Body | None) -> None:
    """Priorities are unique (Cloud Armor documentation)."""
    priorities = [rule.get("priority") for rule in body.get("rules") or []]
    if len(priorities) != len(set(priorities)):
        raise errors.invalid("Cannot have rules with the same priorities.")


def endpoint_group(world: World, project: str, body: Body) -> Body:
    """A serverless group has no endpoints of its own."""
    return {"networkEndpointType": "SERVERLESS", "size": 0, **body}


def check_endpoint_group(world: World, project: str, body: Body, live: Body | None) -> None:
    """Exactly one backend (compute reference, regionNetworkEndpointGroups)."""
    named = [field for field in ("cloudRun", "cloudFunction", "appEngine", "serverlessDeployment") if body.get(field)]
    if body.get("networkEndpointType", "SERVERLESS") == "SERVERLESS" and len(named) != 1:
        raise errors.invalid("Invalid value for field 'resource': exactly one serverless backend must be set.")


EDGE = (
    Kind(
        "sslPolicies", "sslPolicies", "compute#sslPolicy", "sslPolicy", "global",
        ssl_policy, check_ssl_policy, fingerprint="fingerprint",
    ),
    Kind(
        "sslCertificates", "sslCertificates", "compute#sslCertificate", "sslCertificate", "global",
        certificate, check_certificate,
    ),
    Kind(
        "securityPolicies", "securityPolicies", "compute#securityPolicy", "securityPolicy", "global",
        security_policy, check_security_policy, fingerprint="fingerprint",
    ),
    Kind(
        "regionNetworkEndpointGroups", "networkEndpointGroups", "compute#networkEndpointGroup",
        "networkEndpointGroup", "region", endpoint_group, check_endpoint_group,
    ),
)  # fmt: skip
BY_ID.update({kind.id: kind for kind in EDGE})

for _kind in EDGE:
    service.method(f"compute.{_kind.id}.insert")(compute.insert)
    service.method(f"compute.{_kind.id}.get")(compute.get)
    service.method(f"compute.{_kind.id}.list")(compute.list_)
    service.method(f"compute.{_kind.id}.delete")(compute.delete)
for _id in ("sslPolicies", "securityPolicies"):
    service.method(f"compute.{_id}.patch")(compute.patch)
