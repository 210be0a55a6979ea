"""The way of a job to a private Cloud SQL instance: only with VPC access, and only while the peering is ACTIVE."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from plantctl.sandbox.app import App
from tests.sandbox import plane_kit as kit
from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

pytestmark = pytest.mark.dataplane
COMPUTE = f"compute/compute/v1/projects/{PROJECT}"
CONSUMER = f"projects/{NUMBER}/global/networks/plant-network"
CONNECTIONS = "servicenetworking/v1/services/servicenetworking.googleapis.com/connections"
CONNECTOR = f"{kit.LOCATION}/connectors/plant-vpc-connector"
SQL = f"sqladmin/v1/projects/{PROJECT}"


def settle(box: Sandbox, operation: dict[str, Any]) -> None:
    """Wait for a Cloud SQL operation that has to succeed."""
    end = time.monotonic() + 60
    while operation["status"] != "DONE":
        assert time.monotonic() < end, operation
        time.sleep(0.05)
        operation = box.ok("GET", f"{SQL}/operations/{operation['name']}")
    assert "error" not in operation, operation


@pytest.fixture(scope="module")
def box(plane_app: App) -> Iterator[Sandbox]:
    """A network with private services access and a connector, and a PostgreSQL instance with a private address."""
    box = Sandbox(plane_app)
    box.reset()
    box.ok("POST", f"{COMPUTE}/global/networks", {"name": "plant-network", "autoCreateSubnetworks": False})
    reserved = {"name": "psa", "purpose": "VPC_PEERING", "addressType": "INTERNAL", "prefixLength": 16}
    network = f"projects/{PROJECT}/global/networks/plant-network"
    box.ok("POST", f"{COMPUTE}/global/addresses", {**reserved, "network": network})
    connection = {"network": CONSUMER, "reservedPeeringRanges": ["psa"]}
    assert "error" not in kit.wait(box, "servicenetworking", box.ok("POST", CONNECTIONS, connection))
    connector = {"network": "plant-network", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    path = f"vpcaccess/v1/{kit.LOCATION}/connectors?connectorId=plant-vpc-connector"
    assert "error" not in kit.wait(box, "vpcaccess", box.ok("POST", path, connector))
    private = {"ipv4Enabled": False, "privateNetwork": network}
    settings = {"tier": "db-custom-1-3840", "ipConfiguration": private}
    instance = {"name": "plant", "region": "us-central1", "databaseVersion": "POSTGRES_15", "settings": settings}
    settle(box, box.ok("POST", f"{SQL}/instances", instance))
    yield box
    box.close()


@pytest.fixture(scope="module")
def host(box: Sandbox) -> str:
    """The private address that the API shows; two jobs that dial it, one with a connector."""
    (address,) = box.ok("GET", f"{SQL}/instances/plant")["ipAddresses"]
    assert address["type"] == "PRIVATE"
    image = kit.prepare(box)
    env = [{"name": "DB_HOST", "value": address["ipAddress"]}]
    kit.make_job(box, "outside", image, args=["dial"], env=env)
    access = {"connector": CONNECTOR, "egress": "PRIVATE_RANGES_ONLY"}
    kit.make_job(box, "inside", image, args=["dial"], env=env, vpcAccess=access)
    return str(address["ipAddress"])


def said(box: Sandbox, done: dict[str, Any]) -> list[str]:
    """What an execution printed."""
    return [entry["textPayload"] for entry in kit.entries(box, done["metadata"]["name"])]


def test_with_connector_and_peering_a_job_reaches_the_instance(box: Sandbox, host: str) -> None:
    assert host.startswith("10.")
    done = kit.run(box, "inside")
    assert "error" not in done, said(box, done)
    assert said(box, done) == ["connected"]


def test_without_vpc_access_it_does_not(box: Sandbox, host: str) -> None:
    done = kit.run(box, "outside")
    assert "error" in done
    assert said(box, done) == ["no way ConnectionRefusedError"]


def test_nor_when_the_peering_is_gone(box: Sandbox, host: str) -> None:
    peering = {"name": "servicenetworking-googleapis-com"}
    box.ok("POST", f"{COMPUTE}/global/networks/plant-network/removePeering", peering)
    assert "error" in kit.run(box, "inside")
    connection = {"network": CONSUMER, "reservedPeeringRanges": ["psa"]}
    patch = f"{CONNECTIONS}/servicenetworking-googleapis-com?updateMask=reservedPeeringRanges&force=true"
    assert "error" not in kit.wait(box, "servicenetworking", box.ok("PATCH", patch, connection))
    assert said(box, kit.run(box, "inside")) == ["connected"]
