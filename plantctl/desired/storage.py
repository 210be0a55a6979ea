"""Bodies of the buckets (source, backup, portal) and of the Artifact Registry repository."""

from __future__ import annotations

from plantctl.model.plant import Plant
from plantctl.model.step import Body

PURPOSES = ("source", "backup", "portal")


def bucket(plant: Plant, purpose: str) -> Body:
    """storage v1 Bucket: uniform access, never public, versioned; noncurrent objects go after 30 days (the seed's 30).

    Old sources go after 30 days too: what was built is known by digest, not by its tarball.
    """
    rules: list[Body] = [{"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 30}}]
    if purpose == "source":
        rules.append({"action": {"type": "Delete"}, "condition": {"age": 30}})
    if purpose == "backup":
        rules.append({"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["sql/"]}})
    return {
        "name": plant.bucket(purpose),
        "location": plant.region.upper(),
        "labels": plant.labels,
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "enforced",
        },
        "versioning": {"enabled": True},
        "lifecycle": {"rule": rules},
    }


def repository(plant: Plant) -> Body:
    """artifactregistry v1 Repository: a tag, once pushed, stays what it was."""
    return {
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
        "description": "Plant images",
        "labels": plant.labels,
        "dockerConfig": {"immutableTags": True},
        "vulnerabilityScanningConfig": {"enablementConfig": "INHERITED"},
    }


def repository_name(plant: Plant) -> str:
    """`projects/p/locations/r/repositories/plant`."""
    return f"projects/{plant.project.id}/locations/{plant.region}/repositories/{plant.backend.repository}"
