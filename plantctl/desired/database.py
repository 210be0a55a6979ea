"""Bodies of the Cloud SQL instance, its database and users, and of the Cloud Run jobs that work inside the network."""

from __future__ import annotations

from plantctl.desired.network import connector_name, network_path
from plantctl.model.plant import Plant
from plantctl.model.step import Body, Later

INSTANCE_FIELDS = (
    "databaseVersion",
    "region",
    "settings.edition",
    "settings.activationPolicy",
    "settings.dataDiskType",
    "settings.dataDiskSizeGb",
    "settings.storageAutoResize",
    "settings.storageAutoResizeLimit",
    "settings.ipConfiguration.ipv4Enabled",
    "settings.ipConfiguration.privateNetwork",
    "settings.ipConfiguration.sslMode",
    "settings.databaseFlags",
    "settings.maintenanceWindow",
    "settings.deletionProtectionEnabled",
    "settings.retainBackupsOnDelete",
    "settings.finalBackupConfig",
)
"""What `database.instance.create` owns; tier, backup, availability and insights belong to items of their own.

`allocatedIpRange` only says from which range a new instance takes its address: one that gcloud made without it is none
the worse.
"""


def instance(plant: Plant) -> Body:
    """sqladmin v1 DatabaseInstance, as `sql.instances.insert` takes it (gcp-foundation section 2)."""
    database = plant.database
    return {
        "name": database.instance,
        "region": plant.region,
        "databaseVersion": database.version,
        "settings": {
            "tier": database.tier,
            "edition": database.edition,
            "availabilityType": database.availability,
            "activationPolicy": "ALWAYS",
            "dataDiskType": "PD_SSD",
            "dataDiskSizeGb": str(database.storage_gb),
            "storageAutoResize": True,
            "storageAutoResizeLimit": str(database.storage_limit_gb),
            "backupConfiguration": backup_configuration(plant),
            "ipConfiguration": {
                "ipv4Enabled": False,
                "privateNetwork": network_path(plant),
                "allocatedIpRange": plant.network.peering_range,
                "sslMode": "ENCRYPTED_ONLY",
            },
            "databaseFlags": flags(plant),
            "insightsConfig": insights(),
            "maintenanceWindow": {"day": 7, "hour": 5, "updateTrack": "stable"},
            "deletionProtectionEnabled": True,
            "retainBackupsOnDelete": True,
            "finalBackupConfig": {"enabled": True, "retentionDays": 30},
            "userLabels": plant.labels,
        },
    }


def backup_configuration(plant: Plant) -> Body:
    """Daily backup window, point-in-time recovery and log retention (ENTERPRISE: 1 to 7 days)."""
    return {
        "enabled": True,
        "startTime": f"{plant.database.backup_hour:02d}:00",
        "location": plant.database.backup_location,
        "pointInTimeRecoveryEnabled": True,
        "transactionLogRetentionDays": plant.database.log_retention_days,
        "backupRetentionSettings": {"retentionUnit": "COUNT", "retainedBackups": plant.database.retained_backups},
    }


def flags(plant: Plant) -> list[Body]:
    """One merged list: a patch replaces it whole. CIS 6.2 except 6.2.7, which the seed's slow-query log contradicts."""
    values = {
        "cloudsql.iam_authentication": "on",
        "log_connections": "on",
        "log_disconnections": "on",
        "log_error_verbosity": "default",
        "log_min_duration_statement": str(plant.database.slow_query_ms),
        "log_min_error_statement": "error",
        "log_min_messages": "warning",
        "log_statement": "ddl",
        "max_connections": str(plant.database.max_connections),
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def insights() -> Body:
    """Query Insights; client addresses are left out as personal data."""
    return {
        "queryInsightsEnabled": True,
        "queryStringLength": 1024,
        "recordApplicationTags": True,
        "recordClientAddress": False,
        "queryPlansPerMinute": 5,
    }


def database(plant: Plant) -> Body:
    """sqladmin v1 Database."""
    return {"name": plant.database.name, "charset": "UTF8", "collation": "en_US.UTF8"}


def job_name(plant: Plant, job_id: str) -> str:
    """`projects/p/locations/r/jobs/ID`."""
    return f"projects/{plant.project.id}/locations/{plant.region}/jobs/{job_id}"


def job(
    plant: Plant, *, image: str | Later, account: str, user: str, password: tuple[str, str | Later], network: Body
) -> Body:
    """run v2 Job of the backend image, inside the network, connecting as one role with one pinned secret version.

    `password`: secret id and version. `network`: private IP and server CA of the instance (`ip`, `ca`).
    """
    secret_id, version = password
    settings: dict[str, object] = {
        "ENVIRONMENT": plant.backend.environment,
        "LOG_LEVEL": plant.backend.log_level,
        "DB_HOST": network["ip"],
        "DB_PORT": "5432",
        "DB_NAME": plant.database.name,
        "DB_USER": user,
        "DB_CA": network["ca"],
        "DB_SSLMODE": "verify-ca",
    }
    env: list[Body] = [{"name": name, "value": value} for name, value in settings.items()]
    reference = {"secretKeyRef": {"secret": secret_id, "version": version}}
    env.append({"name": "DATABASE_PASSWORD", "valueSource": reference})
    return job_of(plant, image=image, account=account, args=["check", "all"], env=env)


def job_of(plant: Plant, *, image: str | Later, account: str, args: list[str], env: list[Body]) -> Body:
    """run v2 Job of the backend image, inside the network: one task, never tried again by itself."""
    return {
        "labels": plant.labels,
        "template": {
            "taskCount": 1,
            "template": {
                "serviceAccount": plant.service_account(account),
                "maxRetries": 0,
                "timeout": "600s",
                "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
                "vpcAccess": {
                    "connector": connector_name(plant),
                    "egress": "PRIVATE_RANGES_ONLY",
                },
                "containers": [
                    {
                        "image": image,
                        "args": args,
                        "env": env,
                        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
                    }
                ],
            },
        },
    }
