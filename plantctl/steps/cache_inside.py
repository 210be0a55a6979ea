"""Items that look at Redis from inside the network: the job that does it, client, connection, pool."""

from __future__ import annotations

import re

from plantctl.desired import cache as desired
from plantctl.model.step import Body, Evidence, Finding, Verdict
from plantctl.steps import jobs, redis, resources, source
from plantctl.steps.build import UPDATE, Resource
from plantctl.steps.context import Context
from plantctl.steps.inside import JOB_RULES
from plantctl.steps.names import CACHE, CACHE_SECRETS, PUSH

INSIDE = f"from inside job {jobs.OPS_CACHE}"
LOCK = "backend/requirements.lock"


def ops_job(ctx: Context) -> Body:
    """`plant-ops-cache`: the application's identity and way to Redis, and nothing that belongs to another phase."""
    digest = ctx.fact(PUSH, "digest")
    return desired.job(
        ctx.plant,
        image=f"{ctx.plant.image_name}@{digest}" if isinstance(digest, str) else digest,
        address=(ctx.fact(CACHE, "host"), ctx.fact(CACHE, "port")),
        versions={secret_id: ctx.fact(CACHE_SECRETS, fact) for secret_id, fact in redis.FILLED.items()},
    )


JOB = Resource(
    managed=resources.job(jobs.OPS_CACHE),
    desired=ops_job,
    rules=JOB_RULES,
    facts=lambda _ctx, live: {"image": str(live["template"]["template"]["containers"][0]["image"])},
    cure=lambda _ctx: UPDATE,
)


def check_install(ctx: Context) -> Finding:
    """The lock file that the image is built from pins redis-py; the image itself is looked at by verify."""
    lock = source.folder(ctx.plant, ctx.base) / LOCK
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    pinned = re.search(r"^redis==(\S+)", text, re.MULTILINE)
    if pinned is None:
        hint = f"add redis to {LOCK} in the folder that backend.source names, and raise backend.version"
        return Finding(verdict=Verdict.CONFLICT, reason=f"{LOCK} does not pin redis", hint=hint)
    return Finding(verdict=Verdict.IN_PLACE, facts={"redis": pinned[1]})


def verify_install(ctx: Context) -> Evidence:
    """What the image that was built can import, and what its own lock file says."""
    seen = jobs.look(ctx, "redis-client", jobs.OPS_CACHE)
    words = tuple(said for fact in ("installed", "locked") if (said := seen.said("redis-client", fact)))
    return Evidence(words=words or seen.note, where=INSIDE)


def verify_connect(ctx: Context) -> Evidence:
    """Operations over TLS with AUTH, and that nothing else gets in."""
    seen = jobs.look(ctx, "redis", jobs.OPS_CACHE)
    told = {
        "tls": "the session is {}",
        "server": "the server is {}",
        "set": "SET: {}",
        "get": "GET: {}",
        "del": "DEL: {}",
        "without_auth": "without AUTH: {}",
        "without_ca": "by a client that does not know the CA: {}",
        "plaintext": "without TLS: {}",
        "latency_ms": "{}",
    }
    words = tuple(words.format(said) for fact, words in told.items() if (said := seen.said("redis", fact)))
    return Evidence(words=(*_reached(ctx, seen), *words) or seen.note, where=INSIDE)


def _reached(ctx: Context, seen: jobs.Execution) -> tuple[str, ...]:
    """PING, by which address. Where the reserved one is reached by a detour, it is named (design section 7)."""
    line = seen.fact("redis", "ping")
    if not line:
        return ()
    reserved, dialled = ctx.known(CACHE, "host"), str(line.get("dialled", ""))
    detour = f" by the local way {dialled}" if dialled not in ("", reserved) else ""
    return (f"PING: the private address {reserved} answers on port {line.get('port')}{detour}",)


def verify_pool(ctx: Context) -> Evidence:
    """How many connections a busy pool holds, by the server's own list."""
    seen = jobs.look(ctx, "redis-pool", jobs.OPS_CACHE)
    words = tuple(said for fact in ("bounds", "server") if (said := seen.said("redis-pool", fact)))
    return Evidence(words=words or seen.note, where=f"{INSIDE}, by CLIENT LIST")
