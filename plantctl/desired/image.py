"""Bodies of the image build, and the names by which a source and its image are found again."""

from __future__ import annotations

from plantctl.model.plant import Plant
from plantctl.model.step import Body


def tagged(plant: Plant) -> str:
    """The image with its version tag; tags are immutable in the repository."""
    return f"{plant.image_name}:{plant.backend.version}"


def source_object(sha256: str) -> str:
    """Name of the uploaded source in the source bucket: by content, so that an upload is made once."""
    return f"source/{sha256}.tar.gz"


def source_tag(sha256: str) -> str:
    """The build tag that marks builds of one source (class X: builds have no natural key, hazards section 2)."""
    return f"plantctl-src-{sha256[:32]}"


def build(plant: Plant, sha256: str, generation: str) -> Body:
    """cloudbuild v1 Build of an uploaded source, as `gcloud builds submit --tag` makes it, with its own account.

    With an own account the logs need an own place: CLOUD_LOGGING_ONLY (hazards B01).
    """
    image = tagged(plant)
    return {
        "source": {
            "storageSource": {
                "bucket": plant.bucket("source"),
                "object": source_object(sha256),
                "generation": generation,
            }
        },
        "steps": [
            {
                "name": "gcr.io/cloud-builders/docker",
                "args": ["build", "--network", "cloudbuild", "--no-cache", "-t", image, "."],
            }
        ],
        "images": [image],
        "serviceAccount": f"projects/{plant.project.id}/serviceAccounts/{plant.service_account('plant-build-sa')}",
        "options": {"logging": "CLOUD_LOGGING_ONLY", "requestedVerifyOption": "VERIFIED"},
        "timeout": "1200s",
        "tags": ["managed-by-plantctl", source_tag(sha256)],
    }
