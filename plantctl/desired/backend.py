"""Bodies of the Cloud Run service and of the worker pool, whole and in the parts that items of their own own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plantctl.desired.network import connector_name
from plantctl.model.plant import Plant
from plantctl.model.step import Body, Later

Known = str | Later
ACCOUNT = "plant-backend-sa"
SECRETS = ("DATABASE_PASSWORD", "REDIS_PASSWORD", "REDIS_CA", "JWT_SECRET_KEY", "API_KEYS")
"""Every environment variable whose value comes from the secret of the same name."""
WORKER_SECRETS = SECRETS[:3]
"""A worker signs nothing and knows no API key."""
WORKER_PORT = 8000
"""A worker pool is given no PORT: its liveness probe asks at the image's own."""
ALIVE = "/health"
"""What both probes ask: it touches neither database nor Redis, so that a failover restarts nothing."""


def service_name(plant: Plant) -> str:
    """`projects/p/locations/r/services/s`."""
    return f"projects/{plant.project.id}/locations/{plant.region}/services/{plant.backend.service}"


def worker_name(plant: Plant) -> str:
    """`projects/p/locations/r/workerPools/w`."""
    return f"projects/{plant.project.id}/locations/{plant.region}/workerPools/{plant.backend.worker}"


def service(plant: Plant, *, image: Known, values: Mapping[str, Known], versions: Mapping[str, Known]) -> Body:
    """run v2 Service (gcp-foundation section 4): all parts, and what only a new one gets, ingress and traffic.

    Ingress stays open to callers with an IAM identity until `loadbalancer.lb.lockdown`, which owns the field from then
    on; traffic belongs to `release`. `values` and `versions` as `environment` takes them.
    """
    body: Body = {
        "ingress": "INGRESS_TRAFFIC_ALL",
        "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
    }
    parts = (
        rollout(plant, image=image),
        resources(plant),
        scaling(plant),
        secrets(plant, values=values, versions=versions),
        vpc(plant),
    )
    for part in parts:
        body = _joined(body, part)
    return body


def rollout(plant: Plant, *, image: Known) -> Body:
    """What `backend.service.deploy` owns: the image by digest, as whom it runs, its port, limits and probes.

    The startup probe asks often and without a delay, for nobody gets through before it passes; the liveness probe has
    the original's numbers.
    """
    backend = plant.backend
    asked = {"path": ALIVE, "port": backend.port}
    return {
        "labels": plant.labels,
        "template": {
            "serviceAccount": plant.service_account(ACCOUNT),
            "timeout": f"{backend.timeout_s}s",
            "maxInstanceRequestConcurrency": backend.concurrency,
            "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
            "containers": [
                {
                    "image": image,
                    "ports": [{"name": "http1", "containerPort": backend.port}],
                    "startupProbe": {"httpGet": asked, "periodSeconds": 2, "timeoutSeconds": 1, "failureThreshold": 30},
                    "livenessProbe": {
                        "httpGet": asked,
                        "initialDelaySeconds": 10,
                        "periodSeconds": 10,
                        "timeoutSeconds": 5,
                        "failureThreshold": 3,
                    },
                }
            ],
        },
    }


def resources(plant: Plant) -> Body:
    """Part: CPU and memory. `cpuIdle` has to be said as soon as limits are (run v2 discovery)."""
    limits = {"cpu": plant.backend.cpu, "memory": plant.backend.memory}
    return {
        "template": {
            "containers": [{"resources": {"limits": limits, "cpuIdle": False, "startupCpuBoost": True}}],
        }
    }


def scaling(plant: Plant) -> Body:
    """Part: instances, at the service's level: a revision's own cannot be changed any more."""
    return {
        "scaling": {
            "minInstanceCount": plant.backend.min_instances,
            "maxInstanceCount": plant.backend.max_instances,
        }
    }


def secrets(plant: Plant, *, values: Mapping[str, Known], versions: Mapping[str, Known]) -> Body:
    """Part: the whole environment, so that a password that somebody put there in plain words is seen."""
    return {"template": {"containers": [{"env": environment(plant, values=values, versions=versions)}]}}


def vpc(plant: Plant) -> Body:
    """Part: the way to the private addresses."""
    return {"template": {"vpcAccess": {"connector": connector_name(plant), "egress": "PRIVATE_RANGES_ONLY"}}}


def environment(
    plant: Plant, *, values: Mapping[str, Known], versions: Mapping[str, Known], names: tuple[str, ...] = SECRETS
) -> list[Body]:
    """`values`: DB_HOST, DB_CA, REDIS_HOST and REDIS_PORT. `versions`: one of each of `names`, by number (hazards K01).

    PORT is not among them: Cloud Run sets it from the container's port.
    """
    plain: dict[str, Known] = {
        "ENVIRONMENT": plant.backend.environment,
        "LOG_LEVEL": plant.backend.log_level,
        "GOOGLE_CLOUD_PROJECT": plant.project.id,
        "WEB_CONCURRENCY": str(plant.backend.processes),
        "FORWARDED_HOPS": "2",
        "DB_HOST": values["DB_HOST"],
        "DB_PORT": "5432",
        "DB_NAME": plant.database.name,
        "DB_USER": plant.database.app,
        "DB_CA": values["DB_CA"],
        "DB_SSLMODE": "verify-ca",
        "REDIS_HOST": values["REDIS_HOST"],
        "REDIS_PORT": values["REDIS_PORT"],
        "REDIS_TLS": "true",
    }
    found: list[Body] = [{"name": name, "value": value} for name, value in plain.items()]
    for name in names:
        reference = {"secret": name, "version": versions[name]}
        found.append({"name": name, "valueSource": {"secretKeyRef": reference}})
    return found


def worker(plant: Plant, *, image: Known, values: Mapping[str, Known], versions: Mapping[str, Known]) -> Body:
    """run v2 WorkerPool: the same image and identity, told by its argument to take from the queue.

    Its probe may be HTTP (docs, run, "Configure container health checks for worker pools").
    """
    asked = {"path": ALIVE, "port": WORKER_PORT}
    return {
        "labels": plant.labels,
        "scaling": {"manualInstanceCount": plant.backend.worker_instances},
        "template": {
            "serviceAccount": plant.service_account(ACCOUNT),
            "containers": [
                {
                    "image": image,
                    "args": ["worker"],
                    "env": environment(plant, values=values, versions=versions, names=WORKER_SECRETS),
                    "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
                    "livenessProbe": {
                        "httpGet": asked,
                        "initialDelaySeconds": 10,
                        "periodSeconds": 10,
                        "timeoutSeconds": 5,
                        "failureThreshold": 3,
                    },
                }
            ],
            **vpc(plant)["template"],
        },
    }


def _joined(under: Any, over: Any) -> Any:
    """Two parts as one body; the container of both is one."""
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **{key: _joined(under[key], part) if key in under else part for key, part in over.items()}}
    if isinstance(under, list) and isinstance(over, list):
        return [_joined(under[0], over[0])]
    return over
