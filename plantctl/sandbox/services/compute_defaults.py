"""What compute fills in on insert, and what it refuses, per kind of network resource."""

from __future__ import annotations

import ipaddress
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.service import Body, World

ROOT = "https://www.googleapis.com/compute/v1"
REGIONS = ("us-central1", "us-east1", "us-east4", "us-west1", "us-west2", "us-west4", "europe-west1", "europe-west3")
OPERATION_TYPES = {
    "compute.networks.patch": "updateNetwork",
    "compute.sslPolicies.patch": "compute.sslPolicies.patch",
    "compute.regionNetworkEndpointGroups.insert": "compute.regionNetworkEndpointGroups.insert",
    "compute.regionNetworkEndpointGroups.delete": "compute.regionNetworkEndpointGroups.delete",
}
"""operationType where it is not the verb (recorded exchanges)."""
FIXED = frozenset({"kind", "id", "creationTimestamp", "selfLink"})
IDENTITY = ("kind", "id", "name", "creationTimestamp", "selfLink", "region", "network", "description")
RESERVED_RANGE = "10.128.0.0/20"
"""What a subnet gets that names a reserved internal range, which the sandbox does not keep (recorded exchange)."""


def network(world: World, project: str, body: Body) -> Body:
    """Firewall order and routing config (recorded exchanges)."""
    filled = {"networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL", **body}
    if "routingConfig" in body:
        filled["routingConfig"] = {"bgpBestPathSelectionMode": "LEGACY", **body["routingConfig"]}
    for field in ("networkProfile",):
        if field in body:
            filled[field] = f"{ROOT}/{world.canonical(body[field])}"
    if filled.get("enableUlaInternalIpv6") and "internalIpv6Range" not in filled:
        filled["internalIpv6Range"] = "fd20:eb5:88a:0:0:0:0:0/48"
    if filled.get("enableUlaInternalIpv6") is False:
        filled.pop("enableUlaInternalIpv6")
    return filled


def check_network(world: World, project: str, body: Body, live: Body | None) -> None:
    """A body without `autoCreateSubnetworks` asks for a legacy network, which new projects cannot make (discovery)."""
    if live is None and "autoCreateSubnetworks" not in body and "IPv4Range" not in body:
        raise errors.invalid("Legacy networks are no longer supported; set autoCreateSubnetworks.")
    if live is not None and live["autoCreateSubnetworks"] is False and body.get("autoCreateSubnetworks"):
        raise errors.invalid("A custom mode network cannot be switched to auto mode.")


def subnetwork(world: World, project: str, body: Body) -> Body:
    """Gateway, purpose, stack type, state, fingerprint (recorded exchanges)."""
    filled = {
        "ipCidrRange": RESERVED_RANGE,
        "privateIpGoogleAccess": False,
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        "purpose": "PRIVATE",
        **body,
        "network": f"{ROOT}/{world.canonical(body['network'])}",
    }
    if filled["purpose"] == "PRIVATE":
        filled = {"stackType": "IPV4_ONLY", "state": "READY", **filled}
    filled["gatewayAddress"] = str(next(ipaddress.ip_network(filled["ipCidrRange"]).hosts()))
    filled.setdefault("logConfig", {"enable": False})
    if filled["logConfig"].get("enable"):
        given = filled["logConfig"]
        filled["logConfig"] = {
            "aggregationInterval": "INTERVAL_5_SEC",
            "flowSampling": 0.5,
            "metadata": "INCLUDE_ALL_METADATA",
            **given,
        }
    filled["fingerprint"] = standard.etag({k: v for k, v in filled.items() if k != "fingerprint"})
    return filled


def check_subnetwork(world: World, project: str, body: Body, live: Body | None) -> None:
    """The network must be there, the range valid and free (hazards C08)."""
    if live is not None:
        _immutable(body, live, "ipCidrRange")
        return
    target = _network(world, body)
    if body.get("reservedInternalRange") and "ipCidrRange" not in body:
        return
    wanted = _cidr(str(body.get("ipCidrRange", "")), "resource.ipCidrRange")
    for _, other in world.store.list(f"compute/projects/{project}/"):
        if "ipCidrRange" not in other or world.canonical(str(other.get("network", ""))) != target:
            continue
        if wanted.overlaps(ipaddress.ip_network(other["ipCidrRange"])):
            raise errors.invalid(f"Invalid IPCidrRange: {wanted} conflicts with existing subnetwork '{other['name']}'.")


def address(world: World, project: str, body: Body) -> Body:
    """An address from the network's free space; tier, purpose and status as recorded for each kind."""
    filled = {"addressType": "EXTERNAL", **body}
    filled["labelFingerprint"] = standard.etag(filled.get("labels", {}))
    internal = filled["addressType"] == "INTERNAL"
    if filled.get("purpose") != "VPC_PEERING":  # a range has no status (recorded exchanges)
        filled["status"] = "RESERVED"
    if "region" in body:
        filled.pop("ipVersion", None)
        filled["networkTier"] = "PREMIUM"
        filled.setdefault(*("purpose", "GCE_ENDPOINT") if internal else ("description", ""))
    elif not internal:
        filled = {"ipVersion": "IPV4", "networkTier": "PREMIUM", **filled}
    for field in ("network",):
        if field in filled:
            filled[field] = f"{ROOT}/{world.canonical(filled[field])}"
    if "address" not in filled:
        filled["address"] = _free_address(world, project, filled)
    return filled


def _free_address(world: World, project: str, body: Body) -> str:
    if body["addressType"] == "EXTERNAL":
        # 203.0.113.0/24 is for documentation (RFC 5737): no sandbox address can be somebody's
        return f"203.0.113.{world.store.next_number('external-address', 10) % 250}"
    prefix = int(body.get("prefixLength") or 32)
    taken = [
        ipaddress.ip_network(f"{other['address']}/{other.get('prefixLength', 32)}", strict=False)
        if "address" in other
        else ipaddress.ip_network(other["ipCidrRange"])
        for _, other in world.store.list(f"compute/projects/{project}/")
        if other.get("addressType") == "INTERNAL" or "ipCidrRange" in other
    ]
    start = ipaddress.ip_network("10.64.0.0/10") if prefix < 32 else ipaddress.ip_network("10.63.0.0/24")
    for candidate in start.subnets(new_prefix=max(prefix, start.prefixlen)):
        if not any(candidate.overlaps(other) for other in taken):
            return str(candidate.network_address)
    raise errors.invalid(f"Couldn't find free blocks of /{prefix} in the network.")


def check_address(world: World, project: str, body: Body, live: Body | None) -> None:
    """VPC_PEERING ranges are internal, global, with a network and a prefix of 8 to 29 (compute reference)."""
    if body.get("purpose") == "VPC_PEERING":
        _network(world, body)
        if body.get("addressType") != "INTERNAL" or not 8 <= int(body.get("prefixLength") or 0) <= 29:
            raise errors.invalid("Invalid value for field 'resource.prefixLength': must be between 8 and 29.")


def firewall(world: World, project: str, body: Body) -> Body:
    """Direction, priority and log config get defaults; gcloud sends one `allowed` entry a port."""
    filled = {"direction": "INGRESS", "priority": 1000, "disabled": False, "logConfig": {"enable": False}, **body}
    filled["network"] = (
        f"{ROOT}/{world.canonical(filled.get('network', f'projects/{project}/global/networks/default'))}"
    )
    if filled["direction"] == "INGRESS" and not any(k in filled for k in ("sourceRanges", "sourceTags")):
        filled["sourceRanges"] = ["0.0.0.0/0"]
    if filled["logConfig"].get("enable"):
        filled["logConfig"] = {"metadata": "INCLUDE_ALL_METADATA", **filled["logConfig"]}
    return filled


def check_firewall(world: World, project: str, body: Body, live: Body | None) -> None:
    """Exactly one of allowed and denied; priority 0 to 65535 (compute reference)."""
    merged = {**(live or {}), **body}
    if live is None:
        _network(world, {"network": body.get("network", f"projects/{project}/global/networks/default")})
    if bool(merged.get("allowed")) == bool(merged.get("denied")):
        raise errors.invalid("Invalid value for field 'resource': exactly one of allowed and denied must be set.")
    if not 0 <= int(merged.get("priority", 1000)) <= 65535:
        raise errors.invalid("Invalid value for field 'resource.priority': must be between 0 and 65535.")


def router(world: World, project: str, body: Body) -> Body:
    """Each NAT gets its tier, endpoint types and type (recorded exchanges)."""
    filled = {"encryptedInterconnectRouter": False, **{k: v for k, v in body.items() if v is not None}}
    filled["network"] = f"{ROOT}/{world.canonical(filled['network'])}"
    if "interfaces" in filled:
        filled["interfaces"] = [{"ipVersion": "IPV4", **interface} for interface in filled["interfaces"]]
    if filled.get("nats"):
        filled["nats"] = [_nat(nat) for nat in filled["nats"]]
    elif "nats" in filled:
        filled.pop("nats")
    return filled


def _nat(given: Body) -> Body:
    filled: dict[str, Any] = {"type": "PUBLIC", "enableEndpointIndependentMapping": False, **given}
    filled.setdefault("endpointTypes", ["ENDPOINT_TYPE_VM"])
    if filled["type"] == "PUBLIC":
        filled.setdefault("autoNetworkTier", "PREMIUM")
    else:
        filled.setdefault("enableDynamicPortAllocation", True)
    filled.setdefault("effectiveTcpTimeWaitTimeoutSec", filled.get("tcpTimeWaitTimeoutSec", 120))
    return filled


def check_router(world: World, project: str, body: Body, live: Body | None) -> None:
    """The network must be there and never changes; NAT names are unique in their router."""
    if live is None:
        _network(world, body)
    elif "network" in body and world.canonical(body["network"]) != world.canonical(live["network"]):
        raise errors.invalid("Invalid value for field 'resource.network': cannot be changed.")
    names = [nat.get("name") for nat in body.get("nats") or []]
    if len(names) != len(set(names)):
        raise errors.invalid("Invalid value for field 'resource.nats': duplicate name.")


def _immutable(body: Body, live: Body, *fields: str) -> None:
    for field in fields:
        if field in body and body[field] != live[field]:
            raise errors.invalid(f"Invalid value for field 'resource.{field}': cannot be changed.")


def _cidr(text: str, field: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError:
        raise errors.invalid(f"Invalid value for field '{field}': '{text}'. Must be an address range.") from None


def _network(world: World, body: Body) -> str:
    name = world.canonical(str(body.get("network", "")))
    if f"compute/{name}" not in world.store:
        raise errors.not_found(f"The resource '{name}' was not found")
    return name
