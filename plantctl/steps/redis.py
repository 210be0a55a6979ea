"""Functions behind the Memorystore items: what the instance establishes, the secrets it fills, looks from aside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from plantctl.desired import cache as desired
from plantctl.errors import ApiFailure, ProbeFailed
from plantctl.gcp.iam_policy import Grant, add_grants
from plantctl.model.secret import Secret
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import cache_rows, secrets
from plantctl.steps.build import bring, join, look
from plantctl.steps.context import Context
from plantctl.steps.grants import granted, look_at_grants
from plantctl.steps.names import CACHE, CACHE_SECRETS

FILLED = {"REDIS_PASSWORD": "password_version", "REDIS_CA": "ca_version"}
"""Secrets that the instance fills, with the fact that tells the version."""
WHERE = "the region's list of Memorystore instances"


def tomorrow(ctx: Context) -> date:
    """Day of the first snapshot of an instance that is made now."""
    return ctx.clock.now().date() + timedelta(days=1)


def facts(ctx: Context, live: Body) -> Mapping[str, str]:
    """What clients connect to, and what evidence is bound to. The primary's zone is none: a failover moves it."""
    return {
        "createTime": str(live.get("createTime", "")),
        "host": str(live.get("host", "")),
        "port": str(live.get("port", "")),
    }


def listed(ctx: Context) -> Body:
    """The instance as the region's list has it; ProbeFailed when it has not."""
    name = desired.instance_name(ctx.plant)
    parent = name.rsplit("/instances/", 1)[0]
    found = ctx.gcp.list(f"{cache_rows.INSTANCES}.list", "instances", parent=parent)
    tail = name.split("/", 2)[2]
    mine = next((one for one in found if str(one["name"]).split("/", 2)[2] == tail), None)
    if mine is None:
        words = f"the region's list of instances lacks {ctx.plant.cache.instance}"
        raise ProbeFailed(words, hint=f"plantctl phase run cache --only {CACHE}")
    return mine


def verify_instance(ctx: Context) -> Evidence:
    """Who serves where, under which CAs, and that AUTH and TLS are on."""
    live = listed(ctx)
    if not live.get("authEnabled") or live.get("transitEncryptionMode") != "SERVER_AUTHENTICATION":
        raise ProbeFailed(f"{ctx.plant.cache.instance} is listed without AUTH or without TLS")
    words = (
        f"{ctx.plant.cache.instance} serves {live.get('redisVersion')} at {live.get('host')}:{live.get('port')}",
        f"AUTH and TLS are on, {len(live.get('serverCaCerts', []))} server CA",
        f"eviction {(live.get('redisConfigs') or {}).get('maxmemory-policy')}, private services access alone",
    )
    return Evidence(words=words, where=WHERE)


def verify_tier(ctx: Context) -> Evidence:
    """Tier, size, and the two zones."""
    live = listed(ctx)
    zones = ", ".join(str(node.get("zone")) for node in live.get("nodes", [])) or "zones not told"
    words = f"{live.get('tier')}, {live.get('memorySizeGb')} GB, primary in {live.get('currentLocationId')} of {zones}"
    return Evidence(words=(words,), where=WHERE)


def verify_backup(ctx: Context) -> Evidence:
    """The mode, and when the next snapshot is due. They serve automatic recovery; nobody can fetch one."""
    kept = listed(ctx).get("persistenceConfig") or {}
    if kept.get("persistenceMode") != "RDB":
        raise ProbeFailed(f"persistence is {kept.get('persistenceMode') or 'not told'}, not RDB")
    words = (
        f"RDB snapshots {kept.get('rdbSnapshotPeriod')}, next at {kept.get('rdbNextSnapshotTime', 'a time not told')}"
    )
    return Evidence(words=(words, "no point-in-time recovery: Memorystore has none"), where=WHERE)


def _current(ctx: Context) -> dict[str, Secret]:
    """What the instance asks for now: its AUTH string, and all CAs that may sign its certificate.

    A second CA appears years before the first one ends, and clients need both (gcp-foundation section 3).
    """
    name = desired.instance_name(ctx.plant)
    answer = ctx.gcp.call(f"{cache_rows.INSTANCES}.getAuthString", name=name)
    live = ctx.gcp.call(f"{cache_rows.INSTANCES}.get", name=name)
    authorities = [str(ca["cert"]).strip() for ca in live.get("serverCaCerts", [])]
    text = "".join(f"{pem}\n" for pem in authorities)
    return {"REDIS_PASSWORD": Secret(str(answer.get("authString", ""))), "REDIS_CA": Secret(text)}


def _grants(ctx: Context) -> tuple[Grant, ...]:
    return secrets.readers(ctx, "REDIS_CA")


CA = secrets.container("REDIS_CA")


def check_secrets(ctx: Context) -> Finding:
    """Both secrets hold what the instance asks for now. Values are compared in memory and never told.

    Whoever may not read one of them cannot tell: UNKNOWN.
    """
    found = look(ctx, CACHE_SECRETS, CA)
    if found.verdict not in (Verdict.IN_PLACE, Verdict.DRIFTED):
        return found
    try:
        return join((found, look_at_grants(ctx, _grants(ctx)), *_look_at_values(ctx)))
    except ApiFailure as failure:
        if failure.code != 403:
            raise
        hint = "it takes redis.instances.getAuthString and secretmanager.versions.access to compare the two"
        return Finding(verdict=Verdict.UNKNOWN, reason=f"values may not be read: {failure.message}", hint=hint)


def _look_at_values(ctx: Context) -> list[Finding]:
    findings: list[Finding] = []
    for secret_id, value in _current(ctx).items():
        if not value.reveal():
            reason = f"{ctx.plant.cache.instance} gives no {'AUTH string' if secret_id == 'REDIS_PASSWORD' else 'CA'}"
            hint = f"plantctl phase run cache --only {CACHE}"
            return [Finding(verdict=Verdict.CONFLICT, reason=reason, hint=hint)]
        newest = secrets.newest_enabled(ctx, secret_id)
        if newest is not None and secrets.read(ctx, secret_id, secrets.number(newest)) == value:
            fact = {FILLED[secret_id]: secrets.number(newest)}
            findings.append(Finding(verdict=Verdict.IN_PLACE, facts=fact))
            continue
        old = "" if newest is None else f"version {secrets.number(newest)} holds another value"
        change = Change(field=secret_id, live=old or None, desired=f"what {ctx.plant.cache.instance} has now")
        words = f"{secret_id} is not what {ctx.plant.cache.instance} asks for; what pins the old version is shut out"
        verdict = Verdict.DRIFTED if old else Verdict.MISSING
        findings.append(Finding(verdict=verdict, changes=(change,), reason=words if old else ""))
    return findings


def apply_secrets(ctx: Context, finding: Finding) -> None:
    """Container, reader, and a version of each secret whose newest one is not what the instance has now.

    Versions before it stay enabled: what serves still pins one (hazards K02).
    """
    bring(ctx, CACHE_SECRETS, CA)
    add_grants(ctx.gcp, _grants(ctx))
    for secret_id, value in _current(ctx).items():
        newest = secrets.newest_enabled(ctx, secret_id)
        if newest is None or secrets.read(ctx, secret_id, secrets.number(newest)) != value:
            secrets.add_version(ctx, secret_id, value)


def verify_secrets(ctx: Context) -> Evidence:
    """Which versions, made when, and who may read them."""
    words = list(granted(ctx, _grants(ctx)).words)
    for secret_id, fact in FILLED.items():
        pinned = ctx.known(CACHE_SECRETS, fact)
        made = next((v for v in secrets.versions(ctx, secret_id) if secrets.number(v) == pinned), None)
        if made is None or made.get("state") != "ENABLED":
            raise ProbeFailed(f"{secret_id} does not list version {pinned} as ENABLED")
        words.append(f"{secret_id} version {pinned} of {str(made.get('createTime', ''))[:19]} is what the instance has")
    return Evidence(words=tuple(words), where="Secret Manager and Memorystore; values were compared, not shown")
