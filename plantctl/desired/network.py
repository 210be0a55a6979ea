"""Bodies of the network: VPC, subnet, peering range, connector, firewall rules, router with NAT."""

from __future__ import annotations

from plantctl.model.plant import Plant
from plantctl.model.step import Body, Later

PEERING_SERVICE = "servicenetworking.googleapis.com"
PEERING_NAME = "servicenetworking-googleapis-com"
"""The name that Google gives the peering of private services access."""


def network_path(plant: Plant) -> str:
    """`projects/p/global/networks/n`, the form that every other body refers to."""
    return f"projects/{plant.project.id}/global/networks/{plant.network.name}"


def network(plant: Plant) -> Body:
    """compute v1 Network. `autoCreateSubnetworks` must be there, else a legacy network is made (discovery)."""
    return {
        "name": plant.network.name,
        "description": plant.marker,
        "autoCreateSubnetworks": False,
        "routingConfig": {"routingMode": "REGIONAL"},
        "mtu": 1460,
    }


def subnetwork(plant: Plant) -> Body:
    """compute v1 Subnetwork with Private Google Access and flow logs (CIS 3.10)."""
    return {
        "name": plant.network.subnet,
        "description": plant.marker,
        "network": network_path(plant),
        "ipCidrRange": plant.network.subnet_cidr,
        "privateIpGoogleAccess": True,
        "stackType": "IPV4_ONLY",
        "logConfig": {"enable": True, "aggregationInterval": "INTERVAL_5_SEC", "flowSampling": 0.5},
    }


def peering_range(plant: Plant) -> Body:
    """compute v1 Address: the range from which Cloud SQL and Memorystore take their private addresses."""
    return {
        "name": plant.network.peering_range,
        "description": plant.marker,
        "addressType": "INTERNAL",
        "purpose": "VPC_PEERING",
        "prefixLength": plant.network.peering_prefix,
        "network": network_path(plant),
    }


def peering_connection(plant: Plant, project_number: str | Later) -> Body:
    """servicenetworking v1 Connection; `network` takes the project number (discovery)."""
    if isinstance(project_number, Later):
        return {"network": project_number, "reservedPeeringRanges": [plant.network.peering_range]}
    return {
        "network": f"projects/{project_number}/global/networks/{plant.network.name}",
        "reservedPeeringRanges": [plant.network.peering_range],
    }


def connector_name(plant: Plant) -> str:
    """`projects/p/locations/r/connectors/c`."""
    return f"projects/{plant.project.id}/locations/{plant.region}/connectors/{plant.network.connector}"


def connector(plant: Plant) -> Body:
    """vpcaccess v1 Connector; the API refuses a body with neither maxInstances nor maxThroughput."""
    return {
        "network": plant.network.name,
        "ipCidrRange": plant.network.connector_cidr,
        "machineType": "e2-micro",
        "minInstances": 2,
        "maxInstances": 3,
    }


def firewall_rules(plant: Plant) -> tuple[Body, ...]:
    """compute v1 Firewalls, allowing rules first: a deny that comes alone would be an outage (hazards C17)."""
    health_checks = ["35.199.224.0/19"]  # serverless VPC access probes; working knowledge, unverified
    return (
        _rule(plant, "plant-allow-connector-health", 900, allowed=[_ports("tcp", "667")], sourceRanges=health_checks),
        _rule(
            plant,
            "plant-allow-internal",
            1000,
            allowed=[_ports("tcp", "5432", "6378", "8000"), {"IPProtocol": "icmp"}],
            sourceRanges=[plant.network.subnet_cidr, plant.network.connector_cidr],
        ),
        _rule(plant, "plant-deny-all-ingress", 65534, denied=[{"IPProtocol": "all"}], sourceRanges=["0.0.0.0/0"]),
    )


def router(plant: Plant) -> Body:
    """compute v1 Router that carries the NAT; NAT is a field of the router, not a resource (discovery)."""
    return {
        "name": plant.network.router,
        "description": plant.marker,
        "network": network_path(plant),
        "nats": [
            {
                "name": plant.network.nat,
                "type": "PUBLIC",
                "natIpAllocateOption": "AUTO_ONLY",
                "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
                "logConfig": {"enable": True, "filter": "ERRORS_ONLY"},
            }
        ],
    }


def _rule(plant: Plant, name: str, priority: int, **rest: object) -> Body:
    return {
        "name": name,
        "description": plant.marker,
        "network": network_path(plant),
        "direction": "INGRESS",
        "priority": priority,
        "disabled": False,
        "logConfig": {"enable": True},
        **rest,
    }


def _ports(protocol: str, *ports: str) -> Body:
    return {"IPProtocol": protocol, "ports": list(ports)}
