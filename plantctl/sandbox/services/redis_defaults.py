"""What Memorystore for Redis fills in: defaults of a request, the next snapshot, the maintenance window's times."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from plantctl.sandbox.service import Call, World
from plantctl.sandbox.store import Body

OUTPUT_ONLY = frozenset(
    {
        *("createTime", "currentLocationId", "host", "port", "state", "statusMessage", "nodes", "readEndpoint"),
        *("readEndpointPort", "serverCaCerts", "persistenceIamIdentity", "maintenanceSchedule", "satisfiesPzi"),
        *("satisfiesPzs", "availableMaintenanceVersions", "name"),
    }
)
ZONES = {
    "us-central1": "abcf",
    "us-east1": "bcd",
    "us-east4": "abc",
    "us-west1": "abc",
    "europe-west1": "bcd",
    "europe-west2": "abc",
    "europe-west3": "abc",
    "europe-west4": "abc",
    "asia-east1": "abc",
    "asia-northeast1": "abc",
    "asia-south1": "abc",
    "asia-southeast1": "abc",
}
"""Regions with their zones (Compute Engine, "regions and zones"); the sandbox knows these."""
PERIODS = {"ONE_HOUR": 1, "SIX_HOURS": 6, "TWELVE_HOURS": 12, "TWENTY_FOUR_HOURS": 24}


def filled(call: Call, name: str) -> Body:
    """An instance as it is at once after a create, by the request (recorded exchange; discovery for what it lacks)."""
    given = {key: value for key, value in call.body.items() if key not in OUTPUT_ONLY and value not in ({}, [], "")}
    project, region = name.split("/")[1], name.split("/")[3]
    number = call.world.project_number(project)
    network = call.world.canonical(str(given.get("authorizedNetwork") or "default"))
    if "/" not in network:
        network = f"projects/{project}/global/networks/{network}"
    body: Body = {
        "tier": "",
        "redisVersion": "REDIS_7_0",
        "connectMode": "DIRECT_PEERING",
        "transitEncryptionMode": "DISABLED",
        "readReplicasMode": "READ_REPLICAS_DISABLED",
        **given,
        "name": name,
        "authorizedNetwork": network,
        "createTime": call.clock.rfc3339(),
        "persistenceConfig": persistence(call.world, given.get("persistenceConfig") or {}),
        "persistenceIamIdentity": f"serviceAccount:service-{number}@cloud-redis.iam.gserviceaccount.com",
    }
    if not body.get("authEnabled"):
        body.pop("authEnabled", None)
    if "maintenancePolicy" in body:
        body["maintenancePolicy"] = maintenance(call.world, body["maintenancePolicy"], {})
    return _placed(body, region)


def _placed(body: Body, region: str) -> Body:
    """Zones and number of replicas where the request leaves them to the server."""
    zones = [f"{region}-{letter}" for letter in ZONES.get(region, "abc")]
    other = body.get("alternativeLocationId")
    body.setdefault("locationId", next(zone for zone in zones if zone != other))
    if body["tier"] == "STANDARD_HA":
        body.setdefault("alternativeLocationId", next(zone for zone in zones if zone != body["locationId"]))
        body.setdefault("replicaCount", 2 if body["readReplicasMode"] == "READ_REPLICAS_ENABLED" else 1)
    return body


def nodes(body: Body) -> list[Body]:
    """node-0 where the instance was asked to be, node-1 in the other zone, more by turns."""
    zones = [body["locationId"], body.get("alternativeLocationId", "")]
    count = 1 + (int(body.get("replicaCount", 0)) if body["tier"] == "STANDARD_HA" else 0)
    return [{"id": f"node-{place}", "zone": zones[place % 2]} for place in range(count)]


def persistence(world: World, given: Body) -> Body:
    """The configuration with its defaults; without a mode none (recorded exchange)."""
    if given.get("persistenceMode", "DISABLED") != "RDB":
        return {"persistenceMode": "DISABLED"}
    start = str(given.get("rdbSnapshotStartTime") or world.clock.rfc3339())
    filled = {"rdbSnapshotPeriod": "TWENTY_FOUR_HOURS", **given, "rdbSnapshotStartTime": start}
    return {**filled, "rdbNextSnapshotTime": next_snapshot(world, filled)}


def next_snapshot(world: World, config: Body) -> str:
    """The first moment after now that lies whole periods after the start (discovery, rdbSnapshotPeriod)."""
    try:
        start = moment(config["rdbSnapshotStartTime"])
    except ValueError:
        return ""  # refused by the rules in a moment
    period = timedelta(hours=PERIODS.get(config["rdbSnapshotPeriod"], 24))
    periods = max(0, math.floor((world.clock.now() - start) / period) + 1)
    return world.clock.rfc3339(start + periods * period)


def maintenance(world: World, given: Body, before: Body) -> Body:
    """Times of making and change, and the window's length of an hour (discovery, WeeklyMaintenanceWindow)."""
    now = world.clock.rfc3339()
    windows = [{**window, "duration": "3600s"} for window in given.get("weeklyMaintenanceWindow", [])]
    created = before.get("createTime", now)
    return {**given, "weeklyMaintenanceWindow": windows, "createTime": created, "updateTime": now}


def moment(text: str) -> datetime:
    """A time of the API; ValueError for what is none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
