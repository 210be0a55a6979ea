"""Which service files there are, in the order in which events reach them."""

from __future__ import annotations

import importlib

from plantctl.sandbox.service import Service

SERVICES = (
    "serviceusage",
    "cloudresourcemanager",
    "cloudbilling",
    "billingbudgets",
    "iam",
    "secretmanager",
    "storage",
    "storage_objects",
    "compute",
    "compute_verbs",
    "compute_edge",
    "compute_default_network",
    "servicenetworking",
    "vpcaccess",
    "sqladmin",
    "redis",
    "redis_actions",
    "artifactregistry",
    "cloudbuild",
    "logging",
    "run",
    "pubsub",
    "run_executions",
    "run_services",
    "run_workers",
    "run_revisions",
    "run_rollout",
    "run_v1",
    "run_v1_services",
    "containeranalysis",
    "monitoring",
    "monitoring_channels",
    "monitoring_metrics",
    "monitoring_dashboards",
    "monitoring_uptime",
    "cloudscheduler",
    "scheduler_runs",
)


def load_services() -> list[Service]:
    """All services, each once; a file defines `service = Service(...)` or adds to that of another file."""
    found: list[Service] = []
    for name in SERVICES:
        service = importlib.import_module(f"plantctl.sandbox.services.{name}").service
        if service not in found:
            found.append(service)
    return found
