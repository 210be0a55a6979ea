"""Every body of `plantctl/desired` for the default plant, with the schema that it must fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from plantctl.desired import backend, cache, database, image, monitoring, network, project, secrets, storage
from plantctl.model.plant import Plant
from plantctl.model.step import Body

PLANT = Plant()
NUMBER = "123456789"
DIGEST = "sha256:" + "d1" * 32
SOURCE = "023d44cc26289a8172d24f62cc9b89dd96ee2db419d701062296cd45e020ca1c"
"""The digest of tests/steps/source, which the cases of the image's items build."""
NETWORK: Body = {"ip": "10.33.0.3", "ca": "-----BEGIN CERTIFICATE-----\nQ0E=\n-----END CERTIFICATE-----"}

SERVING: dict[str, dict[str, backend.Known]] = {
    "values": {
        "DB_HOST": "10.33.0.3",
        "DB_CA": str(NETWORK["ca"]),
        "REDIS_HOST": "10.33.0.4",
        "REDIS_PORT": "6378",
    },
    "versions": dict.fromkeys(backend.SECRETS, "1"),
}
"""What the service's environment is made of."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`schema`: API, version and schema name of the discovery document."""

    schema: tuple[str, str, str]
    make: Callable[[], Body]


def _job(account: str, user: str, secret: str) -> Body:
    return database.job(
        PLANT,
        image=f"{PLANT.image_name}@{DIGEST}",
        account=account,
        user=user,
        password=(secret, "1"),
        network=NETWORK,
    )


def _cache_job() -> Body:
    return cache.job(
        PLANT,
        image=f"{PLANT.image_name}@{DIGEST}",
        address=("10.33.0.4", "6378"),
        versions={"REDIS_PASSWORD": "1", "REDIS_CA": "1"},
    )


def _alert(make: Callable[[Plant, str], Body]) -> Sample:
    name = "projects/waooaw-prod/notificationChannels/17"
    return Sample(schema=("monitoring", "v3", "AlertPolicy"), make=lambda: make(PLANT, name))


def _firewall(place: int) -> Sample:
    return Sample(schema=("compute", "v1", "Firewall"), make=lambda: network.firewall_rules(PLANT)[place])


def _account(account_id: str) -> Sample:
    return Sample(schema=("iam", "v1", "ServiceAccount"), make=lambda: project.service_account(PLANT, account_id))


def _bucket(purpose: str) -> Sample:
    return Sample(schema=("storage", "v1", "Bucket"), make=lambda: storage.bucket(PLANT, purpose))


BUDGET = ("billingbudgets", "v1", "GoogleCloudBillingBudgetsV1Budget")
SAMPLES: dict[str, Sample] = {
    "project": Sample(schema=("cloudresourcemanager", "v3", "Project"), make=lambda: project.project(PLANT)),
    "budget": Sample(schema=BUDGET, make=lambda: project.budget(PLANT, NUMBER)),
    **{f"account-{name}": _account(name) for name in project.SERVICE_ACCOUNTS},
    "network": Sample(schema=("compute", "v1", "Network"), make=lambda: network.network(PLANT)),
    "subnetwork": Sample(schema=("compute", "v1", "Subnetwork"), make=lambda: network.subnetwork(PLANT)),
    "peering-range": Sample(schema=("compute", "v1", "Address"), make=lambda: network.peering_range(PLANT)),
    "peering-connection": Sample(
        schema=("servicenetworking", "v1", "Connection"), make=lambda: network.peering_connection(PLANT, NUMBER)
    ),
    "connector": Sample(schema=("vpcaccess", "v1", "Connector"), make=lambda: network.connector(PLANT)),
    "firewall-health": _firewall(0),
    "firewall-internal": _firewall(1),
    "firewall-deny": _firewall(2),
    "router": Sample(schema=("compute", "v1", "Router"), make=lambda: network.router(PLANT)),
    "secret": Sample(schema=("secretmanager", "v1", "Secret"), make=lambda: secrets.secret(PLANT)),
    **{f"bucket-{purpose}": _bucket(purpose) for purpose in storage.PURPOSES},
    "repository": Sample(schema=("artifactregistry", "v1", "Repository"), make=lambda: storage.repository(PLANT)),
    "instance": Sample(schema=("sqladmin", "v1", "DatabaseInstance"), make=lambda: database.instance(PLANT)),
    "database": Sample(schema=("sqladmin", "v1", "Database"), make=lambda: database.database(PLANT)),
    "redis-instance": Sample(
        schema=("redis", "v1", "Instance"), make=lambda: cache.instance(PLANT, date(2026, 11, 24))
    ),
    "export-request": Sample(schema=("redis", "v1", "ExportInstanceRequest"), make=lambda: cache.export_request(PLANT)),
    "export-job": Sample(schema=("cloudscheduler", "v1", "Job"), make=lambda: cache.export_job(PLANT)),
    "job-ops-cache": Sample(schema=("run", "v2", "GoogleCloudRunV2Job"), make=_cache_job),
    "channel": Sample(schema=("monitoring", "v3", "NotificationChannel"), make=lambda: monitoring.channel(PLANT)),
    "redis-memory": _alert(monitoring.redis_memory),
    "redis-evictions": _alert(monitoring.redis_evictions),
    "redis-role": _alert(monitoring.redis_role),
    "build": Sample(schema=("cloudbuild", "v1", "Build"), make=lambda: image.build(PLANT, SOURCE, "1700000000000001")),
    "job-ops": Sample(
        schema=("run", "v2", "GoogleCloudRunV2Job"),
        make=lambda: _job("plant-backend-sa", "plant_app", "DATABASE_PASSWORD"),
    ),
    "job-migrate": Sample(
        schema=("run", "v2", "GoogleCloudRunV2Job"),
        make=lambda: _job("plant-migrator", "plant_owner", "DATABASE_OWNER_PASSWORD"),
    ),
    "service": Sample(
        schema=("run", "v2", "GoogleCloudRunV2Service"),
        make=lambda: backend.service(PLANT, image=f"{PLANT.image_name}@{DIGEST}", **SERVING),
    ),
    "worker": Sample(
        schema=("run", "v2", "GoogleCloudRunV2WorkerPool"),
        make=lambda: backend.worker(PLANT, image=f"{PLANT.image_name}@{DIGEST}", **SERVING),
    ),
}
