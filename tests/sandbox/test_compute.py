"""The network part of compute through Google's client: what is filled in, conflicts, fingerprints, use, filters."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from tests.sandbox.conftest import PROJECT, Sandbox

REGION = "us-central1"
NETWORK = f"projects/{PROJECT}/global/networks/plant-network"
LINK = "https://www.googleapis.com/compute/v1"


@pytest.fixture
def compute(sandbox: Sandbox) -> Any:
    """Google's client; one custom network."""
    compute = sandbox.client("compute", "v1")
    body = {"name": "plant-network", "autoCreateSubnetworks": False, "routingConfig": {"routingMode": "REGIONAL"}}
    wait(compute, compute.networks().insert(project=PROJECT, body=body).execute())
    return compute


def wait(compute: Any, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation when it is done."""
    if "/regions/" in operation["selfLink"]:
        request = compute.regionOperations().wait(project=PROJECT, region=REGION, operation=operation["name"])
    else:
        request = compute.globalOperations().wait(project=PROJECT, operation=operation["name"])
    done = request.execute()
    assert (done["status"], done["progress"]) == ("DONE", 100)
    return dict(done)


def subnet(compute: Any, name: str = "plant-subnet", cidr: str = "10.10.0.0/24") -> Any:
    """The request for a subnet."""
    body = {"name": name, "ipCidrRange": cidr, "network": NETWORK, "privateIpGoogleAccess": True}
    return compute.subnetworks().insert(project=PROJECT, region=REGION, body=body)


def refusal(request: Any) -> tuple[int, str]:
    """Status and `errors[].reason` of a request that has to fail."""
    with pytest.raises(HttpError) as caught:
        request.execute()
    return int(caught.value.status_code), str(caught.value.error_details[0]["reason"])


def test_a_network_gets_what_the_recordings_show(compute: Any) -> None:
    live = compute.networks().get(project=PROJECT, network="plant-network").execute()
    assert live["selfLink"] == f"{LINK}/{NETWORK}"
    assert live["routingConfig"] == {"bgpBestPathSelectionMode": "LEGACY", "routingMode": "REGIONAL"}
    assert live["networkFirewallPolicyEnforcementOrder"] == "AFTER_CLASSIC_FIREWALL"
    by_id = compute.networks().get(project=PROJECT, network=live["id"]).execute()
    assert by_id == live


def test_a_subnet_its_gateway_and_its_fingerprint(compute: Any) -> None:
    wait(compute, subnet(compute).execute())
    one: dict[str, Any] = {"project": PROJECT, "region": REGION, "subnetwork": "plant-subnet"}
    live = compute.subnetworks().get(**one).execute()
    assert (live["gatewayAddress"], live["purpose"], live["state"]) == ("10.10.0.1", "PRIVATE", "READY")
    stale = {"logConfig": {"enable": True}, "fingerprint": "AAAAAAAAAAA="}
    assert refusal(compute.subnetworks().patch(**one, body=stale)) == (412, "conditionNotMet")  # hazards C05
    current = {"logConfig": {"enable": True}, "fingerprint": live["fingerprint"]}
    wait(compute, compute.subnetworks().patch(**one, body=current).execute())
    changed = compute.subnetworks().get(**one).execute()
    assert changed["logConfig"]["metadata"] == "INCLUDE_ALL_METADATA"
    assert changed["fingerprint"] != live["fingerprint"]


def test_taken_names_overlaps_and_missing_networks(compute: Any) -> None:
    wait(compute, subnet(compute).execute())
    assert refusal(subnet(compute)) == (409, "alreadyExists")
    assert refusal(subnet(compute, "other", "10.10.0.128/25"))[0] == 400  # hazards C08
    body = {"name": "r", "network": f"projects/{PROJECT}/global/networks/nowhere"}
    assert refusal(compute.routers().insert(project=PROJECT, region=REGION, body=body)) == (404, "notFound")
    assert refusal(compute.networks().insert(project=PROJECT, body={"name": "No"}))[0] == 400
    assert refusal(compute.networks().get(project=PROJECT, network="nowhere")) == (404, "notFound")


def test_a_request_id_makes_one_network_of_two_requests(compute: Any) -> None:
    body = {"name": "twice", "autoCreateSubnetworks": False}
    request_id = "5f6a8f4e-4c4e-4f2e-8a53-0f2f2a1f3b11"
    first, second = (
        compute.networks().insert(project=PROJECT, body=body, requestId=request_id).execute() for _ in range(2)
    )
    assert first["name"] == second["name"]


def test_a_network_in_use_stays_and_the_operation_says_why(compute: Any) -> None:
    # hazards C04; recorded exchange: the request is accepted, the operation fails
    wait(compute, subnet(compute).execute())
    done = wait(compute, compute.networks().delete(project=PROJECT, network="plant-network").execute())
    assert done["httpErrorStatusCode"] == 400
    (error,) = done["error"]["errors"]
    assert error["code"] == "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"
    assert "subnetworks/plant-subnet" in error["message"]
    request = compute.subnetworks().delete(project=PROJECT, region=REGION, subnetwork="plant-subnet")
    assert "error" not in wait(compute, request.execute())
    assert "error" not in wait(compute, compute.networks().delete(project=PROJECT, network="plant-network").execute())


def test_a_nat_is_a_part_of_its_router_and_a_patch_replaces_all_of_them(compute: Any) -> None:
    body = {"name": "plant-router", "network": NETWORK}
    wait(compute, compute.routers().insert(project=PROJECT, region=REGION, body=body).execute())
    one: dict[str, Any] = {"project": PROJECT, "region": REGION, "router": "plant-router"}

    def patch(*names: str) -> list[dict[str, Any]]:
        ranges = "ALL_SUBNETWORKS_ALL_IP_RANGES"
        nats = [{"name": n, "natIpAllocateOption": "AUTO_ONLY", "sourceSubnetworkIpRangesToNat": ranges} for n in names]
        wait(compute, compute.routers().patch(**one, body={"nats": nats}).execute())
        return list(compute.routers().get(**one).execute().get("nats", []))

    (nat,) = patch("plant-nat")
    assert (nat["type"], nat["endpointTypes"], nat["autoNetworkTier"]) == ("PUBLIC", ["ENDPOINT_TYPE_VM"], "PREMIUM")
    assert [n["name"] for n in patch("other")] == ["other"]  # hazards C18
    same = {"nats": [{"name": "x"}, {"name": "x"}]}
    assert refusal(compute.routers().patch(**one, body=same))[0] == 400


def test_a_reserved_range_is_free_space_of_its_network(compute: Any) -> None:
    wait(compute, subnet(compute, cidr="10.64.0.0/24").execute())
    body = {"name": "psa", "purpose": "VPC_PEERING", "addressType": "INTERNAL", "prefixLength": 16, "network": NETWORK}
    wait(compute, compute.globalAddresses().insert(project=PROJECT, body=body).execute())
    live = compute.globalAddresses().get(project=PROJECT, address="psa").execute()
    assert live["address"] == "10.65.0.0"
    assert live["prefixLength"] == 16
    narrow = {**body, "name": "narrow", "prefixLength": 30}
    assert refusal(compute.globalAddresses().insert(project=PROJECT, body=narrow))[0] == 400
    labels = {"labels": {"managed-by": "plantctl"}, "labelFingerprint": live["labelFingerprint"]}
    compute.globalAddresses().setLabels(project=PROJECT, resource="psa", body=labels).execute()
    again = compute.globalAddresses().setLabels(project=PROJECT, resource="psa", body=labels)
    assert refusal(again) == (412, "conditionNotMet")


def test_a_firewall_rule_allows_or_denies_but_not_both(compute: Any) -> None:
    body = {"name": "allow-ssh", "network": NETWORK, "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}]}
    wait(compute, compute.firewalls().insert(project=PROJECT, body=body).execute())
    live = compute.firewalls().get(project=PROJECT, firewall="allow-ssh").execute()
    assert (live["direction"], live["priority"], live["sourceRanges"]) == ("INGRESS", 1000, ["0.0.0.0/0"])
    both = {**body, "name": "both", "denied": [{"IPProtocol": "icmp"}]}
    assert refusal(compute.firewalls().insert(project=PROJECT, body=both))[0] == 400


def test_lists_filter_page_and_aggregate(compute: Any) -> None:
    for n in range(3):
        wait(compute, subnet(compute, f"subnet-{n}", f"10.20.{n}.0/24").execute())
    where: dict[str, Any] = {"project": PROJECT, "region": REGION}
    listing = compute.subnetworks()
    found = listing.list(**where, filter="name = subnet-1").execute()["items"]
    assert [one["name"] for one in found] == ["subnet-1"]
    regex = listing.list(**where, filter='name eq ".*-[02]"').execute()["items"]
    assert [one["name"] for one in regex] == ["subnet-0", "subnet-2"]
    first = listing.list(**where, maxResults=2).execute()
    second = listing.list_next(listing.list(**where, maxResults=2), first).execute()
    assert (len(first["items"]), len(second["items"])) == (2, 1)
    all_regions = listing.aggregatedList(project=PROJECT).execute()["items"]
    assert len(all_regions[f"regions/{REGION}"]["subnetworks"]) == 3
    assert refusal(listing.list(**where, filter="name ~ x"))[0] == 400


def test_an_operation_takes_its_time_unless_the_speed_is_max(sandbox: Sandbox, compute: Any) -> None:
    sandbox.ok("PUT", "_sandbox/clock", {"speed": 100})
    try:
        body = {"name": "slow", "autoCreateSubnetworks": False}
        operation = compute.networks().insert(project=PROJECT, body=body).execute()
        assert operation["status"] == "RUNNING"
        assert refusal(compute.networks().get(project=PROJECT, network="slow")) == (404, "notFound")
        assert refusal(compute.networks().insert(project=PROJECT, body=body)) == (409, "alreadyExists")
        wait(compute, operation)
        assert compute.networks().get(project=PROJECT, network="slow").execute()["name"] == "slow"
    finally:
        sandbox.ok("PUT", "_sandbox/clock", {"speed": "max"})
