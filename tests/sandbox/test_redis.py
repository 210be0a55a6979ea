"""Memorystore's control plane through Google's generated client over REST: what is filled in, refused and changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import redis_v1
from google.protobuf.field_mask_pb2 import FieldMask

from tests.sandbox import redis_kit as kit
from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

Client = redis_v1.CloudRedisClient
State = redis_v1.Instance.State


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A network with private services access."""
    kit.network(sandbox)
    return sandbox


@pytest.fixture
def client(box: Sandbox) -> Iterator[Client]:
    """The generated client."""
    options = ClientOptions(api_endpoint=f"{box.rest}/redis")
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    with Client(credentials=credentials, transport="rest", client_options=options) as client:
        yield client


def wanted(**more: Any) -> redis_v1.Instance:
    """The plant's instance, as the client writes it."""
    return redis_v1.Instance(
        tier="STANDARD_HA",
        memory_size_gb=1,
        redis_version="REDIS_7_0",
        authorized_network=kit.NETWORK,
        connect_mode="PRIVATE_SERVICE_ACCESS",
        auth_enabled=True,
        transit_encryption_mode="SERVER_AUTHENTICATION",
        redis_configs={"maxmemory-policy": "volatile-ttl"},
        labels={"managed-by": "plantctl"},
        persistence_config={
            "persistence_mode": "RDB",
            "rdb_snapshot_period": "TWENTY_FOUR_HOURS",
            "rdb_snapshot_start_time": "2026-01-01T03:00:00Z",
        },
        maintenance_policy={"weekly_maintenance_window": [{"day": "SUNDAY", "start_time": {"hours": 5}}]},
        **more,
    )


def ended(operation: Any) -> Any:
    """What a long-running operation ends with; raises when that is an error."""
    return operation.result(timeout=30)


def create(client: Client, **more: Any) -> Any:
    """The instance when it is there."""
    return ended(client.create_instance(parent=kit.LOCATION, instance_id="plant-redis", instance=wanted(**more)))


def update(client: Client, *paths: str, **fields: Any) -> Any:
    """The instance after a patch of these fields."""
    given = redis_v1.Instance(name=kit.ONE, **fields)
    return ended(client.update_instance(update_mask=FieldMask(paths=paths), instance=given))


def test_an_instance_gets_what_the_recording_and_the_documents_show(client: Client) -> None:
    made = create(client, reserved_ip_range="psa")
    assert made.name == kit.ONE
    assert made.state is State.READY
    assert (made.port, made.current_location_id) == (6378, "us-central1-a")
    assert (made.location_id, made.alternative_location_id) == ("us-central1-a", "us-central1-b")
    assert [(node.id, node.zone) for node in made.nodes] == [
        ("node-0", "us-central1-a"),
        ("node-1", "us-central1-b"),
    ]
    assert made.replica_count == 1
    assert made.read_endpoint == ""
    assert made.reserved_ip_range.endswith("/29")
    assert made.reserved_ip_range.split(".")[:2] == made.host.split(".")[:2]
    assert made.persistence_iam_identity == f"serviceAccount:service-{NUMBER}@cloud-redis.iam.gserviceaccount.com"
    assert made.persistence_config.rdb_next_snapshot_time.hour == 3
    assert made.persistence_config.rdb_next_snapshot_time > made.create_time
    assert made.maintenance_policy.weekly_maintenance_window[0].duration.seconds == 3600
    (authority,) = made.server_ca_certs
    assert "BEGIN CERTIFICATE" in authority.cert
    assert authority.expire_time.year - authority.create_time.year == 10
    assert client.get_instance(name=kit.ONE) == made
    assert [one.name for one in client.list_instances(parent=f"projects/{PROJECT}/locations/-")] == [kit.ONE]
    assert list(client.list_instances(parent=f"projects/{PROJECT}/locations/us-east1")) == []


def test_the_basic_tier_by_defaults(box: Sandbox, client: Client) -> None:
    plain = redis_v1.Instance(tier="BASIC", memory_size_gb=2)
    made = ended(client.create_instance(parent=kit.LOCATION, instance_id="basic", instance=plain))
    assert (made.port, made.redis_version, made.replica_count) == (6379, "REDIS_7_0", 0)
    assert made.connect_mode is redis_v1.Instance.ConnectMode.DIRECT_PEERING
    assert made.authorized_network == f"projects/{PROJECT}/global/networks/default"
    assert made.persistence_config.persistence_mode is redis_v1.PersistenceConfig.PersistenceMode.DISABLED
    assert len(made.nodes) == 1
    assert client.get_instance_auth_string(name=made.name).auth_string == ""
    with pytest.raises(exceptions.BadRequest, match="standard tier"):
        client.failover_instance(name=made.name)


def test_auth_is_rotated_by_turning_it_off_and_on(client: Client) -> None:
    create(client)
    first = client.get_instance_auth_string(name=kit.ONE).auth_string
    assert len(first) == 36
    assert update(client, "auth_enabled", auth_enabled=True).auth_enabled
    assert client.get_instance_auth_string(name=kit.ONE).auth_string == first
    assert not update(client, "auth_enabled", auth_enabled=False).auth_enabled
    assert client.get_instance_auth_string(name=kit.ONE).auth_string == ""
    update(client, "auth_enabled", auth_enabled=True)
    assert client.get_instance_auth_string(name=kit.ONE).auth_string not in ("", first)


def test_a_patch_changes_the_fields_of_its_mask_alone(client: Client) -> None:
    made = create(client)
    changed = update(client, "display_name", display_name="Plant", memory_size_gb=4)
    assert (changed.display_name, changed.memory_size_gb) == ("Plant", 1)  # recorded exchange
    configs = {"maxmemory-policy": "allkeys-lru", "notify-keyspace-events": "Ex"}
    changed = update(client, "memory_size_gb", "redis_configs", memory_size_gb=3, redis_configs=configs)
    assert (changed.memory_size_gb, dict(changed.redis_configs)) == (3, configs)
    changed = update(client, "persistence_config", persistence_config={"rdb_snapshot_period": "SIX_HOURS"})
    assert changed.persistence_config.persistence_mode is redis_v1.PersistenceConfig.PersistenceMode.RDB
    changed = update(client, "persistence_config", persistence_config={"persistence_mode": "DISABLED"})
    assert not changed.persistence_config.rdb_next_snapshot_time
    assert changed.labels == made.labels


def test_read_replicas_bring_an_endpoint(client: Client) -> None:
    create(client)
    with pytest.raises(exceptions.BadRequest, match="must be enabled on the instance"):
        update(client, "replica_count", replica_count=2)
    update(client, "memory_size_gb", memory_size_gb=5)
    reading = update(client, "read_replicas_mode", read_replicas_mode="READ_REPLICAS_ENABLED")
    assert (reading.replica_count, reading.read_endpoint_port) == (2, 6378)
    assert reading.read_endpoint.rsplit(".", 1)[0] == reading.host.rsplit(".", 1)[0]
    assert len(reading.nodes) == 3
    with pytest.raises(exceptions.BadRequest, match="cannot be disabled"):
        update(client, "read_replicas_mode", read_replicas_mode="READ_REPLICAS_DISABLED")


@pytest.mark.parametrize(
    "path", ["tier", "authorized_network", "connect_mode", "transit_encryption_mode", "redis_config"]
)
def test_what_is_immutable_stays(box: Sandbox, path: str) -> None:
    kit.make(box)
    words = kit.refused(box, "PATCH", f"{kit.REST}/plant-redis?updateMask=labels,{path}", {"tier": "BASIC"})
    assert words == f"Invalid option '{path}': '{path}' cannot be updated on existing instances."
    assert kit.refused(box, "PATCH", f"{kit.REST}/plant-redis", {"tier": "BASIC"}) == "Update mask is empty"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "version": ({"redisVersion": "7.0"}, "not supported"),
    "size": ({"memorySizeGb": 301}, "between 1 GB and 300 GB"),
    "no tier": ({"tier": "TIER_UNSPECIFIED"}, "Tier must be"),
    "policy": ({"redisConfigs": {"maxmemory-policy": "lru"}}, "Invalid value lru"),
    "config": ({"redisConfigs": {"appendonly": "yes"}}, "not supported by REDIS_7_0"),
    "too new": ({"redisVersion": "REDIS_3_2", "redisConfigs": {"lfu-decay-time": "1"}}, "not supported by REDIS_3_2"),
    "maxmemory": ({"redisConfigs": {"maxmemory-gb": "2"}}, "larger than the instance"),
    "replicas": ({"replicaCount": 2}, 'requires read-replicas-mode to be "READ_REPLICAS_ENABLED"'),
    "basic replicas": ({"tier": "BASIC", "replicaCount": 1}, "basic tier"),
    "small readers": ({"readReplicasMode": "READ_REPLICAS_ENABLED"}, "at least 5 GB"),
    "zone": ({"locationId": "us-east1-b"}, "not in region"),
    "same zone": ({"locationId": "us-central1-a", "alternativeLocationId": "us-central1-a"}, "differs"),
    "network": ({"authorizedNetwork": "projects/other/global/networks/n"}, "must exist in the same project"),
    "no network": ({"authorizedNetwork": f"projects/{PROJECT}/global/networks/n"}, "was not found"),
    "range": ({"connectMode": "DIRECT_PEERING", "reservedIpRange": "10.0.0.0/30"}, "minimum of /29"),
    "windows": ({"maintenancePolicy": {"weeklyMaintenanceWindow": []}}, "one weekly window"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_at_once(box: Sandbox, case: str) -> None:
    change, words = REFUSED[case]
    assert words in kit.refused(box, "POST", f"{kit.REST}?instanceId=plant-redis", kit.body(**change))
    assert box.get(f"{kit.REST}/plant-redis").status_code == 404


def test_names(box: Sandbox) -> None:
    missing = box.get(f"{kit.REST}/plant-redis")
    assert missing.json()["error"]["message"] == f"Resource '{kit.ONE}' was not found"
    assert "1 to 40" in kit.refused(box, "POST", f"{kit.REST}?instanceId=Plant", kit.body())
    kit.make(box)
    words = kit.refused(box, "POST", f"{kit.REST}?instanceId=plant-redis", kit.body(), 409)
    assert words == f"Resource '{kit.ONE}' already exists"


def test_without_private_services_access_the_operation_fails_and_nothing_stays(sandbox: Sandbox) -> None:
    kit.network(sandbox, connect=False)
    done = kit.settle(sandbox, sandbox.ok("POST", f"{kit.REST}?instanceId=plant-redis", kit.body()))
    assert (done["error"]["code"], done["error"]["message"].split(".")[0]) == (
        9,
        "Google private service access is not enabled",
    )
    assert sandbox.get(f"{kit.REST}/plant-redis").status_code == 404


def test_addresses_do_not_overlap_and_hold_the_peering(box: Sandbox) -> None:
    blocks = {kit.make(box, name)["reservedIpRange"] for name in ("plant-redis", "second", "third")}
    assert len(blocks) == 3
    path = "servicenetworking/v1/services/servicenetworking.googleapis.com/connections/servicenetworking-googleapis-com"
    consumer = {"consumerNetwork": f"projects/{NUMBER}/global/networks/plant-network"}
    done = kit.settle(box, box.ok("POST", f"{path}:deleteConnection", consumer), "servicenetworking")
    assert "still using this connection" in done["error"]["message"]


def test_one_operation_at_a_time(box: Sandbox) -> None:
    kit.make(box)
    box.call("PUT", "_sandbox/clock", {"speed": 1})
    box.ok("POST", f"{kit.REST}/plant-redis:failover", {})
    assert box.ok("GET", f"{kit.REST}/plant-redis")["state"] == "FAILING_OVER"
    busy = "due to ongoing operations. Please wait until instance is in READY state."
    assert kit.refused(box, "POST", f"{kit.REST}/plant-redis:failover", {}) == f"Unable to failover {busy}"
    assert busy in kit.refused(box, "PATCH", f"{kit.REST}/plant-redis?updateMask=labels", {"labels": {"a": "b"}})
    assert busy in kit.refused(box, "DELETE", f"{kit.REST}/plant-redis", {})


def test_failover_upgrade_and_maintenance(box: Sandbox) -> None:
    kit.make(box)
    done = kit.act(box, "failover", dataProtectionMode="LIMITED_DATA_LOSS")
    assert done["metadata"]["verb"] == "failover"
    assert done["response"]["currentLocationId"] == "us-central1-b"
    assert box.ok("GET", f"{kit.REST}/plant-redis")["currentLocationId"] == "us-central1-b"
    assert "Cannot upgrade" in kit.refused(
        box, "POST", f"{kit.REST}/plant-redis:upgrade", {"redisVersion": "REDIS_6_X"}
    )
    assert kit.act(box, "upgrade", redisVersion="REDIS_7_2")["response"]["redisVersion"] == "REDIS_7_2"
    path = f"{kit.REST}/plant-redis:rescheduleMaintenance"
    assert "no scheduled maintenance" in kit.refused(box, "POST", path, {"rescheduleType": "IMMEDIATE"})
    assert "Schedule time" in kit.refused(box, "POST", path, {"rescheduleType": "SPECIFIC_TIME"})


def test_delete_and_the_records_of_operations(box: Sandbox) -> None:
    kit.make(box)
    done = kit.settle(box, box.ok("DELETE", f"{kit.REST}/plant-redis"))
    assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert box.get(f"{kit.REST}/plant-redis").status_code == 404
    listed = box.ok("GET", f"redis/v1/{kit.LOCATION}/operations")["operations"]
    assert [one["metadata"]["verb"] for one in listed] == ["delete", "create"]
    box.ok("DELETE", f"redis/v1/{done['name']}")
    assert box.get(f"redis/v1/{done['name']}").status_code == 404


def test_a_planned_failure_of_an_update_leaves_what_was(box: Sandbox) -> None:
    kit.make(box)
    method = "redis.projects.locations.instances.patch"
    box.faults({"match": method, "when": "on_poll", "do": {"lro_error": {"code": 13, "message": "internal"}}})
    done = kit.change(box, "memorySizeGb", memorySizeGb=2)
    assert done["error"]["message"] == "internal"
    left = box.ok("GET", f"{kit.REST}/plant-redis")
    assert (left["state"], left["memorySizeGb"]) == ("READY", 1)


def test_locations_know_their_zones(box: Sandbox) -> None:
    listed = box.ok("GET", f"redis/v1/projects/{PROJECT}/locations")["locations"]
    assert "us-central1" in [one["locationId"] for one in listed]
    one = box.ok("GET", f"redis/v1/{kit.LOCATION}")
    assert "us-central1-f" in one["metadata"]["availableZones"]
