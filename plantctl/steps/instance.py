"""Functions behind the Cloud SQL items: what the instance establishes, its users, and looks at it from other sides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from plantctl.errors import ApiFailure, ProbeFailed
from plantctl.gcp import operations
from plantctl.gcp.resource import Params, at, is_operation
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import resources, secrets
from plantctl.steps.context import Context
from plantctl.steps.names import CREATE, DATABASE, USERS

MADE_ANEW = ("CREATE", "CLONE", "CREATE_CLONE", "RESTORE_VOLUME", "RECREATE_REPLICA")
"""Operation types after which the whole server holds other data than before, roles and passwords included."""
REFILLED = (*MADE_ANEW, "CREATE_DATABASE", "IMPORT")
"""Operation types after which what was in the database may be gone, or older than it was."""
QUIET_FLAGS = frozenset(
    {
        "cloudsql.iam_authentication",
        "log_connections",
        "log_disconnections",
        "log_error_verbosity",
        "log_min_duration_statement",
        "log_min_error_statement",
        "log_min_messages",
        "log_statement",
    }
)
"""Database flags that come into force without a restart (Google's page on PostgreSQL flags); any other may need one."""
PASSWORDS = {"owner": "DATABASE_OWNER_PASSWORD", "app": "DATABASE_PASSWORD"}


def _where(ctx: Context) -> Params:
    return {"project": ctx.plant.project.id, "instance": ctx.plant.database.instance}


def private_ip(live: Body) -> str:
    """The private address, or empty."""
    return next((str(a["ipAddress"]) for a in live.get("ipAddresses", []) if a.get("type") == "PRIVATE"), "")


def facts(ctx: Context, live: Body) -> Mapping[str, str]:
    """What jobs connect to, and what evidence is bound to."""
    return {
        "createTime": str(live.get("createTime", "")),
        "ip": private_ip(live),
        "ca": str(at(live, "serverCaCert.cert") or ""),
        "version": str(live.get("databaseInstalledVersion") or live.get("databaseVersion", "")),
    }


def moment(text: str) -> datetime:
    """A time as Google writes it, with any number of decimals and `Z` or an offset; the year 1 for an empty one."""
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)


def flags_restart(change: Change) -> bool:
    """Whether a change is that of a database flag that needs a restart."""
    name = re.fullmatch(r"settings\.databaseFlags\[(.+)\]", change.field)
    return name is not None and name[1] not in QUIET_FLAGS


def _operations(ctx: Context) -> list[Body]:
    """Operations of the instance that did not fail; those of a clone made from it name another target."""
    found = ctx.gcp.list("sql.operations.list", "items", **_where(ctx))
    own = [op for op in found if op.get("targetId", ctx.plant.database.instance) == ctx.plant.database.instance]
    return [op for op in own if op.get("operationType") == "IMPORT" or not op.get("error")]


def _ended(operation: Body) -> str:
    """When it was over; while it runs, when it was asked for."""
    return str(operation.get("endTime") or operation.get("insertTime") or "")


def database_facts(ctx: Context, live: Body) -> Mapping[str, str]:
    """Since when the data in it can be what it is: a restored backup or a database made anew voids what was built.

    An import into another database does not count; a failed one does, for it may have written half.
    """
    moments = [ctx.known(CREATE, "createTime")]
    for operation in _operations(ctx):
        into = at(operation, "importContext.database") or ctx.plant.database.name
        if operation.get("operationType") in REFILLED and into == ctx.plant.database.name:
            moments.append(_ended(operation))
    return {"since": max(moments, key=moment)}


def database_data(ctx: Context) -> str:
    """What `--recreate` must spell: the database, which whoever ordered a new instance has given up already."""
    return "" if ctx.plant.database.instance in ctx.options.recreate else ctx.plant.database.name


def verify_instance(ctx: Context) -> Evidence:
    """What a connector would be told: private address only, and the CA that clients verify with."""
    told = ctx.gcp.call("sql.connect.get", **_where(ctx))
    kinds = sorted(str(address["type"]) for address in told.get("ipAddresses", []))
    if kinds != ["PRIVATE"]:
        raise ProbeFailed(f"the instance has addresses of type {', '.join(kinds) or 'none'}, not PRIVATE alone")
    ca = told.get("serverCaCert", {})
    words = (
        f"{ctx.plant.database.instance} serves {told.get('databaseVersion')} in {told.get('region')}",
        f"private address {private_ip(told)}, no public one",
        f"server CA {str(ca.get('commonName', ''))[:60]} until {str(ca.get('expirationTime', 'unknown'))[:10]}",
    )
    return Evidence(words=words, where="Cloud SQL's connectSettings")


def _listed(ctx: Context) -> Body:
    found = ctx.gcp.list("sql.instances.list", "items", project=ctx.plant.project.id)
    mine = [item for item in found if item["name"] == ctx.plant.database.instance]
    if not mine:
        raise ProbeFailed(f"the project's list of instances lacks {ctx.plant.database.instance}")
    return mine[0]


def verify_tier(ctx: Context) -> Evidence:
    """The project's list of instances."""
    settings = _listed(ctx)["settings"]
    words = f"tier {settings['tier']}, edition {settings.get('edition')}, {settings['dataDiskSizeGb']} GB"
    return Evidence(words=(words,), where="the project's list of instances")


def verify_backup(ctx: Context) -> Evidence:
    """The newest successful backup if there is one yet, and how far back a point in time can lie."""
    settings = _listed(ctx)["settings"]["backupConfiguration"]
    words = [f"daily in the four hours from {settings['startTime']} UTC, kept {retained(settings)}, point in time on"]
    runs = ctx.gcp.list("sql.backupRuns.list", "items", **_where(ctx))
    good = [run for run in runs if run.get("status") == "SUCCESSFUL"]
    words.append(f"newest backup {good[0]['endTime']}" if good else "no backup yet: the first window has not come")
    try:
        window = ctx.gcp.call("sql.projects.instances.getLatestRecoveryTime", **_where(ctx))
        words.append(f"recoverable up to {window.get('latestRecoveryTime', 'unknown')}")
    except ApiFailure as failure:  # a young instance has no log archived yet; the setting is what the item is about
        words.append(f"no recovery time yet: {failure.message}")
    return Evidence(words=tuple(words), where="Cloud SQL's list of backups and recovery window")


def retained(settings: Body) -> str:
    """`7 backups, 7 days of logs`."""
    count = at(settings, "backupRetentionSettings.retainedBackups")
    return f"{count} backups, {settings.get('transactionLogRetentionDays')} days of logs"


def verify_availability(ctx: Context) -> Evidence:
    """Two zones."""
    live = _listed(ctx)
    words = (
        f"{live['settings']['availabilityType']}: zone {live.get('gceZone')}, standby {live.get('secondaryGceZone')}"
    )
    return Evidence(words=(words,), where="the project's list of instances")


def verify_insights(ctx: Context) -> Evidence:
    """Insights, and the flag of the slow-query log."""
    settings = _listed(ctx)["settings"]
    flags = {flag["name"]: flag["value"] for flag in settings.get("databaseFlags", [])}
    slow = flags.get("log_min_duration_statement")
    state = "on" if settings["insightsConfig"]["queryInsightsEnabled"] else "off"
    words = f"query insights are {state}, statements over {slow} ms are logged"
    return Evidence(words=(words,), where="the project's list of instances")


def verify_database(ctx: Context) -> Evidence:
    """The instance lists it, and since when its data can be what it is."""
    found = ctx.gcp.list("sql.databases.list", "items", **_where(ctx))
    mine = [database for database in found if database["name"] == ctx.plant.database.name]
    if not mine:
        raise ProbeFailed(f"the instance does not list {ctx.plant.database.name}")
    words = f"{mine[0]['name']}: {mine[0]['charset']}, {mine[0]['collation']}, since {ctx.known(DATABASE, 'since')}"
    return Evidence(words=(words,), where="the instance's list of databases")


def _roles(ctx: Context) -> dict[str, str]:
    """Role name -> secret id of its password."""
    return {
        ctx.plant.database.owner: PASSWORDS["owner"],
        ctx.plant.database.app: PASSWORDS["app"],
    }


def _secret_item(secret_id: str) -> str:
    return f"predeploy.secret.{secret_id.lower()}"


def check_users(ctx: Context) -> Finding:
    """Both roles there, with the password of the newest enabled version: one that is not known to be that is reset."""
    live = {user["name"] for user in ctx.gcp.list("sql.users.list", "items", **_where(ctx))}
    versions = {role: f"{s} version {ctx.known(_secret_item(s), 'version')}" for role, s in _roles(ctx).items()}
    stale = _stale(ctx, live)
    changes = [
        Change(field=f"user {role} password", live="not known to plantctl", desired=f"reset to {versions[role]}")
        if role in live
        else Change(field=f"user {role}", desired=f"to be made with {versions[role]}")
        for role in stale
    ]
    if not changes:
        facts = {f"{role} password": version for role, version in versions.items()}
        return Finding(verdict=Verdict.IN_PLACE, facts=facts)
    reset = [role for role in stale if role in live]
    words = f"the passwords of {' and '.join(reset)} are reset: what still uses the old ones loses its access"
    verdict = Verdict.DRIFTED if live & set(_roles(ctx)) else Verdict.MISSING
    return Finding(verdict=verdict, changes=tuple(changes), reason=words if reset else "")


def _stale(ctx: Context, live: set[str]) -> list[str]:
    """Roles to be made or reset, in order."""
    if not live.intersection(_roles(ctx)):
        return list(_roles(ctx))
    done = _operations(ctx)
    return [role for role in _roles(ctx) if role not in live or not _password_is_ours(ctx, role, done)]


def _password_is_ours(ctx: Context, role: str, done: list[Body]) -> bool:
    """True when the last operation of ours that set it is younger than the instance's data and the secret's version.

    By Google's clock: the journal gives the names of our operations, the instance's list their times (the journal too,
    once the list has forgotten them). A password that somebody else changed since counts as unknown (UPDATE_USER does
    not say whose); resetting it to the value that it has costs nothing, and neither does losing the journal.
    """
    suffix = f"/{ctx.plant.database.instance}/{role}"
    attempts = [a for a in ctx.memory.attempts(item=USERS) if a.method_id.startswith("sql.users.")]
    ours = [a for a in attempts if a.resource.endswith(suffix) and 200 <= a.status < 300]
    if not ours:
        return False
    names = {_short(attempt.operation) for attempt in ours}
    listed = [moment(_ended(op)) for op in done if op["name"] in names]
    set_at = max(listed or [attempt.sent_at for attempt in ours])
    limits = [ctx.known(CREATE, "createTime"), ctx.known(_secret_item(_roles(ctx)[role]), "created")]
    every = {_short(attempt.operation) for attempt in attempts}
    for operation in done:
        theirs = operation.get("operationType") == "UPDATE_USER" and operation["name"] not in every
        if theirs or operation.get("operationType") in MADE_ANEW:
            limits.append(_ended(operation))
    return set_at > max(moment(limit) for limit in limits)


def _short(operation: str) -> str:
    """The journal keeps an operation's whole path, the list its last part."""
    return operation.rsplit("/", 1)[-1]


def apply_users(ctx: Context, finding: Finding) -> None:
    """One after the other: the instance takes one administrative operation at a time (hazards Q01)."""
    live = {user["name"] for user in ctx.gcp.list("sql.users.list", "items", **_where(ctx))}
    for role in _stale(ctx, live):
        secret_id = _roles(ctx)[role]
        password = secrets.read(ctx, secret_id, ctx.known(_secret_item(secret_id), "version")).reveal()
        if role in live:
            method = "sql.users.update"
            answer = ctx.gcp.call(method, {"name": role, "password": password}, **_where(ctx), name=role)
        else:
            method = "sql.users.insert"
            answer = ctx.gcp.call(method, {"name": role, "password": password}, **_where(ctx))
        if is_operation(answer):
            operations.wait(ctx.gcp, method, answer, deadline_s=600)
        resources.sql_instance(ctx).settle(None)


def verify_users(ctx: Context) -> Evidence:
    """Names and kinds; that the passwords hold is proved by the jobs that connect with them."""
    found = {user["name"]: user for user in ctx.gcp.list("sql.users.list", "items", **_where(ctx))}
    missing = [role for role in _roles(ctx) if role not in found]
    if missing:
        raise ProbeFailed(f"the instance does not list {', '.join(missing)}")
    words = tuple(f"{role}: {found[role].get('type', 'BUILT_IN')}" for role in _roles(ctx))
    return Evidence(words=words, where="the instance's list of users")
