"""The default network: there with the API, gone for good when it is deleted."""

from __future__ import annotations

from tests.sandbox.conftest import PROJECT, Sandbox

GLOBAL = f"compute/compute/v1/projects/{PROJECT}/global"


def test_it_comes_with_the_api_and_can_be_removed(sandbox: Sandbox) -> None:
    network = sandbox.ok("GET", f"{GLOBAL}/networks/default")
    assert network["autoCreateSubnetworks"] is True
    rules = [one["name"] for one in sandbox.ok("GET", f"{GLOBAL}/firewalls")["items"]]
    assert rules == ["default-allow-icmp", "default-allow-internal", "default-allow-rdp", "default-allow-ssh"]
    for rule in rules:
        sandbox.ok("DELETE", f"{GLOBAL}/firewalls/{rule}")
    sandbox.ok("DELETE", f"{GLOBAL}/networks/default")
    assert sandbox.get(f"{GLOBAL}/networks/default").status_code == 404
    services = f"serviceusage/v1/projects/{PROJECT}/services/compute.googleapis.com"
    sandbox.ok("POST", f"{services}:disable", {})
    sandbox.ok("POST", f"{services}:enable", {})
    assert sandbox.get(f"{GLOBAL}/networks/default").status_code == 404


def test_a_project_without_compute_has_none_until_it_is_turned_on(sandbox: Sandbox) -> None:
    sandbox.reset(services=[])
    assert not [one for one in sandbox.ok("GET", "_sandbox/state")["resources"] if "networks" in one["key"]]
    sandbox.ok("POST", f"serviceusage/v1/projects/{PROJECT}/services/compute.googleapis.com:enable", {})
    assert sandbox.ok("GET", f"{GLOBAL}/networks/default")["name"] == "default"
