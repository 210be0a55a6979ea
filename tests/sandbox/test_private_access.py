"""Private services access and VPC connectors through Google's client: ranges, order, conflicts, what is in use."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

NETWORK = f"projects/{PROJECT}/global/networks/plant-network"
CONSUMER = f"projects/{NUMBER}/global/networks/plant-network"
PARENT = "services/servicenetworking.googleapis.com"
CONNECTION = f"{PARENT}/connections/servicenetworking-googleapis-com"
LOCATION = f"projects/{PROJECT}/locations/us-central1"
CONNECTOR = f"{LOCATION}/connectors/plant-vpc-connector"


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A network and two reserved ranges."""
    compute = f"compute/compute/v1/projects/{PROJECT}"
    sandbox.ok("POST", f"{compute}/global/networks", {"name": "plant-network", "autoCreateSubnetworks": False})
    for name in ("one", "two"):
        body = {"name": name, "purpose": "VPC_PEERING", "addressType": "INTERNAL", "prefixLength": 20}
        sandbox.ok("POST", f"{compute}/global/addresses", {**body, "network": NETWORK})
    return sandbox


@pytest.fixture
def connections(box: Sandbox) -> Any:
    """The collection of Google's client."""
    return box.client("servicenetworking", "v1").services().connections()


@pytest.fixture
def connectors(box: Sandbox) -> Any:
    """The collection of Google's client."""
    return box.client("vpcaccess", "v1").projects().locations().connectors()


def ended(box: Sandbox, api: str, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation after its end (speed is max)."""
    done = box.ok("GET", f"{api}/v1/{operation['name']}")
    assert done["done"]
    return dict(done)


def connect(box: Sandbox, connections: Any, *ranges: str) -> dict[str, Any]:
    """Create a connection; the finished operation."""
    body = {"network": CONSUMER, "reservedPeeringRanges": list(ranges)}
    return ended(box, "servicenetworking", connections.create(parent=PARENT, body=body).execute())


def peerings(box: Sandbox) -> list[str]:
    """Peerings of the network with their state."""
    live = box.ok("GET", f"compute/compute/v1/{NETWORK}")
    return [f"{p['name']} {p['state']}" for p in live.get("peerings", [])]


def code(request: Any) -> int:
    """Status of a request that has to fail."""
    with pytest.raises(HttpError) as caught:
        request.execute()
    return int(caught.value.status_code)


def test_a_connection_makes_an_active_peering(box: Sandbox, connections: Any) -> None:
    assert connections.list(parent=PARENT, network=CONSUMER).execute() == {}  # recorded exchange
    done = connect(box, connections, "one")
    assert done["response"]["peering"] == "servicenetworking-googleapis-com"
    (found,) = connections.list(parent=PARENT, network=CONSUMER).execute()["connections"]
    assert (found["network"], found["reservedPeeringRanges"]) == (CONSUMER, ["one"])
    assert peerings(box) == ["servicenetworking-googleapis-com ACTIVE"]


def test_the_network_is_named_by_the_projects_number(connections: Any) -> None:
    body = {"network": NETWORK, "reservedPeeringRanges": ["one"]}
    assert code(connections.create(parent=PARENT, body=body)) == 400


def test_other_ranges_need_a_patch(box: Sandbox, connections: Any) -> None:
    connect(box, connections, "one")
    done = connect(box, connections, "two")
    assert done["error"]["code"] == 9  # hazards N01
    assert done["error"]["message"] == (
        "Cannot modify allocated ranges in CreateConnection. Please use UpdateConnection."
    )
    body = {"network": CONSUMER, "reservedPeeringRanges": ["one", "two"]}
    patch = connections.patch(name=CONNECTION, body=body, updateMask="reservedPeeringRanges", force=True)
    assert "error" not in ended(box, "servicenetworking", patch.execute())


def test_a_range_that_is_not_reserved_fails_the_operation(box: Sandbox, connections: Any) -> None:
    done = connect(box, connections, "nowhere")
    assert "allocated IP range 'nowhere' not found in network" in done["error"]["message"]  # hazards N02
    assert peerings(box) == []


def test_a_connection_in_use_is_not_deleted(box: Sandbox, connections: Any) -> None:
    connect(box, connections, "one")
    settings = {"tier": "db-custom-1-3840", "ipConfiguration": {"ipv4Enabled": False, "privateNetwork": NETWORK}}
    body = {"name": "sql", "region": "us-central1", "databaseVersion": "POSTGRES_15", "settings": settings}
    box.ok("POST", f"sqladmin/v1/projects/{PROJECT}/instances", body)
    request = connections.deleteConnection(name=CONNECTION, body={"consumerNetwork": CONSUMER})
    done = ended(box, "servicenetworking", request.execute())
    assert "are still using this connection" in done["error"]["message"]  # hazards N04
    assert peerings(box) == ["servicenetworking-googleapis-com ACTIVE"]


def test_a_removed_peering_takes_the_connection_with_it(box: Sandbox, connections: Any) -> None:
    connect(box, connections, "one")
    peering = {"name": "servicenetworking-googleapis-com"}
    box.ok("POST", f"compute/compute/v1/{NETWORK}/removePeering", peering)
    assert connections.list(parent=PARENT, network=CONSUMER).execute() == {}  # recorded exchange
    assert peerings(box) == []


def connector(**changes: Any) -> dict[str, Any]:
    """A connector's body."""
    body = {"network": "plant-network", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    return {key: value for key, value in {**body, **changes}.items() if value is not None}


def test_a_connector_becomes_ready_and_its_throughput_follows_its_instances(box: Sandbox, connectors: Any) -> None:
    request = connectors.create(parent=LOCATION, connectorId="plant-vpc-connector", body=connector())
    done = ended(box, "vpcaccess", request.execute())
    assert done["response"]["state"] == "READY"
    live = connectors.get(name=CONNECTOR).execute()
    assert (live["minThroughput"], live["maxThroughput"], live["machineType"]) == (200, 300, "e2-micro")
    assert connectors.list(parent=LOCATION).execute()["connectors"] == [live]


@pytest.mark.parametrize(
    ("connector_id", "body"),
    [
        ("c", {}),
        ("a-name-of-far-too-many-characters", {}),
        ("plain", {"maxInstances": None}),
        ("plain", {"ipCidrRange": "10.8.0.0/27"}),
        ("plain", {"subnet": {"name": "x"}}),
    ],
    ids=["short id", "long id", "no upper bound", "not a /28", "range and subnet"],
)
def test_what_a_connector_may_not_be(connectors: Any, connector_id: str, body: dict[str, Any]) -> None:
    assert code(connectors.create(parent=LOCATION, connectorId=connector_id, body=connector(**body))) == 400


def test_overlap_taken_name_missing_network(box: Sandbox, connectors: Any) -> None:
    compute = f"compute/compute/v1/projects/{PROJECT}/regions/us-central1/subnetworks"
    box.ok("POST", compute, {"name": "s", "ipCidrRange": "10.8.0.0/24", "network": NETWORK})
    assert code(connectors.create(parent=LOCATION, connectorId="over", body=connector())) == 400
    apart = connector(ipCidrRange="10.9.0.0/28")
    connectors.create(parent=LOCATION, connectorId="apart", body=apart).execute()
    assert code(connectors.create(parent=LOCATION, connectorId="apart", body=apart)) == 409
    assert code(connectors.create(parent=LOCATION, connectorId="lost", body=connector(network="no"))) == 404


def test_bounds_grow_and_nothing_else_changes(box: Sandbox, connectors: Any) -> None:
    connectors.create(parent=LOCATION, connectorId="plant-vpc-connector", body=connector()).execute()
    grow = connectors.patch(name=CONNECTOR, updateMask="maxInstances", body={"maxInstances": 5})
    assert "error" not in ended(box, "vpcaccess", grow.execute())
    assert connectors.get(name=CONNECTOR).execute()["maxInstances"] == 5
    shrink = connectors.patch(name=CONNECTOR, updateMask="maxInstances", body={"maxInstances": 4})
    assert code(shrink) == 400  # hazards V05
    assert code(connectors.patch(name=CONNECTOR, updateMask="network", body={"network": "x"})) == 400
    connectors.delete(name=CONNECTOR).execute()
    assert code(connectors.get(name=CONNECTOR)) == 404
