"""Bodies of the Memorystore instance, of its daily export, and of the Cloud Run job that looks at it from inside."""

from __future__ import annotations

import base64
import json
from datetime import date

from plantctl.desired.database import job_of
from plantctl.desired.network import network_path
from plantctl.model.plant import Plant
from plantctl.model.step import Body, Later

INSTANCE_FIELDS = (
    "redisVersion",
    "authorizedNetwork",
    "connectMode",
    "transitEncryptionMode",
    "authEnabled",
    "redisConfigs",
    "readReplicasMode",
    "maintenancePolicy.weeklyMaintenanceWindow",
)
"""What `cache.instance.create` owns; tier, size and snapshots belong to items of their own.

`reservedIpRange` comes back as a part of the range that was sent (hazards R07), so it is never compared.
"""
SNAPSHOT_TIME = "persistenceConfig.rdbSnapshotStartTime"


def instance_name(plant: Plant) -> str:
    """`projects/p/locations/r/instances/i`."""
    return f"projects/{plant.project.id}/locations/{plant.region}/instances/{plant.cache.instance}"


def instance(plant: Plant, first: date) -> Body:
    """redis v1 Instance (gcp-foundation section 3). `first`: day of the first snapshot, which the server moves on.

    `volatile-ttl`: the job queue's keys have no expiry and must stay. No `locationId`: the server chooses both zones.
    """
    cache = plant.cache
    return {
        "displayName": cache.instance,
        "tier": cache.tier,
        "memorySizeGb": cache.memory_gb,
        "redisVersion": cache.version,
        "authorizedNetwork": network_path(plant),
        "connectMode": "PRIVATE_SERVICE_ACCESS",
        "reservedIpRange": plant.network.peering_range,
        "replicaCount": 1,
        "readReplicasMode": "READ_REPLICAS_DISABLED",
        "authEnabled": True,
        "transitEncryptionMode": "SERVER_AUTHENTICATION",
        "redisConfigs": {"maxmemory-policy": "volatile-ttl"},
        "persistenceConfig": {
            "persistenceMode": "RDB",
            "rdbSnapshotPeriod": "TWENTY_FOUR_HOURS",
            "rdbSnapshotStartTime": f"{first.isoformat()}T{cache.backup_hour:02d}:00:00Z",
        },
        "maintenancePolicy": {"weeklyMaintenanceWindow": [{"day": "SUNDAY", "startTime": {"hours": 5}}]},
        "labels": plant.labels,
    }


def export_object(plant: Plant) -> str:
    """Always the same name: the bucket keeps versions, the noncurrent ones for 30 days (design section 10)."""
    return f"redis/{plant.cache.instance}.rdb"


def export_uri(plant: Plant) -> str:
    """Where the daily export goes."""
    return f"gs://{plant.bucket('backup')}/{export_object(plant)}"


def export_request(plant: Plant) -> Body:
    """redis v1 ExportInstanceRequest; an object that is there is overwritten (discovery)."""
    return {"outputConfig": {"gcsDestination": {"uri": export_uri(plant)}}}


def export_job_name(plant: Plant) -> str:
    """`projects/p/locations/r/jobs/plant-redis-export`."""
    return f"projects/{plant.project.id}/locations/{plant.region}/jobs/{plant.cache.instance}-export"


def export_job(plant: Plant) -> Body:
    """cloudscheduler v1 Job that posts the export to Memorystore itself, half an hour after the snapshot.

    Jobs have no labels, so the description carries the marker.
    """
    cache, request = plant.cache, json.dumps(export_request(plant), separators=(",", ":"))
    return {
        "name": export_job_name(plant),
        "description": f"Exports {cache.instance} to Cloud Storage every day. {plant.marker}",
        "schedule": f"30 {cache.backup_hour} * * *",
        "timeZone": "Etc/UTC",
        "attemptDeadline": "180s",
        "retryConfig": {"retryCount": 3, "minBackoffDuration": "60s", "maxBackoffDuration": "600s", "maxDoublings": 2},
        "httpTarget": {
            "uri": f"https://redis.googleapis.com/v1/{instance_name(plant)}:export",
            "httpMethod": "POST",
            "headers": {"Content-Type": "application/json"},
            "body": base64.b64encode(request.encode()).decode(),
            "oauthToken": {
                "serviceAccountEmail": plant.service_account("plant-backup-sa"),
                "scope": "https://www.googleapis.com/auth/cloud-platform",
            },
        },
    }


def job(plant: Plant, *, image: str | Later, address: tuple[str | Later, str | Later], versions: Body) -> Body:
    """run v2 Job that looks at Redis: the application's identity and way in, and nothing of the database.

    `address`: host and port. `versions`: the pinned version of each secret, by secret id.
    """
    host, port = address
    settings: dict[str, object] = {
        "ENVIRONMENT": plant.backend.environment,
        "LOG_LEVEL": plant.backend.log_level,
        "REDIS_HOST": host,
        "REDIS_PORT": port,
        "REDIS_TLS": "true",
    }
    env: list[Body] = [{"name": name, "value": value} for name, value in settings.items()]
    for secret_id, version in versions.items():
        env.append({"name": secret_id, "valueSource": {"secretKeyRef": {"secret": secret_id, "version": version}}})
    return job_of(plant, image=image, account="plant-backend-sa", args=["check", "redis"], env=env)
