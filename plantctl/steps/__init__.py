"""The checklist as code: every step that exists, in page order."""

from __future__ import annotations

from plantctl.model.plant import Plant
from plantctl.model.step import Attestation, Step
from plantctl.steps import backend, cache, database, monitoring, predeploy
from plantctl.steps.context import Context

STEPS: tuple[Step[Context] | Attestation, ...] = (
    *predeploy.STEPS,
    *database.STEPS,
    *cache.STEPS,
    *backend.STEPS,
    *monitoring.STEPS,
)


def not_applicable(plant: Plant) -> dict[str, str]:
    """Optional items that this plant has switched off, with the reason."""
    if plant.database.dr_replica:
        return {}
    return {"database.instance.dr_replica": "database.dr_replica is off in plant.toml"}
