"""Phase cache: Memorystore, what it fills, export, alerts, client. One entry per checklist item, in checklist order."""

from __future__ import annotations

from plantctl.desired import cache as desired
from plantctl.desired import monitoring as desired_monitoring
from plantctl.model.step import Step
from plantctl.steps import alerting, cache_inside, cache_rows, exports, failover, redis
from plantctl.steps.build import Resource, Rules, ensure, ensure_each, restore_or_empty
from plantctl.steps.context import Context
from plantctl.steps.inside import in_place, nothing
from plantctl.steps.labelled import LANE
from plantctl.steps.names import CACHE, CACHE_CONNECT, CACHE_EXPORT, CACHE_FAILOVER, CACHE_SECRETS, CHANNEL, PUSH

REDIS = ("redis instance",)


def _fields(*fields: str, immutable: tuple[str, ...] = (), restarts: tuple[str, ...] = ()) -> Resource:
    """A part of the instance that an item of its own owns: it checks and patches these fields only."""
    return Resource(
        managed=cache_rows.instance,
        desired=lambda ctx: desired.instance(ctx.plant, redis.tomorrow(ctx)),
        rules=Rules(fields=fields, immutable=immutable, restarts=restarts, daily=(desired.SNAPSHOT_TIME,)),
    )


STEPS: tuple[Step[Context], ...] = (
    ensure(
        id=CACHE,
        title="Create Cloud Memorystore Redis instance",
        needs=("predeploy.project.apis", "predeploy.network.psa"),
        lanes=REDIS,
        resource=Resource(
            managed=cache_rows.instance,
            desired=lambda ctx: desired.instance(ctx.plant, redis.tomorrow(ctx)),
            rules=Rules(
                fields=desired.INSTANCE_FIELDS,
                immutable=("redisVersion", "authorizedNetwork", "connectMode", "transitEncryptionMode"),
                restarts=("authEnabled",),
            ),
            facts=redis.facts,
            data=lambda ctx: ctx.plant.cache.instance,
            lost=restore_or_empty(lambda ctx: ctx.plant.cache.instance),
        ),
        verify=redis.verify_instance,
        deadline_s=1800,
        expect_s=300,
    ),
    ensure(
        id="cache.instance.tier",
        title="Configure 1GB standard tier",
        needs=(CACHE,),
        lanes=REDIS,
        resource=_fields("tier", "memorySizeGb", immutable=("tier",), restarts=("memorySizeGb",)),
        verify=redis.verify_tier,
        deadline_s=1800,
        expect_s=120,
    ),
    Step(
        id=CACHE_SECRETS,
        title="Store the password and the CA that Memorystore made",
        needs=(CACHE, "predeploy.secret.redis_password", "predeploy.sa.create"),
        check=redis.check_secrets,
        apply=redis.apply_secrets,
        verify=redis.verify_secrets,
        expect_s=5,
    ),
    ensure(
        id="cache.instance.backup",
        title="Enable backup and point-in-time recovery",
        needs=(CACHE,),
        lanes=REDIS,
        resource=_fields("persistenceConfig"),
        verify=redis.verify_backup,
        deadline_s=1800,
        expect_s=120,
    ),
    Step(
        id=CACHE_EXPORT,
        title="Export to Cloud Storage every day",
        needs=(CACHE, "predeploy.storage.buckets", "predeploy.sa.backup", "predeploy.sa.roles"),
        lanes=(*REDIS, "project iam policy"),
        check=exports.check_export,
        apply=exports.apply_export,
        verify=exports.verify_export,
        deadline_s=1800,
        expect_s=30,
    ),
    ensure_each(
        id="cache.instance.alerting",
        title="Set up monitoring and alerting",
        needs=(CACHE, CHANNEL),
        lanes=LANE,
        resources=lambda _ctx: tuple(alerting.policy(word) for word in desired_monitoring.CACHE_ALERTS),
        verify=alerting.verify_policies(desired_monitoring.CACHE_ALERTS),
        expect_s=5,
    ),
    Step(
        id="cache.client.install",
        title="Install redis-py in backend",
        needs=(CACHE_CONNECT,),
        check=cache_inside.check_install,
        apply=nothing,
        verify=cache_inside.verify_install,
        expect_s=15,
    ),
    ensure(
        id=CACHE_CONNECT,
        title="Test connection and basic operations",
        needs=(
            CACHE,
            CACHE_SECRETS,
            PUSH,
            "predeploy.network.connector",
            "predeploy.network.psa",
            "predeploy.sa.create",
            "predeploy.sa.roles",
        ),
        resource=cache_inside.JOB,
        verify=cache_inside.verify_connect,
        expect_s=25,
    ),
    Step(
        id="cache.client.pool",
        title="Setup connection pooling",
        needs=(CACHE_CONNECT,),
        lanes=REDIS,
        check=in_place,
        apply=nothing,
        verify=cache_inside.verify_pool,
        expect_s=15,
    ),
    Step(
        id=CACHE_FAILOVER,
        title="Verify failover behavior (if HA enabled)",
        needs=(CACHE_CONNECT, "cache.instance.tier"),
        lanes=REDIS,
        check=failover.check_failover,
        apply=failover.apply_failover,
        verify=failover.verify_failover,
        deadline_s=1800,
        expect_s=75,
    ),
)
