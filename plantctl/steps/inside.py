"""Items that work or look inside the network: the ops job, migrations, seed, indexes, connection and TLS."""

from __future__ import annotations

from collections.abc import Callable

from plantctl.desired import database as desired
from plantctl.errors import OperationFailed, ProbeFailed
from plantctl.gcp.resource import at
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import jobs, resources
from plantctl.steps.build import UPDATE, Resource, Rules, bring, look
from plantctl.steps.context import Context
from plantctl.steps.instance import moment
from plantctl.steps.names import CREATE, DATABASE, MIGRATE, OPS_JOB, PUSH

INSIDE = f"from inside job {jobs.OPS}"
JOB_FIELDS = (
    "template.taskCount",
    "template.template.serviceAccount",
    "template.template.maxRetries",
    "template.template.timeout",
    "template.template.vpcAccess",
    "template.template.containers",
)
JOB_RULES = Rules(fields=JOB_FIELDS, sets={"template.template.containers.env": "name"})
TLS = ("TLSv1.2", "TLSv1.3")


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


OPS_RESOURCE = Resource(
    managed=resources.job(jobs.OPS), desired=ops_job, rules=JOB_RULES, facts=_job_facts, cure=lambda _ctx: UPDATE
)
MIGRATE_RESOURCE = Resource(
    managed=resources.job(jobs.MIGRATE), desired=migrate_job, rules=JOB_RULES, cure=lambda _ctx: UPDATE
)


def in_place(ctx: Context) -> Finding:
    """An item that is a proof: there is nothing to make, only to look at."""
    return Finding(verdict=Verdict.IN_PLACE)


def nothing(ctx: Context, finding: Finding) -> None:
    """Nothing is written: the item is a proof, or another item owns what it looks at."""


def verify_ops(ctx: Context) -> Evidence:
    """The job runs and reaches the database."""
    seen = jobs.look(ctx, "connect")
    image = f"image {ctx.known(OPS_JOB, 'image').rsplit('@', 1)[1][:19]}"
    return Evidence(words=(*(_reached(ctx, seen) or seen.note), image), where=INSIDE)


def _reached(ctx: Context, seen: jobs.Execution) -> tuple[str, ...]:
    """Which address answered. Where the reserved one is reached by a detour, the detour is named (design section 7)."""
    line = seen.fact("connect", "server_address")
    if not line:
        return ()
    reserved, dialled = ctx.known(CREATE, "ip"), str(line.get("dialled", ""))
    detour = f" by the local way {dialled}" if dialled not in ("", reserved) else ""
    return (f"the private address {reserved} is reached{detour}",)


def _last(ctx: Context, command: str) -> tuple[Body | None, Body | None]:
    """(running, succeeded) execution of a command with the present image on the data as it is now."""
    parent = desired.job_name(ctx.plant, jobs.MIGRATE)
    since = moment(ctx.known(DATABASE, "since"))
    image = f"{ctx.plant.image_name}@{ctx.known(PUSH, 'digest')}"
    found = [
        execution
        for execution in ctx.gcp.list(f"{jobs.JOBS}.executions.list", "executions", parent=parent)
        if jobs.args_of(execution) == (command,)
        and jobs.image_of(execution) == image
        and moment(str(execution.get("createTime", ""))) > since
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
                hint=f"{jobs.lines_command(ctx, ended.name)}; docs/runbooks/database.md says what to do about it",
            )

    return apply


def check_migrate(ctx: Context) -> Finding:
    """The job as desired, and a successful `migrate`."""
    found = look(ctx, MIGRATE, MIGRATE_RESOURCE)
    return _look_done(ctx, "migrate") if found.in_place else found


def apply_migrate(ctx: Context, finding: Finding) -> None:
    """Bring the job into place, then migrate."""
    bring(ctx, MIGRATE, MIGRATE_RESOURCE)
    if look(ctx, MIGRATE, MIGRATE_RESOURCE).in_place:
        do("migrate")(ctx, finding)


def verify_migrate(ctx: Context) -> Evidence:
    """The schema is at head, and the application's role may change data only."""
    schema, rights = jobs.look(ctx, "schema"), jobs.look(ctx, "rights")
    revision = schema.said("schema", "revision")
    words = [f"schema plant is at {revision}"] if revision else list(schema.note)
    for fact in ("create_in_plant", "drop_table"):
        line = rights.fact("rights", fact)
        if line:
            words.append(f"{ctx.plant.database.app} is refused `{line.get('statement')}`: {line.get('refusal')}")
    return Evidence(words=tuple(words), where=INSIDE)


def verify_seed(ctx: Context) -> Evidence:
    """Counts of every table, and that the seeded slugs are all there."""
    seen = jobs.look(ctx, "rows")
    facts = [str(line["fact"]) for line in seen.lines if line.get("check") == "rows" and line.get("fact") != "verdict"]
    words = tuple(f"{fact}: {seen.said('rows', fact)}" for fact in facts)
    return Evidence(words=words or seen.note, where=INSIDE)


def verify_indexes(ctx: Context) -> Evidence:
    """Every expected index, valid."""
    seen = jobs.look(ctx, "indexes")
    valid = [
        str(line["fact"]) for line in seen.lines if line.get("check") == "indexes" and line.get("state") == "valid"
    ]
    words = (f"{len(valid)} indexes are there and valid: {', '.join(valid)}",) if valid else seen.note
    return Evidence(words=words, where=INSIDE)


def check_way(ctx: Context) -> Finding:
    """The configured way in: private address with verified TLS, in the job as it is (no proxy is needed for that)."""
    live = resources.job(jobs.OPS)(ctx).live() or {}
    containers = at(live, "template.template.containers") or [{}]
    env = {entry.get("name"): entry.get("value") for entry in containers[0].get("env", [])}
    wanted = {"DB_HOST": ctx.known(CREATE, "ip"), "DB_SSLMODE": "verify-ca"}
    changes = tuple(
        Change(field=f"job {jobs.OPS} {name}", live=env.get(name), desired=value)
        for name, value in wanted.items()
        if env.get(name) != value
    )
    if not changes:
        return Finding(verdict=Verdict.IN_PLACE, facts={"way": f"{ctx.plant.database.connection} {env['DB_HOST']}"})
    hint = f"plantctl phase run database --only {OPS_JOB}"
    reason = f"job {jobs.OPS} takes another way to the database"
    return Finding(verdict=Verdict.CONFLICT, changes=changes, reason=reason, hint=hint)


def verify_way(ctx: Context) -> Evidence:
    """The server that answers is the instance's, and which version of PostgreSQL it is."""
    seen = jobs.look(ctx, "connect")
    way = f"by {ctx.plant.database.connection} with verified TLS; a proxy process is not needed for that"
    version = seen.said("connect", "server_version")
    answered = (*_reached(ctx, seen), f"{version} answers") if version else seen.note
    return Evidence(words=(way, *answered), where=INSIDE)


def verify_connect(ctx: Context) -> Evidence:
    """Server version, role, and the latency of a round trip."""
    seen = jobs.look(ctx, "connect")
    told = {
        "server_version": "the server is {}",
        "current_user": "connected as {}",
        "max_connections": "it takes {}",
        "latency_ms": "{}",
    }
    words = tuple(words.format(said) for fact, words in told.items() if (said := seen.said("connect", fact)))
    return Evidence(words=words or seen.note, where=INSIDE)


def verify_tls(ctx: Context) -> Evidence:
    """Version and cipher of the session, that the certificate is verified, and that plaintext is refused.

    The exit code is the verdict; lines that came are held against it, lines that did not make a note.
    """
    seen = jobs.look(ctx, "tls")
    session, plaintext = seen.fact("tls", "session"), seen.fact("tls", "plaintext")
    if session and session.get("version") not in TLS:
        raise ProbeFailed(
            f"the session is {session.get('version') or 'not encrypted'}, not {' or '.join(TLS)}",
            hint=f"plantctl phase run database --only {CREATE}",
        )
    words = (
        f"the session is {seen.said('tls', 'session')}" if session else "",
        f"the server's certificate is {seen.said('tls', 'authority')}" if seen.said("tls", "authority") else "",
        f"a client that does not know the CA refuses the server: {said}"
        if (said := seen.said("tls", "untrusted"))
        else "",
        f"plaintext is refused: {plaintext.get('refusal', '')}" if plaintext else "",
    )
    return Evidence(words=tuple(word for word in words if word) or seen.note, where=INSIDE)
