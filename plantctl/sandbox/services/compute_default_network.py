"""The network `default` that Compute Engine makes in a project when its API is turned on (hazards S15; CIS 3.1).

With its four firewall rules (VPC documentation, "pre-populated rules in the default network"). Its automatic
subnetworks are left out: nothing of the plant runs in them, and Google removes them together with the network.
"""

from __future__ import annotations

from typing import Any

from plantctl.sandbox import standard
from plantctl.sandbox.service import World
from plantctl.sandbox.services.compute import BY_ID, ROOT, service

RULES: dict[str, dict[str, Any]] = {
    "default-allow-icmp": {"allowed": [{"IPProtocol": "icmp"}]},
    "default-allow-internal": {
        "allowed": [
            {"IPProtocol": "tcp", "ports": ["0-65535"]},
            {"IPProtocol": "udp", "ports": ["0-65535"]},
            {"IPProtocol": "icmp"},
        ],
        "sourceRanges": ["10.128.0.0/9"],
    },
    "default-allow-rdp": {"allowed": [{"IPProtocol": "tcp", "ports": ["3389"]}]},
    "default-allow-ssh": {"allowed": [{"IPProtocol": "tcp", "ports": ["22"]}]},
}
LOWEST = 65534


@service.on("api-enabled")
def make_default_network(world: World, project: str, api: str) -> None:
    """Once a project: one that was deleted does not come back."""
    marker = f"compute-default/{project}"
    if api != "compute.googleapis.com" or marker in world.store:
        return
    world.store.put(marker, {})
    network = f"projects/{project}/global/networks/default"
    _put(world, project, "networks", "default", {"description": "Default network for the project"}, automatic=True)
    for name, rule in RULES.items():
        body = {"network": network, "priority": LOWEST, "sourceRanges": ["0.0.0.0/0"], **rule}
        _put(world, project, "firewalls", name, body)


def _put(world: World, project: str, kind_id: str, name: str, body: dict[str, Any], *, automatic: bool = False) -> None:
    kind = BY_ID[kind_id]
    full = f"projects/{project}/global/{kind.path}/{name}"
    base = {
        "name": name,
        "kind": kind.kind,
        "id": standard.number_id(),
        "creationTimestamp": world.clock.rfc3339(),
        "selfLink": f"{ROOT}/{full}",
        **body,
    }
    if automatic:
        base["autoCreateSubnetworks"] = True
    world.store.put(f"compute/{full}", kind.fill(world, project, base))
