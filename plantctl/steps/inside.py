"""Items that work or look inside the network: the ops job, migrations, seed, indexes, connection and TLS."""

from __future__ import annotations

from collections.abc import Callable

from plantctl.desired import database as desired
from plantctl.errors import OperationFailed, ProbeFailed
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import jobs, resources
from plantctl.steps.build import Resource, Rules, bring, look
from plantctl.steps.context import Context
from plantctl.steps.names import CREATE, DATABASE, MIGRATE, PUSH

INSIDE = f"from inside job {jobs.OPS}"
JOB_FIELDS = (
    "template.taskCount",
    "template.template.serviceAccount",
    "template.template.maxRetries",
    "template.template.timeout",
    "template.template.vpcAccess",
    "template.template.containers",
)
JOB_RULES = Rules(fields=JOB_FIELDS)


def _job(ctx: Context, *, account: str, user: str, secret_id: str) -> Body:
    version = ctx.fact(f"predeploy.secret.{secret_id.lower()}", "version")
    network = {"ip": ctx.fact(CREATE, "ip"), "ca": ctx.fact(CREATE, "ca")}
    digest = ctx.fact(PUSH, "digest")
    image = f"{ctx.plant.image_name}@{digest}" if isinstance(digest, str) else digest
    password = (secret_id, version)
    return desired.job(ctx.plant, image=image, account=account, user=user, password=password, network=network)


def ops_job(ctx: Context) -> Body:
    """`plant-ops`: the application's identity and role, so that a look sees what the application would."""
    return _job(ctx, account="plant-backend-sa", user=ctx.plant.database.app, secret_id="DATABASE_PASSWORD")


def migrate_job(ctx: Context) -> Body:
    """`plant-migrate`: the owner's role, whose password the serving account cannot read."""
    owner = "DATABASE_OWNER_PASSWORD"
    return _job(ctx, account="plant-migrator", user=ctx.plant.database.owner, secret_id=owner)


def _job_facts(ctx: Context, live: Body) -> dict[str, str]:
    return {"image": str(live["template"]["template"]["containers"][0]["image"])}


OPS_RESOURCE = Resource(managed=resources.job(jobs.OPS), desired=ops_job, rules=JOB_RULES, facts=_job_facts)
MIGRATE_RESOURCE = Resource(managed=resources.job(jobs.MIGRATE), desired=migrate_job, rules=JOB_RULES)


def in_place(ctx: Context) -> Finding:
    """An item that is a proof: there is nothing to make, only to look at."""
    return Finding(verdict=Verdict.IN_PLACE)


def nothing(ctx: Context, finding: Finding) -> None:
    """Nothing is written: the item is a proof, or another item owns what it looks at."""


def verify_ops(ctx: Context) -> Evidence:
    """The job runs and reaches the database."""
    seen = jobs.look(ctx, "connect")
    words = str(seen.fact("connect", "server_address").get("message") or f"execution {seen.name} succeeded")
    return Evidence(
        words=(words, f"image {ctx.known('database.ops.job', 'image').rsplit('@', 1)[1][:19]}"), where=INSIDE
    )


def _last(ctx: Context, command: str) -> tuple[Body | None, Body | None]:
    """(running, succeeded) execution of a command with the present image on the data as it is now."""
    parent = desired.job_name(ctx.plant, jobs.MIGRATE)
    since = ctx.known(DATABASE, "since")
    image = f"{ctx.plant.image_name}@{ctx.known(PUSH, 'digest')}"
    found = [
        execution
        for execution in ctx.gcp.list(f"{jobs.JOBS}.executions.list", "executions", parent=parent)
        if jobs.args_of(execution) == (command,)
        and jobs.image_of(execution) == image
        and str(execution.get("createTime", "")) > since
    ]
    running = next((e for e in found if jobs.state_of(e) == "running"), None)
    done = next((e for e in found if jobs.state_of(e) == "succeeded"), None)
    return running, done


def _look_done(ctx: Context, command: str) -> Finding:
    running, done = _last(ctx, command)
    if done is not None:
        return Finding(verdict=Verdict.IN_PLACE, facts={"execution": str(done["name"]).rsplit("/", 1)[1]})
    if running is not None:
        return Finding(verdict=Verdict.PENDING, reason=f"`{command}` is running")
    change = Change(field=f"job {jobs.MIGRATE}", desired=f"`{command}` to be run")
    return Finding(verdict=Verdict.MISSING, changes=(change,))


def check_done(command: str) -> Callable[[Context], Finding]:
    """Whether a command has succeeded with this image since the data was made."""
    return lambda ctx: _look_done(ctx, command)


def do(command: str) -> Callable[[Context, Finding], None]:
    """Run a command once; an execution that is under way is waited for."""

    def apply(ctx: Context, finding: Finding) -> None:
        running, done = _last(ctx, command)
        if done is not None:
            return
        if running is not None:
            ended = jobs.finished(ctx, str(running["name"]), deadline_s=900)
        else:
            ended = jobs.run(ctx, jobs.MIGRATE, (command,), purpose="apply")
        if not ended.succeeded:
            raise OperationFailed(
                f"`{command}` failed in job {jobs.MIGRATE}: {jobs.complaint(ended)}",
                cause=f"execution {ended.name} ended with an error",
                hint="the database is as it was before; see docs/runbooks/database.md, then run this again",
            )

    return apply


def check_migrate(ctx: Context) -> Finding:
    """The job as desired, and a successful `migrate`."""
    found = look(ctx, MIGRATE, MIGRATE_RESOURCE)
    return _look_done(ctx, "migrate") if found.in_place else found


def apply_migrate(ctx: Context, finding: Finding) -> None:
    """Bring the job into place, then migrate."""
    bring(ctx, MIGRATE, MIGRATE_RESOURCE)
    do("migrate")(ctx, finding)


def verify_migrate(ctx: Context) -> Evidence:
    """The schema is at head, and the application's role may change data only."""
    schema, rights = jobs.look(ctx, "schema"), jobs.look(ctx, "rights")
    words = [str(schema.fact("schema", "revision").get("message", ""))]
    for fact in ("create_in_plant", "drop_table"):
        line = rights.fact("rights", fact)
        words.append(f"{ctx.plant.database.app}: {line.get('statement', fact)} refused: {line.get('refusal', '')}")
    return Evidence(words=tuple(word for word in words if word), where=INSIDE)


def verify_seed(ctx: Context) -> Evidence:
    """Counts of every table, and that the seeded slugs are all there."""
    seen = jobs.look(ctx, "rows")
    words = [
        str(line["message"]) for line in seen.lines if line.get("check") == "rows" and line.get("fact") != "verdict"
    ]
    return Evidence(words=tuple(words) or (f"execution {seen.name} succeeded",), where=INSIDE)


def verify_indexes(ctx: Context) -> Evidence:
    """Every expected index, valid."""
    seen = jobs.look(ctx, "indexes")
    valid = [
        str(line["fact"]) for line in seen.lines if line.get("check") == "indexes" and line.get("state") == "valid"
    ]
    words = (f"{len(valid)} indexes are valid", ", ".join(valid))
    return Evidence(words=words, where=INSIDE)


def check_way(ctx: Context) -> Finding:
    """The configured way in: private address with verified TLS, in the job as it is (no proxy is needed for that)."""
    live = resources.job(jobs.OPS)(ctx).live() or {}
    env = {e.get("name"): e.get("value") for e in live["template"]["template"]["containers"][0].get("env", [])}
    if env.get("DB_HOST") == ctx.known(CREATE, "ip") and env.get("DB_SSLMODE") == "verify-ca":
        return Finding(verdict=Verdict.IN_PLACE, facts={"way": f"{ctx.plant.database.connection} {env['DB_HOST']}"})
    change = Change(field="DB_HOST", live=env.get("DB_HOST"), desired=ctx.known(CREATE, "ip"))
    return Finding(
        verdict=Verdict.CONFLICT, changes=(change,), reason=f"{jobs.OPS} takes another way", hint="run database.ops.job"
    )


def verify_way(ctx: Context) -> Evidence:
    """The server that answers is the instance's."""
    line = jobs.look(ctx, "connect").fact("connect", "server_address")
    words = (
        f"connection by {ctx.plant.database.connection}, no proxy process: {line.get('message', 'the job connected')}"
    )
    return Evidence(words=(words,), where=INSIDE)


def verify_connect(ctx: Context) -> Evidence:
    """Server version, role, and the latency of a round trip."""
    seen = jobs.look(ctx, "connect")
    facts = ("server_version", "current_user", "max_connections", "latency_ms")
    words = tuple(str(seen.fact("connect", fact).get("message", "")) for fact in facts)
    return Evidence(words=tuple(word for word in words if word), where=INSIDE)


def verify_tls(ctx: Context) -> Evidence:
    """Version and cipher of the session, and that plaintext is refused."""
    seen = jobs.look(ctx, "tls")
    session, plaintext = seen.fact("tls", "session"), seen.fact("tls", "plaintext")
    if seen.lines and not str(session.get("version", "")).startswith(("TLSv1.2", "TLSv1.3")):
        raise ProbeFailed(f"the session is {session.get('version') or 'not encrypted'}")
    words = (
        str(session.get("message", f"execution {seen.name} succeeded")),
        f"plaintext refused: {plaintext.get('refusal', '')}" if plaintext else "",
        str(seen.fact("tls", "untrusted").get("message", "")),
    )
    return Evidence(words=tuple(word for word in words if word), where=INSIDE)
