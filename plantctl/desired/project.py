"""Bodies of the project itself: APIs, budget, IAM bindings. Pure; Google's JSON names."""

from __future__ import annotations

from plantctl.model.plant import Plant
from plantctl.model.step import Body, Later

# The seed names six; the others are needed by what the checklist builds (gcp-foundation section 1).
APIS = (
    "cloudresourcemanager.googleapis.com",
    "serviceusage.googleapis.com",
    "cloudbilling.googleapis.com",
    "billingbudgets.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "compute.googleapis.com",
    "servicenetworking.googleapis.com",
    "vpcaccess.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "sqladmin.googleapis.com",
    "redis.googleapis.com",
    "run.googleapis.com",
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "containeranalysis.googleapis.com",
    "containerscanning.googleapis.com",
    "cloudscheduler.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "cloudtrace.googleapis.com",
    "clouderrorreporting.googleapis.com",
)

RUNTIME_ROLES = (
    "roles/cloudsql.client",
    "roles/monitoring.metricWriter",
    "roles/logging.logWriter",
    "roles/cloudtrace.agent",
)
"""What `plant-backend-sa` may do in the project; secrets are granted one by one (CIS 1.6: no admin role)."""

BUILDER_ROLES = ("roles/logging.logWriter",)
"""Project roles of `plant-build-sa`; repository and source bucket are granted on themselves."""

MIGRATOR_ROLES = ("roles/cloudsql.client", "roles/logging.logWriter")
"""Project roles of `plant-migrator`."""

BACKUP_ROLES = ("roles/logging.logWriter",)
"""Project roles of `plant-backup-sa`; the Redis export right comes with the cache phase."""

SERVICE_ACCOUNTS = {
    "plant-backend-sa": "Plant Backend Service Account",
    "plant-build-sa": "Plant image builds",
    "plant-backup-sa": "Plant scheduled backups",
    "plant-migrator": "Plant database migrations",
}


def project(plant: Plant) -> Body:
    """cloudresourcemanager v3 Project (projects.create)."""
    body: Body = {"projectId": plant.project.id, "displayName": plant.project.name, "labels": plant.labels}
    if plant.project.parent:
        body["parent"] = plant.project.parent
    return body


def budget(plant: Plant, project_number: str | Later) -> Body:
    """billingbudgets v1 Budget; the seed's upper monthly estimate as amount, alerts at 50, 90 and 100 %."""
    number = project_number if isinstance(project_number, Later) else f"projects/{project_number}"
    return {
        "displayName": budget_name(plant),
        "budgetFilter": {
            "projects": [number],
            "calendarPeriod": "MONTH",
            "creditTypesTreatment": "INCLUDE_ALL_CREDITS",
        },
        "amount": {"specifiedAmount": {"currencyCode": "USD", "units": str(plant.project.budget_usd)}},
        "thresholdRules": [
            {"thresholdPercent": 0.5, "spendBasis": "CURRENT_SPEND"},
            {"thresholdPercent": 0.9, "spendBasis": "CURRENT_SPEND"},
            {"thresholdPercent": 1.0, "spendBasis": "FORECASTED_SPEND"},
        ],
    }


def budget_name(plant: Plant) -> str:
    """Budgets have no labels: the display name is the marker by which ours is found (hazards section 2, class X)."""
    return f"plantctl {plant.environment} {plant.project.id}"


def service_account(plant: Plant, account_id: str) -> Body:
    """iam v1 ServiceAccount."""
    return {"displayName": SERVICE_ACCOUNTS[account_id], "description": plant.marker}
