"""Phase backend: image, service, looks at it from outside, worker. One entry per checklist item, in its order."""

from __future__ import annotations

from collections.abc import Callable

from plantctl.desired import backend as desired
from plantctl.model.step import Body, Evidence, Step
from plantctl.steps import health, image, inside, lifecycle, parts, service, worker
from plantctl.steps.build import Resource, bring, ensure
from plantctl.steps.context import Context
from plantctl.steps.names import CACHE, CACHE_SECRETS, CREATE, DATABASE, MIGRATE, SCAN, SERVE, USERS, WORKER

ROLLOUT = ("run service",)
DEADLINE_S = 1200
INSIDE = (
    CREATE,
    DATABASE,
    USERS,
    CACHE,
    CACHE_SECRETS,
    "predeploy.network.connector",
    "predeploy.network.psa",
    "predeploy.project.iam",
    "predeploy.sa.create",
    "predeploy.sa.roles",
    "predeploy.secret.database_password",
    "predeploy.secret.redis_password",
)
"""What service and worker need besides their image."""


def _part(*, id: str, title: str, resource: Resource, verify: Callable[[Context], Evidence]) -> Step[Context]:
    """An item that owns some fields of the service; the service itself comes with its deployment."""
    return Step(
        id=id,
        title=title,
        needs=(SERVE,),
        lanes=ROLLOUT,
        check=service.check_part(id, resource),
        apply=lambda ctx, _finding: bring(ctx, id, resource),
        verify=verify,
        deadline_s=DEADLINE_S,
        expect_s=45,
    )


def _proof(
    *, id: str, title: str, verify: Callable[[Context], Evidence], needs: tuple[str, ...], expect_s: int = 3
) -> Step[Context]:
    """An item that is a look only."""
    return Step(
        id=id,
        title=title,
        needs=needs,
        lanes=ROLLOUT if expect_s > 5 else (),
        check=inside.in_place,
        apply=inside.nothing,
        verify=verify,
        deadline_s=DEADLINE_S,
        expect_s=expect_s,
    )


def _environment(ctx: Context) -> Body:
    return desired.secrets(ctx.plant, values=service.values(ctx), versions=service.versions(ctx))


STEPS: tuple[Step[Context], ...] = (
    Step(
        id="backend.image.dockerfile",
        title="Create Dockerfile (multi-stage build)",
        check=image.check_dockerfile,
        apply=image.nothing,
        verify=image.verify_dockerfile,
        expect_s=1,
    ),
    Step(
        id=image.BUILD,
        title="Build image: `docker build -t gcr.io/PROJECT/plant-backend:v1.0.0 .`",
        needs=(
            "backend.image.dockerfile",
            "predeploy.storage.buckets",
            "predeploy.registry.repository",
            "predeploy.sa.builder",
            "predeploy.sa.roles",
        ),
        check=image.check_build,
        apply=image.apply_build,
        verify=image.verify_build,
        deadline_s=1800,
        expect_s=240,
    ),
    Step(
        id=image.PUSH,
        title="Push to Container Registry: `docker push ...`",
        needs=(image.BUILD,),
        check=image.check_push,
        apply=image.nothing,
        verify=image.verify_push,
        expect_s=1,
    ),
    Step(
        id="backend.image.scan",
        title="Scan image for vulnerabilities",
        needs=(image.PUSH,),
        check=image.check_scan,
        apply=image.apply_scan,
        verify=image.verify_scan,
        deadline_s=900,
        expect_s=60,
    ),
    Step(
        id=SERVE,
        title="Deploy to Cloud Run",
        needs=(SCAN, MIGRATE, *INSIDE, "predeploy.secret.jwt_secret_key", "predeploy.secret.api_keys"),
        lanes=ROLLOUT,
        check=service.check_part(SERVE, service.ROLLED_OUT),
        apply=lambda ctx, _finding: bring(ctx, SERVE, service.ROLLED_OUT),
        verify=health.verify_deploy,
        deadline_s=DEADLINE_S,
        expect_s=45,
    ),
    _part(
        id="backend.service.resources",
        title="Configure 2 vCPU, 4GB memory",
        resource=service.part(lambda ctx: desired.resources(ctx.plant)),
        verify=parts.verify_resources,
    ),
    _part(
        id="backend.service.scaling",
        title="Set min instances = 1, max = 4",
        resource=service.part(lambda ctx: desired.scaling(ctx.plant)),
        verify=parts.verify_scaling,
    ),
    _part(
        id="backend.service.secrets",
        title="Configure environment variables from Secret Manager",
        resource=service.part(_environment),
        verify=parts.verify_secrets,
    ),
    _part(
        id="backend.service.vpc",
        title="Setup VPC connector",
        resource=service.part(lambda ctx: desired.vpc(ctx.plant)),
        verify=parts.verify_vpc,
    ),
    _proof(
        id="backend.health.endpoint",
        title="Test `/health` endpoint",
        needs=(SERVE,),
        verify=health.verify_endpoint,
    ),
    _proof(
        id="backend.health.database",
        title="Verify database connectivity",
        needs=(SERVE, "backend.service.secrets", "backend.service.vpc"),
        verify=health.verify_store("database"),
    ),
    _proof(
        id="backend.health.redis",
        title="Verify Redis connectivity",
        needs=(SERVE, "backend.service.secrets", "backend.service.vpc"),
        verify=health.verify_store("redis"),
    ),
    _proof(
        id="backend.health.lifecycle",
        title="Test startup/shutdown lifecycle",
        needs=("backend.health.endpoint", "backend.service.scaling"),
        verify=lifecycle.verify_lifecycle,
        expect_s=50,
    ),
    ensure(
        id=WORKER,
        title="Deploy the job queue's consumer",
        needs=(SERVE, *INSIDE, "predeploy.secret.api_keys"),
        resource=worker.RESOURCE,
        verify=worker.verify,
        deadline_s=DEADLINE_S,
        expect_s=30,
    ),
)
