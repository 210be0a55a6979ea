"""plantctl's seam to Google against the sandbox: one write of every class, its answer lost before and after the commit.

Whatever is lost, the resource is there once in the end, and the wire log and the journal tell of the same requests.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from plantctl.gcp import operations
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.iam_policy import Grant, add_grants, missing_grants
from plantctl.gcp.resource import RestResource, Row
from plantctl.gcp.target import sandbox_target
from plantctl.model.step import Body
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.unit.gcp.fakes import Memory, Recorder

SECRETS = "secretmanager.projects.secrets"
CACHES = "redis.projects.locations.instances"
POLICIES = "monitoring.projects.alertPolicies"
OURS = {"managed-by": "plantctl"}


class Clock:
    """The machine's own, for what the sandbox does takes real time."""

    def __init__(self) -> None:
        from plantctl.clock import SystemClock

        self._real = SystemClock()
        self.now, self.monotonic, self.sleep = self._real.now, self._real.monotonic, self._real.sleep


class World:
    """The seam, its record, and the sandbox that it speaks to."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.recorder = Recorder()
        target = sandbox_target(sandbox.app.endpoints, project=PROJECT, region="us-central1")
        self.gcp = Gcp(target, self.recorder, Memory(), Clock())
        self.since = len(sandbox.wire())

    def managed(self, row: Row) -> RestResource:
        """A resource with the plant's marker."""
        return RestResource(self.gcp, row, labels=OURS, description="managed-by=plantctl")


def n_secret(world: World) -> int:
    """N, by a typed client."""
    row = Row(
        name="S",
        get=(f"{SECRETS}.get", {"name": f"projects/{PROJECT}/secrets/S"}),
        create=(f"{SECRETS}.create", {"parent": f"projects/{PROJECT}", "secretId": "S"}),
        marker="labels",
    )
    world.managed(row).create({"replication": {"automatic": {}}, "labels": OURS})
    found = world.sandbox.ok("GET", f"secretmanager/v1/projects/{PROJECT}/secrets")
    return len(found["secrets"])


def n_bucket(world: World) -> int:
    """N, by a discovery document."""
    row = Row(
        name="b",
        get=("storage.buckets.get", {"bucket": "plant-test-b"}),
        create=("storage.buckets.insert", {"project": PROJECT}),
        marker="labels",
    )
    world.managed(row).create({"name": "plant-test-b", "location": "US-CENTRAL1", "labels": OURS})
    return len(world.gcp.list("storage.buckets.list", "items", project=PROJECT))


def n_cache(world: World) -> int:
    """N, by a typed client, with an operation that has to be waited for."""
    parent = f"projects/{PROJECT}/locations/us-central1"
    row = Row(
        name="r",
        get=(f"{CACHES}.get", {"name": f"{parent}/instances/r"}),
        create=(f"{CACHES}.create", {"parent": parent, "instanceId": "r"}),
        marker="labels",
    )
    world.managed(row).create({"tier": "BASIC", "memorySizeGb": 1, "labels": OURS})
    found = world.sandbox.ok("GET", f"redis/v1/{parent}/instances")["instances"]
    return sum(one["state"] == "READY" for one in found)


def r_network(world: World) -> int:
    """R: the request id makes the second sending the first."""
    place: dict[str, Any] = {"project": PROJECT}
    answer = world.gcp.call("compute.networks.insert", {"name": "n", "autoCreateSubnetworks": False}, **place)
    operations.wait(world.gcp, "compute.networks.insert", answer, deadline_s=30)
    found = world.gcp.list("compute.networks.list", "items", **place)
    return sum(network["name"] == "n" for network in found)


def p_policy(world: World) -> int:
    """P: the etag refuses a second one, and the policy is read again."""
    member = f"serviceAccount:sa@{PROJECT}.iam.gserviceaccount.com"
    world.gcp.call("iam.projects.serviceAccounts.create", {"accountId": "sa-of-p"}, name=f"projects/{PROJECT}")
    member = f"serviceAccount:sa-of-p@{PROJECT}.iam.gserviceaccount.com"
    grant = Grant(kind="project", resource=PROJECT, role="roles/viewer", member=member)
    add_grants(world.gcp, (grant,))
    assert missing_grants(world.gcp, (grant,)) == ()
    policy = world.gcp.call("cloudresourcemanager.projects.getIamPolicy", {}, resource=f"projects/{PROJECT}")
    return sum(member in binding["members"] for binding in policy["bindings"])


def u_services(world: World) -> int:
    """U: enabled twice is enabled."""
    wanted = ["redis.googleapis.com", "dns.googleapis.com"]
    method = "serviceusage.services.batchEnable"
    answer = world.gcp.call(method, {"serviceIds": wanted}, parent=f"projects/{PROJECT}")
    operations.wait(world.gcp, method, answer, deadline_s=30)
    return 1


def x_version(world: World) -> int:
    """X: looked for before it is sent again."""
    parent = f"projects/{PROJECT}/secrets/X"
    world.gcp.call(f"{SECRETS}.create", {"replication": {"automatic": {}}}, parent=f"projects/{PROJECT}", secretId="X")

    def newest() -> Body | None:
        return next(iter(world.gcp.list(f"{SECRETS}.versions.list", "versions", parent=parent)), None)

    data = base64.b64encode(b"value").decode()
    made = world.gcp.call(f"{SECRETS}.addVersion", {"payload": {"data": data}}, parent=parent, read_back=newest)
    assert made["name"].endswith("/versions/1")
    return len(world.gcp.list(f"{SECRETS}.versions.list", "versions", parent=parent))


def x_policy(world: World) -> int:
    """X, by gRPC: looked for by its label."""
    labels = {"managed-by": "plantctl", "plantctl-item": "cache"}
    threshold = {
        "filter": 'metric.type="redis.googleapis.com/replication/role" AND resource.type="redis_instance"',
        "comparison": "COMPARISON_GT",
        "duration": "0s",
    }
    conditions = [{"displayName": "c", "conditionThreshold": threshold}]
    body = {"displayName": "p", "combiner": "OR", "userLabels": labels, "conditions": conditions}
    ours = {"name": f"projects/{PROJECT}", "filter": 'user_labels.plantctl-item="cache"'}

    def there() -> Body | None:
        return next(iter(world.gcp.list(f"{POLICIES}.list", "alertPolicies", **ours)), None)

    made = world.gcp.call(f"{POLICIES}.create", body, name=f"projects/{PROJECT}", read_back=there)
    assert made == there()
    return len(world.gcp.list(f"{POLICIES}.list", "alertPolicies", name=f"projects/{PROJECT}"))


CASES: dict[str, Callable[[World], int]] = {
    f"{SECRETS}.create": n_secret,
    "storage.buckets.insert": n_bucket,
    f"{CACHES}.create": n_cache,
    "compute.networks.insert": r_network,
    "cloudresourcemanager.projects.setIamPolicy": p_policy,
    "serviceusage.services.batchEnable": u_services,
    f"{SECRETS}.addVersion": x_version,
    f"{POLICIES}.create": x_policy,
}
FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "lost after": {"when": "after_commit", "do": "reset"},
    "lost before": {"do": "reset"},
    "cut after": {"when": "after_commit", "do": "truncate:7"},
    "busy before": {"do": {"status": 503}},
    "limited": {"do": {"status": 429, "reason": "RATE_LIMIT_EXCEEDED"}},
}
SENT_AGAIN = {"compute.networks.insert", "serviceusage.services.batchEnable"}
"""Classes R and U are repeated without a look, because a second sending is the first."""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", CASES)
def test_one_write_one_resource_one_record(sandbox: Sandbox, method: str, fault: str) -> None:
    if method.startswith("serviceusage."):
        sandbox.reset(services=["serviceusage", "cloudresourcemanager"])
    sandbox.faults(*([{"match": method, **FAULTS[fault]}] if FAULTS[fault] else []))
    world = World(sandbox)
    assert CASES[method](world) == 1
    assert sandbox.ok("GET", "_sandbox/faults")["unfired"] == []
    wire = [one for one in sandbox.wire(world.since) if one["mutating"]]
    assert [one["method_id"] for one in wire] == [
        fields["method_id"] for kind, fields in world.recorder.log if kind == "attempt"
    ]
    # joined by the reason, whichever way a request came
    attempts = [f"plantctl/r1/a{number + 1}" for number in range(len(wire))]
    assert [one["reason"] for one in wire] == attempts
    assert {one["transport"] for one in wire if one["method_id"] == method} == {
        "grpc" if method.startswith("monitoring.") else "rest"
    }
    again = fault in ("lost before", "busy before", "limited") or (
        fault in ("lost after", "cut after") and method in SENT_AGAIN
    )
    assert sum(one["method_id"] == method for one in wire) == (2 if again else 1)
