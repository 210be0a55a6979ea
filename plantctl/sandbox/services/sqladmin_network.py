"""Addresses of Cloud SQL instances: the peering that a private address needs, and which address an instance gets."""

from __future__ import annotations

import ipaddress
import re

from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.service import World
from plantctl.sandbox.services.sqladmin_base import digits, invalid
from plantctl.sandbox.store import Body

NETWORK = re.compile(r"projects/([^/]+)/global/networks/([^/]+)")
BLOCK = 24
"""Prefix length of the block that Cloud SQL takes for its instances of one region (private-services-access page)."""


def _network(world: World, body: Body) -> tuple[str, str]:
    given = str(body["settings"]["ipConfiguration"].get("privateNetwork", ""))
    found = NETWORK.fullmatch(world.canonical(given))
    if found is None:
        raise invalid(f"Invalid private network: {given}. It must be projects/{{project}}/global/networks/{{network}}.")
    return found.group(1), found.group(2)


def check(world: World, body: Body) -> None:
    """400 where the private network has no private services connection (gcp-foundation 0.4, S 17)."""
    if not body["settings"]["ipConfiguration"].get("privateNetwork"):
        return
    project, network = _network(world, body)
    if f"servicenetworking/connections/{project}/{network}" not in world.store:
        where = f"{body['project']}:{body['name']}"
        raise invalid(f"Incorrect Service Networking config for instance: {where}:NETWORK_NOT_PEERED.")


def addresses(world: World, body: Body) -> list[Body]:
    """`ipAddresses` of an instance; those it has already stay. Raises ApiError when the peering is not there (N07)."""
    config, kind = body["settings"]["ipConfiguration"], str(body["databaseVersion"])
    had = {entry["type"]: entry["ipAddress"] for entry in body.get("ipAddresses", [])}
    found: list[Body] = []
    if config["ipv4Enabled"]:
        found.append({"type": "PRIMARY", "ipAddress": had.get("PRIMARY") or _public(body, "in")})
        if kind.startswith("POSTGRES"):  # recorded exchanges: only PostgreSQL shows its outgoing address
            found.append({"type": "OUTGOING", "ipAddress": had.get("OUTGOING") or _public(body, "out")})
    if config.get("privateNetwork"):
        found.append({"type": "PRIVATE", "ipAddress": had.get("PRIVATE") or _private(world, body)})
    return found


def _public(body: Body, purpose: str) -> str:
    # from one of Google's own blocks; nothing here ever dials it
    drawn = digits(body["project"], body["name"], body["createTime"], purpose) % 2**16
    return str(ipaddress.ip_address("34.68.0.0") + drawn)


def _private(world: World, body: Body) -> str:
    project, network = _network(world, body)
    where = f"consumer project '{project}' network '{network}'"
    connection = world.store.get(f"servicenetworking/connections/{project}/{network}")
    live = world.store.get(f"compute/projects/{project}/global/networks/{network}") or {}
    active = any(peering.get("state") == "ACTIVE" for peering in live.get("peerings", []))
    if connection is None or not active:
        message = "Failed to create subnetwork. Please create Service Networking connection with service"
        raise _failed(f"{message} 'servicenetworking.googleapis.com' from {where} again.")
    wanted = body["settings"]["ipConfiguration"].get("allocatedIpRange")
    names = [name for name in connection["reservedPeeringRanges"] if wanted in (None, "", name)]
    if not names:
        raise _failed(f"Allocated IP range '{wanted}' is not part of the Service Networking connection of {where}.")
    taken = _taken(world, f"projects/{project}/global/networks/{network}")
    for name in names:
        reserved = world.store.get(f"compute/projects/{project}/global/addresses/{name}")
        address = _free(reserved, body["region"], taken) if reserved else None
        if address:
            return address
    message = "Couldn't find free blocks in allocated IP ranges. Please allocate new ranges for this service provider."
    raise _failed(f"Failed to create subnetwork. {message}")


def _failed(message: str) -> ApiError:
    return ApiError("FAILED_PRECONDITION", message, legacy_reason="INTERNAL_ERROR")


Taken = list[tuple[str, str]]


def _taken(world: World, network: str) -> Taken:
    """(region, address or CIDR block) of everything on this network; region is empty for other producers."""
    taken: Taken = []
    for key, body in world.store.list("sqladmin/projects/"):
        if key.count("/") == 4 and key.split("/")[3] == "instances":
            private = body["settings"]["ipConfiguration"].get("privateNetwork", "")
            if private and world.canonical(private) == network:
                found = (entry["ipAddress"] for entry in body.get("ipAddresses", []) if entry["type"] == "PRIVATE")
                taken += [(body["region"], address) for address in found]
    for _, body in world.store.list("redis/projects/"):
        if "/" in str(body.get("reservedIpRange", "")):
            taken.append(("", body["reservedIpRange"]))
    return taken


def _free(reserved: Body, region: str, taken: Taken) -> str | None:
    whole = ipaddress.ip_network(f"{reserved['address']}/{reserved['prefixLength']}", strict=False)
    if whole.prefixlen > BLOCK or not isinstance(whole, ipaddress.IPv4Network):
        return None
    for block in whole.subnets(new_prefix=BLOCK):
        inside = [(place, text) for place, text in taken if ipaddress.ip_network(text, strict=False).overlaps(block)]
        if any(place != region for place, _ in inside):
            continue
        used = {text for _, text in inside}
        # the first addresses of a subnet are Google's own
        for host in range(3, 2 ** (32 - BLOCK) - 1):
            address = str(block[host])
            if address not in used:
                return address
    return None
