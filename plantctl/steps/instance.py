"""Functions behind the Cloud SQL items: what the instance establishes, its users, and looks at it from other sides."""

from __future__ import annotations

from collections.abc import Mapping

from plantctl.errors import ApiFailure, ProbeFailed
from plantctl.gcp import operations
from plantctl.gcp.resource import Params, at, is_operation
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import resources, secrets
from plantctl.steps.context import Context
from plantctl.steps.names import CREATE, DATABASE, USERS

SQL_OF_DATA = ("CREATE", "CLONE", "CREATE_DATABASE", "DELETE_DATABASE", "RESTORE_VOLUME", "IMPORT", "RECREATE_REPLICA")
"""Operation types after which what was in the database may be gone or older than it was."""
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


def database_facts(ctx: Context, live: Body) -> Mapping[str, str]:
    """Since when the data in it can be what it is: a restored backup or a database made anew voids what was built."""
    found = ctx.gcp.list("sql.operations.list", "items", **_where(ctx))
    moments = [str(op["insertTime"]) for op in found if op.get("operationType") in SQL_OF_DATA]
    return {"since": max(moments, default=ctx.known(CREATE, "createTime"))}


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
    words = f"query insights {settings['insightsConfig']['queryInsightsEnabled']}, statements over {slow} ms are logged"
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
    """Both roles there, with a password that is ours: one that somebody else set is unknown, and so reset."""
    live = {user["name"] for user in ctx.gcp.list("sql.users.list", "items", **_where(ctx))}
    changes = []
    for role, secret_id in _roles(ctx).items():
        if role not in live:
            changes.append(Change(field=f"user {role}", desired="to be made"))
        elif not _password_is_ours(ctx, role):
            version = ctx.known(_secret_item(secret_id), "version")
            changes.append(
                Change(
                    field=f"user {role} password",
                    live="unknown",
                    desired=f"{secret_id} version {version}",
                    sensitive=True,
                )
            )
    versions = {f"{role} password": ctx.known(_secret_item(s), "version") for role, s in _roles(ctx).items()}
    if not changes:
        return Finding(verdict=Verdict.IN_PLACE, facts=versions)
    missing = len(changes) == len(_roles(ctx)) and not live & set(_roles(ctx))
    return Finding(verdict=Verdict.MISSING if missing else Verdict.DRIFTED, changes=tuple(changes))


def _password_is_ours(ctx: Context, role: str) -> bool:
    """By the journal: we set it on this very instance. Losing the journal costs one reset to the same value."""
    if ctx.memory.was_in_place(USERS):
        return True
    since = ctx.known(CREATE, "createTime")
    return any(
        attempt.method_id in ("sql.users.insert", "sql.users.update")
        and attempt.resource.endswith(f"/{role}")
        and attempt.sent_at.isoformat() > since[:19]
        and (attempt.status == 0 or attempt.status < 300)
        for attempt in ctx.memory.attempts(item=USERS)
    )


def apply_users(ctx: Context, finding: Finding) -> None:
    """One after the other: the instance takes one administrative operation at a time (hazards Q01)."""
    live = {user["name"] for user in ctx.gcp.list("sql.users.list", "items", **_where(ctx))}
    for role, secret_id in _roles(ctx).items():
        if role in live and _password_is_ours(ctx, role):
            continue
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
