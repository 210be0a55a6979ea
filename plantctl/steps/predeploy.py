"""Phase predeploy: project, network, identities, secrets, storage. One entry per checklist item, in checklist order."""

from __future__ import annotations

from plantctl.desired import network as desired_network
from plantctl.desired import project as desired_project
from plantctl.desired import storage as desired_storage
from plantctl.errors import ProbeFailed
from plantctl.gcp.iam_policy import Grant
from plantctl.model.step import Body, Evidence, Finding, Step, Verdict
from plantctl.steps import project, proofs, resources
from plantctl.steps.build import Resource, Rules, ensure, ensure_each, restore_or_empty
from plantctl.steps.context import Context
from plantctl.steps.grants import grant_step, with_grants
from plantctl.steps.network import apply_peering, check_peering, verify_network, verify_peering
from plantctl.steps.secrets import secret_step

APIS = "predeploy.project.apis"
VPC = "predeploy.network.vpc"
ACCOUNTS = ("predeploy.sa.create", "predeploy.sa.builder", "predeploy.sa.backup", "predeploy.sa.migrator")
POLICY = ("project iam policy",)
NETWORK = ("network",)


def _account(item: str, account_id: str, title: str) -> Step[Context]:
    def verify(ctx: Context) -> Evidence:
        email = ctx.plant.service_account(account_id)
        # the second look goes by unique id: another account of the same e-mail would have another one (hazards I08)
        unique = ctx.known(item, "uniqueId")
        name = f"projects/{ctx.plant.project.id}/serviceAccounts/{unique}"
        found = ctx.gcp.call("iam.projects.serviceAccounts.get", name=name)
        if found["email"] != email or found.get("disabled"):
            raise ProbeFailed(f"unique id {unique} is {found['email']}, or disabled")
        return Evidence(words=(f"{email} has unique id {unique} and is enabled",), where="IAM, by unique id")

    return ensure(
        id=item,
        title=title,
        needs=(APIS,),
        resource=Resource(
            managed=resources.service_account(account_id),
            desired=lambda ctx: desired_project.service_account(ctx.plant, account_id),
            rules=Rules(fields=("displayName",)),
            facts=lambda _ctx, live: {"uniqueId": str(live["uniqueId"])},
            cure=lambda ctx: (
                "find out who disabled it and why, then type "
                f"`gcloud iam service-accounts enable {ctx.plant.service_account(account_id)}`"
            ),
        ),
        verify=verify,
        expect_s=5,
    )


def _project_grants(ctx: Context, account_id: str, roles: tuple[str, ...]) -> tuple[Grant, ...]:
    member = f"serviceAccount:{ctx.plant.service_account(account_id)}"
    return tuple(Grant(kind="project", resource=ctx.plant.project.id, role=role, member=member) for role in roles)


def runtime_grants(ctx: Context) -> tuple[Grant, ...]:
    """Project roles of all four accounts, and the deployer's right to attach them, on themselves (CIS 1.6, 1.7)."""
    deployer, place = ctx.plant.project.deployer, f"projects/{ctx.plant.project.id}/serviceAccounts"
    names = [f"{place}/{ctx.plant.service_account(a)}" for a in desired_project.SERVICE_ACCOUNTS] if deployer else []
    return (
        *_project_grants(ctx, "plant-backend-sa", desired_project.RUNTIME_ROLES),
        *_project_grants(ctx, "plant-build-sa", desired_project.BUILDER_ROLES),
        *_project_grants(ctx, "plant-backup-sa", desired_project.BACKUP_ROLES),
        *_project_grants(ctx, "plant-migrator", desired_project.MIGRATOR_ROLES),
        *(Grant(kind="account", resource=n, role="roles/iam.serviceAccountUser", member=deployer) for n in names),
    )


def check_keys(ctx: Context) -> Finding:
    """The item is a negative check: an attached identity needs no key, and none is to lie about (design section 10)."""
    name = f"projects/{ctx.plant.project.id}/serviceAccounts/{ctx.plant.service_account('plant-backend-sa')}"
    answer = ctx.gcp.call("iam.projects.serviceAccounts.keys.list", name=name, keyTypes=["USER_MANAGED"])
    keys = answer.get("keys", [])
    if keys:
        ids = ", ".join(str(key["name"]).rsplit("/", 1)[1][:12] for key in keys)
        delete = f"gcloud iam service-accounts keys delete KEY --iam-account {name.rsplit('/', 1)[1]}"
        hint = f"find out who uses them, then type `{delete}`"
        reason = f"plant-backend-sa has user-managed keys: {ids}"
        return Finding(verdict=Verdict.CONFLICT, reason=reason, hint=hint)
    return Finding(verdict=Verdict.IN_PLACE)


def verify_keys(ctx: Context) -> Evidence:
    """What was counted."""
    finding = check_keys(ctx)
    if not finding.in_place:
        raise ProbeFailed(finding.reason, hint=finding.hint)
    words = "plant-backend-sa has no user-managed key; Cloud Run attaches the identity, so nothing is downloaded"
    return Evidence(words=(words,), where="IAM, keys.list with keyTypes=USER_MANAGED")


def _nothing(ctx: Context, finding: Finding) -> None:
    """Never reached: the check above finds IN_PLACE or CONFLICT."""


def _bucket(purpose: str) -> Resource:
    return Resource(
        managed=resources.bucket(purpose),
        desired=lambda ctx: desired_storage.bucket(ctx.plant, purpose),
        rules=Rules(immutable=("location",), sets={"lifecycle.rule": "*"}),
        data=lambda ctx: ctx.plant.bucket(purpose),
        lost=restore_or_empty(lambda ctx: ctx.plant.bucket(purpose)),
    )


def bucket_grants(ctx: Context) -> tuple[Grant, ...]:
    """The builder reads sources; nobody else needs a bucket yet."""
    member = f"serviceAccount:{ctx.plant.service_account('plant-build-sa')}"
    bucket = ctx.plant.bucket("source")
    return (Grant(kind="bucket", resource=bucket, role="roles/storage.objectViewer", member=member),)


def repository_grants(ctx: Context) -> tuple[Grant, ...]:
    """The builder pushes to this repository alone."""
    member = f"serviceAccount:{ctx.plant.service_account('plant-build-sa')}"
    name = desired_storage.repository_name(ctx.plant)
    return (Grant(kind="repository", resource=name, role="roles/artifactregistry.writer", member=member),)


def _firewall(body: Body) -> Resource:
    ports = ("IPProtocol", "ports")
    rules = Rules(
        fields=("network", "direction", "priority", "disabled", "logConfig", "sourceRanges", "allowed", "denied"),
        sets={"allowed": ports, "denied": ports, "sourceRanges": ""},
        immutable=("network", "direction"),
    )
    return Resource(managed=resources.firewall(str(body["name"])), desired=lambda _ctx: body, rules=rules)


def _firewalls(ctx: Context) -> tuple[Resource, ...]:
    return tuple(_firewall(body) for body in desired_network.firewall_rules(ctx.plant))


NETWORK_RULES = Rules(
    fields=("autoCreateSubnetworks", "routingConfig", "mtu"), immutable=("autoCreateSubnetworks",), restarts=("mtu",)
)
SUBNET_RULES = Rules(
    fields=("network", "ipCidrRange", "privateIpGoogleAccess", "stackType", "logConfig"),
    immutable=("network", "ipCidrRange"),
)

STEPS: tuple[Step[Context], ...] = (
    Step(
        id=project.CREATE,
        title="Create GCP project",
        check=project.check_project,
        apply=project.apply_project,
        verify=project.verify_project,
        expect_s=5,
    ),
    Step(
        id="predeploy.project.billing",
        title="Link the billing account",
        needs=(project.CREATE,),
        check=project.check_billing,
        apply=project.apply_billing,
        verify=project.verify_billing,
    ),
    Step(
        id=APIS,
        title="Enable required APIs (Cloud Run, Cloud SQL, Memorystore, etc.)",
        needs=(project.CREATE, "predeploy.project.billing"),
        check=project.check_apis,
        apply=project.apply_apis,
        verify=project.verify_apis,
        expect_s=80,
    ),
    Step(
        id="predeploy.project.billing_alerts",
        title="Set up billing alerts",
        needs=(APIS,),
        check=project.check_budget,
        apply=project.apply_budget,
        verify=project.verify_budget,
    ),
    grant_step(
        id="predeploy.project.iam",
        title="Configure IAM roles",
        grants=project.deployer_grants,
        needs=(APIS,),
        lanes=POLICY,
    ),
    ensure_each(
        id=VPC,
        title="Create VPC network",
        needs=(APIS,),
        resources=lambda _ctx: (
            Resource(
                managed=resources.network,
                desired=lambda ctx: desired_network.network(ctx.plant),
                rules=NETWORK_RULES,
                facts=lambda _ctx, live: {"id": str(live["id"])},
            ),
            Resource(
                managed=resources.subnetwork,
                desired=lambda ctx: desired_network.subnetwork(ctx.plant),
                rules=SUBNET_RULES,
            ),
        ),
        verify=verify_network,
        expect_s=50,
    ),
    Step(
        id="predeploy.network.psa",
        title="Open private services access",
        needs=(VPC, project.CREATE),
        lanes=NETWORK,
        check=check_peering,
        apply=apply_peering,
        verify=verify_peering,
        expect_s=105,
    ),
    ensure(
        id="predeploy.network.connector",
        title="Create VPC connector for Cloud Run ↔ Cloud SQL",
        needs=(VPC,),
        resource=Resource(
            managed=resources.connector,
            desired=lambda ctx: desired_network.connector(ctx.plant),
            # the numbers of instances can only be raised (gcloud's own default is 10 at most)
            rules=Rules(immutable=("network", "ipCidrRange"), at_least=("minInstances", "maxInstances")),
            cure=lambda ctx: (
                "it cannot be mended: find out why, delete it with `gcloud compute networks vpc-access connectors "
                f"delete {ctx.plant.network.connector} --region {ctx.plant.region}`, and run again"
            ),
        ),
        verify=proofs.connector,
        deadline_s=1200,
        expect_s=180,
    ),
    ensure_each(
        id="predeploy.network.firewall",
        title="Configure firewall rules",
        needs=(VPC,),
        resources=_firewalls,
        verify=proofs.firewall,
        expect_s=30,
    ),
    ensure(
        id="predeploy.network.nat",
        title="Setup Cloud NAT for outbound internet access",
        needs=(VPC,),
        resource=Resource(
            managed=resources.router,
            desired=lambda ctx: desired_network.router(ctx.plant),
            rules=Rules(fields=("network", "nats"), immutable=("network",), sets={"nats": "name"}),
        ),
        verify=proofs.nat,
        expect_s=20,
    ),
    _account("predeploy.sa.create", "plant-backend-sa", "Create `plant-backend-sa` service account"),
    _account("predeploy.sa.builder", "plant-build-sa", "Create the identity of image builds"),
    _account("predeploy.sa.backup", "plant-backup-sa", "Create the identity of scheduled exports"),
    _account("predeploy.sa.migrator", "plant-migrator", "Create the identity of migrations"),
    grant_step(
        id="predeploy.sa.roles",
        title="Grant required IAM roles (Cloud SQL client, Monitoring, Logging)",
        grants=runtime_grants,
        needs=ACCOUNTS,
        lanes=POLICY,
    ),
    Step(
        id="predeploy.sa.key",
        title="Create and download service account key",
        needs=("predeploy.sa.create",),
        check=check_keys,
        apply=_nothing,
        verify=verify_keys,
    ),
    secret_step(
        "predeploy.secret.database_password",
        "DATABASE_PASSWORD",
        title="DATABASE_PASSWORD",
        needs=("predeploy.sa.create",),
    ),
    secret_step(
        "predeploy.secret.database_owner_password",
        "DATABASE_OWNER_PASSWORD",
        title="DATABASE_OWNER_PASSWORD",
        needs=("predeploy.sa.migrator",),
    ),
    secret_step(
        "predeploy.secret.redis_password", "REDIS_PASSWORD", title="REDIS_PASSWORD", needs=("predeploy.sa.create",)
    ),
    secret_step(
        "predeploy.secret.jwt_secret_key", "JWT_SECRET_KEY", title="JWT_SECRET_KEY", needs=("predeploy.sa.create",)
    ),
    secret_step("predeploy.secret.api_keys", "API_KEYS", title="API_KEYS", needs=("predeploy.sa.create",)),
    with_grants(
        ensure_each(
            id="predeploy.storage.buckets",
            title="Create the source, backup and portal buckets",
            needs=(APIS, "predeploy.sa.builder"),
            resources=lambda _ctx: tuple(_bucket(purpose) for purpose in desired_storage.PURPOSES),
            verify=proofs.buckets,
        ),
        bucket_grants,
    ),
    with_grants(
        ensure(
            id="predeploy.registry.repository",
            title="Create the Artifact Registry repository",
            needs=(APIS, "predeploy.sa.builder"),
            resource=Resource(
                managed=resources.repository,
                desired=lambda ctx: desired_storage.repository(ctx.plant),
                rules=Rules(fields=("format", "mode", "labels", "dockerConfig"), immutable=("format", "mode")),
            ),
            verify=proofs.repository,
            expect_s=10,
        ),
        repository_grants,
    ),
)
