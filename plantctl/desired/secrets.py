"""The plant's secrets: containers, who may read which, and what their first version is made of."""

from __future__ import annotations

from dataclasses import dataclass

from plantctl.model.plant import Plant
from plantctl.model.step import Body

BACKEND = "plant-backend-sa"
MIGRATOR = "plant-migrator"


@dataclass(frozen=True)
class SecretPlan:
    """`readers`: account ids with secretAccessor on this secret alone. `generate`: bytes of a random first version.

    0: the version comes from elsewhere later (REDIS_PASSWORD and REDIS_CA are made by Memorystore).
    """

    id: str
    readers: tuple[str, ...]
    generate: int


SECRETS = {
    "DATABASE_PASSWORD": SecretPlan("DATABASE_PASSWORD", (BACKEND,), 32),
    "DATABASE_OWNER_PASSWORD": SecretPlan("DATABASE_OWNER_PASSWORD", (MIGRATOR,), 32),
    "REDIS_PASSWORD": SecretPlan("REDIS_PASSWORD", (BACKEND,), 0),
    "REDIS_CA": SecretPlan("REDIS_CA", (BACKEND,), 0),
    "JWT_SECRET_KEY": SecretPlan("JWT_SECRET_KEY", (BACKEND,), 64),
    "API_KEYS": SecretPlan("API_KEYS", (BACKEND,), 32),
}


def secret(plant: Plant) -> Body:
    """secretmanager v1 Secret: replication is immutable; a destroyed version stays recoverable for a day."""
    return {"replication": {"automatic": {}}, "labels": plant.labels, "versionDestroyTtl": "86400s"}


def secret_name(plant: Plant, secret_id: str) -> str:
    """`projects/p/secrets/ID`."""
    return f"projects/{plant.project.id}/secrets/{secret_id}"
