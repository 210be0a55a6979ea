"""What the tests of Memorystore share: addresses, a network with private services access, bodies, waiting."""

from __future__ import annotations

import time
from typing import Any

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

LOCATION = f"projects/{PROJECT}/locations/us-central1"
ONE = f"{LOCATION}/instances/plant-redis"
REST = f"redis/v1/{LOCATION}/instances"
NETWORK = f"projects/{PROJECT}/global/networks/plant-network"
COMPUTE = f"compute/compute/v1/projects/{PROJECT}"
AGENT = f"serviceAccount:service-{NUMBER}@cloud-redis.iam.gserviceaccount.com"


def network(box: Sandbox, *, connect: bool = True) -> None:
    """A network with a reserved range and, if asked, the peering."""
    box.ok("POST", f"{COMPUTE}/global/networks", {"name": "plant-network", "autoCreateSubnetworks": False})
    reserved = {"name": "psa", "purpose": "VPC_PEERING", "addressType": "INTERNAL", "prefixLength": 16}
    box.ok("POST", f"{COMPUTE}/global/addresses", {**reserved, "network": NETWORK})
    if connect:
        path = "servicenetworking/v1/services/servicenetworking.googleapis.com/connections"
        consumer = f"projects/{NUMBER}/global/networks/plant-network"
        answer = box.ok("POST", path, {"network": consumer, "reservedPeeringRanges": ["psa"]})
        assert "error" not in settle(box, answer, "servicenetworking")


def body(**more: Any) -> dict[str, Any]:
    """The plant's instance."""
    return {
        "tier": "STANDARD_HA",
        "memorySizeGb": 1,
        "redisVersion": "REDIS_7_0",
        "authorizedNetwork": NETWORK,
        "connectMode": "PRIVATE_SERVICE_ACCESS",
        "authEnabled": True,
        "transitEncryptionMode": "SERVER_AUTHENTICATION",
        **more,
    }


def settle(box: Sandbox, operation: dict[str, Any], api: str = "redis") -> dict[str, Any]:
    """The operation when it is done."""
    end = time.monotonic() + 60
    while not operation.get("done"):
        assert time.monotonic() < end, operation
        time.sleep(0.02)
        operation = box.ok("GET", f"{api}/v1/{operation['name']}")
    return operation


def make(box: Sandbox, name: str = "plant-redis", **more: Any) -> dict[str, Any]:
    """Create an instance and read it."""
    done = settle(box, box.ok("POST", f"{REST}?instanceId={name}", body(**more)))
    assert "error" not in done, done
    return dict(box.ok("GET", f"{REST}/{name}"))


def change(box: Sandbox, mask: str, **fields: Any) -> dict[str, Any]:
    """Patch the instance; the finished operation."""
    return settle(box, box.ok("PATCH", f"{REST}/plant-redis?updateMask={mask}", fields))


def refused(box: Sandbox, verb: str, path: str, given: dict[str, Any], status: int = 400) -> str:
    """The words of a refusal."""
    answer = box.call(verb, path, given)
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


def act(box: Sandbox, verb: str, **fields: Any) -> dict[str, Any]:
    """`plant-redis:verb`; the finished operation."""
    return settle(box, box.ok("POST", f"{REST}/plant-redis:{verb}", fields))
