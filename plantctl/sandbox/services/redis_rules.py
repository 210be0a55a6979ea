"""What Memorystore for Redis refuses: the rules of an instance's fields and those between them.

Words that are marked `seen` stand in public issues; the others are unverified.
"""

from __future__ import annotations

import ipaddress
import re

from plantctl.sandbox import standard
from plantctl.sandbox.errors import failed_precondition
from plantctl.sandbox.service import World
from plantctl.sandbox.services.redis_base import bad
from plantctl.sandbox.services.redis_defaults import moment
from plantctl.sandbox.store import Body

INSTANCE_ID = re.compile(r"[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?")
"""1 to 40 characters (instances.create, discovery)."""
VERSIONS = ("REDIS_3_2", "REDIS_4_0", "REDIS_5_0", "REDIS_6_X", "REDIS_7_0", "REDIS_7_2")
PATCHABLE = frozenset(
    {
        *("displayName", "labels", "memorySizeGb", "redisConfigs", "replicaCount", "readReplicasMode"),
        *("authEnabled", "persistenceConfig", "maintenancePolicy", "maintenanceVersion", "secondaryIpRange"),
    }
)
"""What gcloud's update and Terraform's provider patch; every other field is immutable (hazards R06)."""
LARGEST_GB = 300
POLICIES = frozenset(
    {
        *("noeviction", "allkeys-lfu", "allkeys-lru", "volatile-lfu", "volatile-lru"),
        *("allkeys-random", "volatile-random", "volatile-ttl"),
    }
)
SWITCH = re.compile("yes|no")
WHOLE = re.compile(r"[0-9]{1,18}")
CONFIGS: dict[str, tuple[str, re.Pattern[str]]] = {
    "maxmemory-policy": ("REDIS_3_2", re.compile("|".join(POLICIES))),
    "notify-keyspace-events": ("REDIS_3_2", re.compile("[KEg$lshzxetmdnA]*")),
    "databases": ("REDIS_3_2", re.compile("[1-9][0-9]?|100")),
    "activedefrag": ("REDIS_4_0", SWITCH),
    "lfu-decay-time": ("REDIS_4_0", WHOLE),
    "lfu-log-factor": ("REDIS_4_0", WHOLE),
    "maxmemory-gb": ("REDIS_4_0", re.compile(r"[0-9]+(\.[0-9]+)?")),
    "stream-node-max-bytes": ("REDIS_5_0", WHOLE),
    "stream-node-max-entries": ("REDIS_5_0", WHOLE),
    "lazyfree-lazy-eviction": ("REDIS_7_0", SWITCH),
    "lazyfree-lazy-expire": ("REDIS_7_0", SWITCH),
    "lazyfree-lazy-user-del": ("REDIS_7_0", SWITCH),
    "lazyfree-lazy-user-flush": ("REDIS_7_0", SWITCH),
}
"""Oldest version and form of each (supported Redis configurations page; discovery, Instance.redisConfigs)."""


def check(world: World, body: Body) -> None:
    """Every rule of an instance that is about to be, its defaults filled in."""
    _check_size(body)
    version = body["redisVersion"]
    if version not in VERSIONS:
        words = f"Redis version {version} is not supported. Supported versions: {', '.join(VERSIONS)}."
        raise bad(words, "instance.redis_version", version)
    _check_configs(body)
    _check_replicas(body)
    _check_zones(body)
    _check_network(world, body)
    _check_range(body)
    check_persistence(body["persistenceConfig"])
    policy = body.get("maintenancePolicy") or {}
    if len(policy.get("description", "")) > 512 or len(policy.get("weeklyMaintenanceWindow", [{}])) != 1:
        raise bad("A maintenance policy has one weekly window and a short description.", "instance.maintenance_policy")


def patched_fields(mask: str) -> set[str]:
    """The fields that an update mask names; refuses an empty one, and fields that are immutable (hazards R06)."""
    paths = [path.strip() for path in mask.split(",") if path.strip()]
    if not paths:
        raise bad("Update mask is empty", "update_mask")  # seen: k8s-config-connector#392
    names = set()
    for place, path in enumerate(paths):
        name = standard.camel(path).split(".")[0]
        if name not in PATCHABLE:  # seen: google-api-go-client#1983
            words = f"Invalid option '{path}': '{path}' cannot be updated on existing instances."
            raise bad(words, f"update_mask.paths.{place}", path)
        names.add(name)
    return names


def check_change(before: Body, after: Body, names: set[str]) -> None:
    """Rules between what an instance is and what it is to be."""
    enabled = after["readReplicasMode"] == "READ_REPLICAS_ENABLED"
    if "replicaCount" in names and after.get("replicaCount") != before.get("replicaCount") and not enabled:
        # seen, up to `update`: mozilla/terraform-modules#323
        raise failed_precondition(
            "Read Replicas mode must be enabled on the instance in order to update the replica count."
        )
    if before["readReplicasMode"] == "READ_REPLICAS_ENABLED" and not enabled:
        raise failed_precondition("Read replicas cannot be disabled once they are enabled.")


def check_persistence(config: Body) -> None:
    """A start time must be one."""
    given = config.get("rdbSnapshotStartTime")
    if given is not None:
        try:
            moment(str(given))
        except ValueError:
            field = "instance.persistence_config.rdb_snapshot_start_time"
            raise bad("The snapshot start time is not valid.", field, given) from None


def _check_size(body: Body) -> None:
    if body["tier"] not in ("BASIC", "STANDARD_HA"):
        raise bad("Tier must be specified.", "instance.tier", body["tier"])
    size = int(body.get("memorySizeGb") or 0)
    if not 1 <= size <= LARGEST_GB:
        words = f"Memory size must be between 1 GB and {LARGEST_GB} GB."
        raise bad(words, "instance.memory_size_gb", size)


def _check_configs(body: Body) -> None:
    age = VERSIONS.index(body["redisVersion"])
    for key, value in (body.get("redisConfigs") or {}).items():
        since, form = CONFIGS.get(key, ("", SWITCH))
        if not since or VERSIONS.index(since) > age:
            words = f"Redis config {key} is not supported by {body['redisVersion']}."
            raise bad(words, "instance.redis_configs", key)
        if not form.fullmatch(value):
            raise bad(f"Invalid value {value} of Redis config {key}.", "instance.redis_configs", value)
    limit = float((body.get("redisConfigs") or {}).get("maxmemory-gb", 1))
    if not 0 < limit <= int(body["memorySizeGb"]):
        raise bad("maxmemory-gb must not be larger than the instance.", "instance.redis_configs", limit)


def _check_replicas(body: Body) -> None:
    count, enabled = int(body.get("replicaCount", 0)), body["readReplicasMode"] == "READ_REPLICAS_ENABLED"
    if body["tier"] == "BASIC":  # discovery, Instance.replicaCount and readReplicasMode
        if count or enabled:
            raise bad("Read replicas are not valid for the basic tier.", "instance.read_replicas_mode", count)
        return
    if not enabled and count != 1:  # seen: terraform-provider-google#14734
        words = 'Setting replica count requires read-replicas-mode to be "READ_REPLICAS_ENABLED"'
        raise bad(words, "instance.replica_count", count)
    if enabled and not 1 <= count <= 5:
        raise bad("Replica count must be between 1 and 5.", "instance.replica_count", count)
    if enabled and int(body["memorySizeGb"]) < 5:  # read replicas page: 5 GB and up
        raise bad("Read replicas need an instance of at least 5 GB.", "instance.memory_size_gb", body["memorySizeGb"])


def _check_zones(body: Body) -> None:
    region = body["name"].split("/")[3]
    first, second = body["locationId"], body.get("alternativeLocationId")
    for field, zone in (("location_id", first), ("alternative_location_id", second)):
        if zone and not zone.startswith(f"{region}-"):
            raise bad(f"Zone {zone} is not in region {region}.", f"instance.{field}", zone)
    if second and (body["tier"] == "BASIC" or second == first):  # discovery, Instance.alternativeLocationId
        words = "alternative_location_id is for the standard tier, and differs from location_id."
        raise bad(words, "instance.alternative_location_id", second)


def _check_network(world: World, body: Body) -> None:
    network, project = body["authorizedNetwork"], body["name"].split("/")[1]
    if not network.startswith(f"projects/{project}/"):  # seen: hazards R02
        words = "authorized_network must exist in the same project as redis instance"
        raise bad(words, "instance.authorized_network", network)
    if f"compute/{network}" not in world.store:
        raise bad(f"Network {network} was not found.", "instance.authorized_network", network)


def _check_range(body: Body) -> None:
    given = body.get("reservedIpRange")
    if not given or body["connectMode"] == "PRIVATE_SERVICE_ACCESS" or body.get("host"):
        return
    try:
        block = ipaddress.ip_network(str(given))
    except ValueError:
        raise bad(f"Invalid IP range: {given}.", "instance.reserved_ip_range", given) from None
    if block.prefixlen > smallest(body):  # seen: magic-modules#5449, for read replicas
        need = "when read replica is enabled" if smallest(body) == 28 else "for an instance"
        words = f"Invalid IP range: {given}. Require a minimum of /{smallest(body)} block size {need}."
        raise bad(words, "instance.reserved_ip_range", given)


def smallest(body: Body) -> int:
    """Prefix length of the smallest block that holds an instance (discovery, Instance.reservedIpRange)."""
    return 28 if body["readReplicasMode"] == "READ_REPLICAS_ENABLED" else 29


def older(version: str, than: str) -> bool:
    """Whether a version is not newer than another; unknown ones are refused."""
    if version not in VERSIONS:
        raise bad(f"Redis version {version} is not supported.", "redis_version", version)
    return VERSIONS.index(version) <= VERSIONS.index(than)
