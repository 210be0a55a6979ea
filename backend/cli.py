"""Entry points of the image: `python -m backend migrate|seed|indexes|check|check-config|serve|worker`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from typing import Any

from backend import logs
from backend.checks.connection import check_connect, check_tls
from backend.checks.contents import check_indexes, check_rows, check_schema
from backend.checks.fact import LIMIT_S, Look, run
from backend.checks.redis_connection import check_client, check_pool, check_redis
from backend.checks.redis_failover import PROBE_S, check_failover
from backend.checks.rights import check_rights
from backend.database import session
from backend.failures import message_of, reason_of
from backend.settings import ConfigurationError, Settings, load, load_cache, load_serving, load_working

OK, FAILED, CONFIGURATION = 0, 1, 3

LOOKS: dict[str, Look] = {
    "connect": check_connect,
    "tls": check_tls,
    "schema": check_schema,
    "rights": check_rights,
    "indexes": check_indexes,
    "rows": check_rows,
}
CACHE_LOOKS: dict[str, Look] = {
    "redis-client": check_client,
    "redis": check_redis,
    "redis-pool": check_pool,
    "redis-failover": check_failover,
}
"""Looks at Redis, which need no database; `all` means those at the database."""
LIMITS_S = {"redis-failover": PROBE_S}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one entry point. Gives 0 ok, 1 failed check or job, 3 configuration; usage errors leave with 2."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
    except ConfigurationError as error:
        for problem in error.problems:
            logs.emit("ERROR", problem, command=options.command, ok=False, reason="configuration")
        return CONFIGURATION
    logs.configure(settings.log_level)
    action: Callable[[Settings, argparse.Namespace], int] = options.action
    try:
        return action(settings, options)
    except Exception as error:  # the boundary of the process: one line, never a traceback that could quote a value
        reason = reason_of(error)
        logs.emit("ERROR", message_of(error), command=options.command, ok=False, reason=reason)
        return FAILED


def _settings(options: argparse.Namespace) -> Settings:
    if options.serving:
        return load_serving()
    if options.working:
        return load_working()
    return load_cache() if getattr(options, "what", "") in CACHE_LOOKS else load()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend", description="The Plant backend and its jobs.")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, action: Callable[[Settings, argparse.Namespace], int], words: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=words, description=words)
        command.set_defaults(action=action, serving=False, working=False)
        return command

    migrate = add("migrate", _migrate, "Upgrade schema plant (as its owner).")
    where = migrate.add_mutually_exclusive_group()
    where.add_argument("--to", metavar="REVISION", default="head", help="upgrade to this revision")
    where.add_argument("--down-to", metavar="REVISION", help="drop back to this revision ('base'); not in production")
    where.add_argument("--check", action="store_true", help="only say whether migrations are pending (exit 1)")
    seed = add("seed", _seed, "Upsert the catalogue's seed rows.")
    seed.add_argument("--load", metavar="AGENTS", type=int, default=0, help="rows for load tests; not in production")
    add("indexes", _indexes, "Build missing or invalid indexes without locking writers.")
    look = add("check", _check, "Look at the database or at Redis from inside the network.")
    look.add_argument("what", choices=[*LOOKS, *CACHE_LOOKS, "all"])
    config = add("check-config", _check_config, "Check the environment; prints names, no values.")
    config.add_argument("--serving", action="store_true", help="also what serving needs: Redis and the secrets")
    config.add_argument("--working", action="store_true", help="also what a worker needs: Redis")
    add("serve", _serve, "Serve HTTP on 0.0.0.0:$PORT.").set_defaults(serving=True)
    add("worker", _worker, "Carry out jobs; /health on 0.0.0.0:$PORT.").set_defaults(working=True)
    return parser


def _migrate(settings: Settings, options: argparse.Namespace) -> int:
    if options.check:
        return asyncio.run(_looks(["schema"], settings, options.command))
    from backend import migrate  # loads SQLAlchemy, which a serving process does without

    job: Coroutine[Any, Any, migrate.Migrated]
    job = migrate.downgrade(settings, options.down_to) if options.down_to else migrate.upgrade(settings, options.to)
    done = asyncio.run(job)
    verb = "undone" if options.down_to else "applied"
    words = f"schema plant is at {done.after}, {len(done.applied)} revisions {verb}"
    logs.emit("INFO", words, command=options.command, ok=True, **asdict(done))
    if done.rights.get("residual"):
        words = f"{settings.db_app_user} keeps rights outside this database: {', '.join(done.rights['residual'])}"
        logs.emit("WARNING", words, command=options.command, fix="users.update with databaseRoles, revokeExistingRoles")
    return OK


def _seed(settings: Settings, options: argparse.Namespace) -> int:
    from backend.seed import seed

    counts = asyncio.run(seed(settings))
    for count in counts:
        words = f"{count.table}: {count.inserted} inserted, {count.updated} updated, {count.unchanged} unchanged"
        logs.emit("INFO", words, command=options.command, ok=True, **asdict(count))
    changed = sum(count.inserted + count.updated + count.removed for count in counts)
    if options.load:
        from backend.load_rows import load_rows

        added = asyncio.run(load_rows(settings, options.load))
        logs.emit("INFO", "rows for load tests are there", command=options.command, added=added)
        changed += sum(added.values())
    logs.emit("INFO", f"seeded, {changed} rows changed", command=options.command, ok=True, changed=changed)
    return OK


def _indexes(settings: Settings, options: argparse.Namespace) -> int:
    return asyncio.run(_build(settings, options.command))


async def _build(settings: Settings, command: str) -> int:
    from backend.indexes import build

    bad = built = total = 0
    async for index in build(settings):
        total += 1
        bad += not index.valid
        built += index.action != "none"
        severity = "INFO" if index.valid else "ERROR"
        words = f"{index.name}: {index.state}, {index.action}"
        logs.emit(severity, words, command=command, ok=index.valid, **asdict(index))
    words = f"{total - bad} of {total} indexes valid, {built} built"
    logs.emit("ERROR" if bad else "INFO", words, command=command, ok=not bad, total=total, built=built, invalid=bad)
    return FAILED if bad else OK


def _check(settings: Settings, options: argparse.Namespace) -> int:
    if options.what in CACHE_LOOKS:
        return asyncio.run(_look(options.what, settings, options.command))
    names = list(LOOKS) if options.what == "all" else [options.what]
    return asyncio.run(_looks(names, settings, options.command))


async def _looks(names: list[str], settings: Settings, command: str) -> int:
    """Waits once for the server, so that each look is bounded by its own limit and an unreachable one is one line."""
    try:
        async with session(settings):
            pass
    except Exception as error:
        fields = {"check": names[0] if len(names) == 1 else "all", "fact": "reach", "reason": reason_of(error)}
        logs.emit("ERROR", message_of(error), command=command, ok=False, **fields)
        return FAILED
    at_once = settings.model_copy(update={"db_wait_s": 0.0})
    return max([await _look(name, at_once, command) for name in names])


async def _look(name: str, settings: Settings, command: str) -> int:
    total = bad = 0
    async for fact in run((LOOKS | CACHE_LOOKS)[name], settings, LIMITS_S.get(name, LIMIT_S)):
        total += 1
        bad += not fact.ok
        severity = "INFO" if fact.ok else "ERROR"
        words = f"{name} {fact.name}: {fact.words}"
        logs.emit(severity, words, command=command, check=name, fact=fact.name, ok=fact.ok, **fact.values)
    words = f"check {name}: {total - bad} of {total} facts hold"
    severity = "ERROR" if bad else "INFO"
    logs.emit(severity, words, command=command, check=name, fact="verdict", ok=not bad, total=total, failed=bad)
    return FAILED if bad else OK


def _check_config(settings: Settings, options: argparse.Namespace) -> int:
    given = sorted(name.upper() for name in settings.model_fields_set)
    logs.emit("INFO", "the configuration is complete", command=options.command, ok=True, given=given)
    return OK


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from backend.main import serve

    serve(settings)
    return OK


def _worker(settings: Settings, options: argparse.Namespace) -> int:
    from backend.worker import work

    asyncio.run(work(settings))
    return OK
