"""Which writes Google's typed clients carry, and how a request is put together.

Run, Secret Manager and Memorystore go by REST like everything else; Monitoring's client speaks gRPC only.

The clients know every field, so that a body with a wrong one is refused before it is sent. Reads, and the policies of
these APIs, go by discovery documents like everything else: a plan then starts without importing the libraries.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Typed:
    """One method: library below google.cloud, client class, rpc, request class.

    `field` holds the body in the request: empty for none, `*` when the request is the body. `api`: first word of the
    host. `transport`: `rest` or `grpc`.
    """

    api: str
    library: str
    client: str
    rpc: str
    request: str
    field: str = ""
    transport: str = "rest"


def _rows(
    api: str, library: str, client: str, prefix: str, *rows: tuple[str, str, str], transport: str = "rest"
) -> dict[str, Typed]:
    """(method, rpc, field) each; the request class is the rpc in camel case, as in every GAPIC library."""
    return {
        f"{prefix}.{method}": Typed(
            api, library, client, rpc, f"{rpc.title().replace('_', '')}Request", field, transport
        )
        for method, rpc, field in rows
    }


TYPED: dict[str, Typed] = {
    **_rows(
        "run", "run_v2", "JobsClient", "run.projects.locations.jobs",
        ("create", "create_job", "job"), ("patch", "update_job", "job"), ("run", "run_job", "*"),
    ),
    **_rows(
        "run", "run_v2", "ExecutionsClient", "run.projects.locations.jobs.executions",
        ("cancel", "cancel_execution", "*"),
    ),
    **_rows(
        "run", "run_v2", "ServicesClient", "run.projects.locations.services",
        ("create", "create_service", "service"), ("patch", "update_service", "service"),
    ),
    **_rows(
        "run", "run_v2", "WorkerPoolsClient", "run.projects.locations.workerPools",
        ("create", "create_worker_pool", "worker_pool"), ("patch", "update_worker_pool", "worker_pool"),
    ),
    **_rows(
        "secretmanager", "secretmanager_v1", "SecretManagerServiceClient", "secretmanager.projects.secrets",
        ("create", "create_secret", "secret"), ("patch", "update_secret", "secret"),
        ("addVersion", "add_secret_version", "*"),
    ),
    **_rows(
        "secretmanager", "secretmanager_v1", "SecretManagerServiceClient", "secretmanager.projects.secrets.versions",
        ("enable", "enable_secret_version", "*"), ("disable", "disable_secret_version", "*"),
        ("destroy", "destroy_secret_version", "*"),
    ),
    **_rows(
        "redis", "redis_v1", "CloudRedisClient", "redis.projects.locations.instances",
        ("create", "create_instance", "instance"), ("patch", "update_instance", "instance"),
    ),
    **_rows(
        "monitoring", "monitoring_v3", "AlertPolicyServiceClient", "monitoring.projects.alertPolicies",
        ("create", "create_alert_policy", "alert_policy"), ("patch", "update_alert_policy", "alert_policy"),
        transport="grpc",
    ),
    **_rows(
        "monitoring", "monitoring_v3", "NotificationChannelServiceClient", "monitoring.projects.notificationChannels",
        ("create", "create_notification_channel", "notification_channel"),
        ("patch", "update_notification_channel", "notification_channel"),
        transport="grpc",
    ),
}  # fmt: skip
