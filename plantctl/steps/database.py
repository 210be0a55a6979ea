"""Phase database: instance, users, migrations, looks from inside. One entry per checklist item, in checklist order."""

from __future__ import annotations

from plantctl.desired import database as desired
from plantctl.model.step import Step
from plantctl.steps import inside, instance, resources
from plantctl.steps.build import Resource, Rules, ensure, restore_or_empty
from plantctl.steps.context import Context
from plantctl.steps.names import CREATE, DATABASE, MIGRATE, OPS_JOB, PUSH, USERS

SQL = ("sql instance",)
SCHEMA = ("plant_db schema",)


def _fields(*fields: str, restarts: tuple[str, ...] = ()) -> Resource:
    """A part of the instance that an item of its own owns: it checks and patches these fields only."""
    return Resource(
        managed=resources.sql_instance,
        desired=lambda ctx: desired.instance(ctx.plant),
        rules=Rules(fields=fields, restarts=restarts),
    )


STEPS: tuple[Step[Context], ...] = (
    ensure(
        id=CREATE,
        title="Create Cloud SQL PostgreSQL 15 instance",
        needs=("predeploy.project.apis", "predeploy.network.psa"),
        lanes=SQL,
        resource=Resource(
            managed=resources.sql_instance,
            desired=lambda ctx: desired.instance(ctx.plant),
            rules=Rules(
                fields=desired.INSTANCE_FIELDS,
                immutable=(
                    "region",
                    "databaseVersion",
                    "settings.dataDiskType",
                    "settings.edition",
                    "settings.ipConfiguration.privateNetwork",
                ),
                sets={"settings.databaseFlags": "name"},
                at_least=("settings.dataDiskSizeGb",),
                interrupts=instance.flags_restart,
            ),
            facts=instance.facts,
            data=lambda ctx: ctx.plant.database.instance,
            lost=restore_or_empty(lambda ctx: ctx.plant.database.instance),
            cure=lambda ctx: f"see why: `gcloud sql operations list --instance {ctx.plant.database.instance}`",
        ),
        verify=instance.verify_instance,
        deadline_s=5400,
        expect_s=900,
    ),
    ensure(
        id="database.instance.tier",
        title="Configure machine type (db-custom-2-8192)",
        needs=(CREATE,),
        lanes=SQL,
        resource=_fields("settings.tier", restarts=("settings.tier",)),
        verify=instance.verify_tier,
        deadline_s=1800,
        expect_s=60,
    ),
    ensure(
        id="database.instance.backup",
        title="Set up backup schedule (daily at 3 AM UTC)",
        needs=(CREATE,),
        lanes=SQL,
        resource=_fields(
            "settings.backupConfiguration", restarts=("settings.backupConfiguration.pointInTimeRecoveryEnabled",)
        ),
        verify=instance.verify_backup,
        deadline_s=1800,
        expect_s=60,
    ),
    ensure(
        id="database.instance.ha",
        title="Enable high availability (HA replica)",
        needs=(CREATE, "database.instance.backup"),
        lanes=SQL,
        resource=_fields("settings.availabilityType"),
        verify=instance.verify_availability,
        deadline_s=1800,
        expect_s=60,
    ),
    ensure(
        id=DATABASE,
        title="Create database `plant_db`",
        needs=(CREATE,),
        lanes=SQL,
        resource=Resource(
            managed=resources.sql_database,
            desired=lambda ctx: desired.database(ctx.plant),
            rules=Rules(fields=("charset", "collation"), immutable=("charset", "collation")),
            facts=instance.database_facts,
            data=instance.database_data,
            lost=restore_or_empty(lambda ctx: ctx.plant.database.name),
        ),
        verify=instance.verify_database,
        expect_s=6,
    ),
    Step(
        id=USERS,
        title="Create the owner and application roles",
        needs=(CREATE, "predeploy.secret.database_password", "predeploy.secret.database_owner_password"),
        lanes=SQL,
        check=instance.check_users,
        apply=instance.apply_users,
        verify=instance.verify_users,
        expect_s=12,
    ),
    ensure(
        id=OPS_JOB,
        title="Create the job that looks inside the network",
        needs=(
            PUSH,
            DATABASE,
            USERS,
            "predeploy.network.connector",
            "predeploy.network.psa",
            "predeploy.secret.database_password",
            "predeploy.sa.create",
            "predeploy.sa.roles",
        ),
        resource=inside.OPS_RESOURCE,
        verify=inside.verify_ops,
        expect_s=25,
    ),
    Step(
        id=MIGRATE,
        title="Run Alembic migrations",
        needs=(OPS_JOB, "predeploy.sa.migrator", "predeploy.secret.database_owner_password"),
        lanes=SCHEMA,
        check=inside.check_migrate,
        apply=inside.apply_migrate,
        verify=inside.verify_migrate,
        deadline_s=1200,
        expect_s=60,
    ),
    Step(
        id="database.init.seed",
        title="Create default seed data",
        needs=(MIGRATE,),
        lanes=SCHEMA,
        check=inside.check_done("seed"),
        apply=inside.do("seed"),
        verify=inside.verify_seed,
        deadline_s=1200,
        expect_s=30,
    ),
    Step(
        id="database.init.indexes",
        title="Set up indexes for performance",
        needs=(MIGRATE,),
        lanes=SCHEMA,
        check=inside.check_done("indexes"),
        apply=inside.do("indexes"),
        verify=inside.verify_indexes,
        deadline_s=1200,
        expect_s=30,
    ),
    ensure(
        id="database.init.insights",
        title="Configure Query Insights logging",
        needs=(CREATE,),
        lanes=SQL,
        resource=_fields("settings.insightsConfig", restarts=("settings.insightsConfig.queryStringLength",)),
        verify=instance.verify_insights,
        deadline_s=1800,
        expect_s=60,
    ),
    Step(
        id="database.proxy.install",
        title="Install Cloud SQL proxy in Cloud Run",
        needs=(OPS_JOB,),
        check=inside.check_way,
        apply=inside.nothing,
        verify=inside.verify_way,
        expect_s=15,
    ),
    Step(
        id="database.proxy.connect",
        title="Test local connection",
        needs=(OPS_JOB,),
        check=inside.in_place,
        apply=inside.nothing,
        verify=inside.verify_connect,
        expect_s=15,
    ),
    Step(
        id="database.proxy.tls",
        title="Verify SSL/TLS handshake",
        needs=(OPS_JOB,),
        check=inside.in_place,
        apply=inside.nothing,
        verify=inside.verify_tls,
        expect_s=15,
    ),
)
