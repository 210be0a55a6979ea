"""Where a Redis instance is found: the connection that it needs, its block of addresses, host and ports."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from plantctl.sandbox import errors
from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.service import World
from plantctl.sandbox.services.redis_rules import smallest
from plantctl.sandbox.store import Body

TLS_PORT = 6378
PLAIN_PORT = 6379
FIRST_HOST = 3
"""The first addresses of a block are Google's own; readers find the next one."""
SQL_BLOCK = 24
Block = ipaddress.IPv4Network


def connected(world: World, network: str) -> bool:
    """Whether the network has private services access: a connection, and its peering ACTIVE."""
    project, name = network.split("/")[1], network.rsplit("/", 1)[-1]
    active = any(peering.get("state") == "ACTIVE" for peering in _network(world, network).get("peerings", []))
    return active and f"servicenetworking/connections/{project}/{name}" in world.store


def port(body: Body) -> int:
    """6378 with TLS, else 6379 (gcp-foundation section 3; recorded exchange)."""
    return TLS_PORT if body["transitEncryptionMode"] == "SERVER_AUTHENTICATION" else PLAIN_PORT


def addresses(world: World, body: Body) -> Body:
    """reservedIpRange, host and port of an instance that is being made, and the readers'.

    Raises FAILED_PRECONDITION where the network has no private services access or no room (hazards R01, N07).
    """
    private = body["connectMode"] == "PRIVATE_SERVICE_ACCESS"
    if private and not connected(world, body["authorizedNetwork"]):
        words = "Google private service access is not enabled. Please enable privateservice access and try again."
        raise errors.failed_precondition(words)
    block = _private(world, body) if private else _direct(world, body)
    found: Body = {"reservedIpRange": str(block), "host": str(block[FIRST_HOST]), "port": port(body)}
    return found | readers(body | found)


def readers(body: Body) -> Body:
    """readEndpoint, where read replicas are on (discovery, readReplicasMode)."""
    if body["readReplicasMode"] != "READ_REPLICAS_ENABLED":
        return {}
    block = ipaddress.ip_network(body["reservedIpRange"])
    return {"readEndpoint": str(block[FIRST_HOST + 1]), "readEndpointPort": body["port"]}


def _private(world: World, body: Body) -> Block:
    network = body["authorizedNetwork"]
    project, name = network.split("/")[1], network.rsplit("/", 1)[-1]
    connection = world.store.get(f"servicenetworking/connections/{project}/{name}") or {}
    wanted = body.get("reservedIpRange")
    names = [one for one in connection.get("reservedPeeringRanges", []) if wanted in (None, "", "auto", one)]
    if not names:
        words = f"Allocated IP range '{wanted}' is not part of the private services connection of network '{name}'."
        raise errors.failed_precondition(words)
    for one in names:
        reserved = world.store.get(f"compute/projects/{project}/global/addresses/{one}")
        if reserved is None:
            continue
        whole = Block(f"{reserved['address']}/{reserved['prefixLength']}", strict=False)
        block = _free(whole, smallest(body), list(_taken(world, network)))
        if block is not None:
            return block
    raise _full()


def _direct(world: World, body: Body) -> Block:
    taken = list(_taken(world, body["authorizedNetwork"]))
    if body.get("reservedIpRange"):
        block = Block(body["reservedIpRange"], strict=False)
        if any(block.overlaps(other) for other in taken):  # discovery: unique and not overlapping
            words = f"The IP range {block} overlaps with one that the network '{body['authorizedNetwork']}' uses."
            raise errors.failed_precondition(words)
        return block
    block_found = _free(Block("10.64.0.0/10"), smallest(body), taken)  # where Google draws from is unverified
    if block_found is None:
        raise _full()
    return block_found


def _free(whole: Block, length: int, taken: list[Block]) -> Block | None:
    if whole.prefixlen > length:
        return None
    # the last first: Cloud SQL fills its range from the front
    step = 2 ** (32 - length)
    for start in range(int(whole.broadcast_address) + 1 - step, int(whole.network_address) - 1, -step):
        block = Block((start, length))
        if not any(block.overlaps(other) for other in taken):
            return block
    return None


def _taken(world: World, network: str) -> Iterator[Block]:
    """Everything on the network that an instance must not lie over."""
    project = network.split("/")[1]
    for _, other in world.store.list("redis/projects/"):
        if other.get("host") and other["authorizedNetwork"] == network:
            yield Block(other["reservedIpRange"])
    for key, other in world.store.list("sqladmin/projects/"):
        for entry in other.get("ipAddresses", []) if key.count("/") == 4 else []:
            if entry["type"] == "PRIVATE":
                yield Block(f"{entry['ipAddress']}/{SQL_BLOCK}", strict=False)
    for _, other in world.store.list(f"compute/projects/{project}/regions/"):
        if "ipCidrRange" in other and world.canonical(str(other.get("network", ""))) == network:
            yield Block(other["ipCidrRange"], strict=False)


def _network(world: World, network: str) -> Body:
    return world.store.get(f"compute/{network}") or {}


def _full() -> ApiError:
    words = "Couldn't find free blocks in allocated IP ranges. Please allocate new ranges for this service provider."
    return errors.failed_precondition(words)
