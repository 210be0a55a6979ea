"""The one way to the database: asyncpg over verified TLS, for pool, jobs and (through SQLAlchemy) migrations."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from backend.failures import RETRIED, BackendError, reason_of
from backend.settings import Settings

Connection = Any  # asyncpg ships no types
Pool = Any

CONNECT_S = 5.0
_SETTLE_S = 0.1  # asyncpg only begins to close the socket of a failed attempt; the loop must live to end it
LOCK_KEY = 0x706C616E74  # "plant": migrate, seed and indexes take turns
_SESSION = {"search_path": "plant", "timezone": "UTC", "lock_timeout": "5s"}


def tls(settings: Settings, *, trusting: bool = True) -> ssl.SSLContext | bool:
    """The context for DB_SSLMODE; False for none. Without `trusting` it knows no CA, to see that it refuses then.

    verify-ca is the default because a Cloud SQL instance's certificate names the instance, not its address: its CA
    signs for that instance alone, so checking the chain is checking the identity (sqladmin `serverCaMode`).
    """
    if settings.db_sslmode == "disable":
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = settings.db_sslmode == "verify-full"
    if not settings.verifies_tls:
        context.verify_mode = ssl.CERT_NONE
    elif trusting:
        context.load_verify_locations(cadata=settings.ca_pem())
    return context


async def connect(settings: Settings, **overrides: object) -> Connection:
    """One connection, one attempt, at most CONNECT_S seconds. `overrides` replace arguments of `asyncpg.connect`."""
    arguments: dict[str, object] = {
        "host": settings.db_host,
        "port": settings.db_port,
        "database": settings.db_name,
        "user": settings.db_user,
        "password": settings.database_password.get_secret_value(),
        "ssl": tls(settings),
        "timeout": CONNECT_S,
        "server_settings": _SESSION | {"application_name": f"{settings.k_service}/job"},
    }
    try:
        return await asyncpg.connect(**(arguments | overrides))
    except Exception:
        await asyncio.sleep(_SETTLE_S)
        raise


async def connect_when_up(settings: Settings) -> Connection:
    """Like `connect`, but waits up to DB_WAIT_S for a server that refuses connections or is starting up."""
    deadline = time.monotonic() + settings.db_wait_s
    pause = 0.1
    while True:
        try:
            return await connect(settings)
        except Exception as error:
            left = deadline - time.monotonic()
            if reason_of(error) not in RETRIED or left <= 0:
                raise
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, 2.0)


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[Connection]:
    """A connection of a job, closed at the end; a connection that is lost meanwhile is dropped without waiting."""
    connection = await connect_when_up(settings)
    try:
        yield connection
    finally:
        try:
            await connection.close(timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            connection.terminate()


@asynccontextmanager
async def exclusive(settings: Settings, wait_s: float = 60.0) -> AsyncIterator[Connection]:
    """Holds the plant's advisory lock on a session of its own and gives that session. Raises BackendError `lock-held`.

    It polls: a session that *waits* in pg_advisory_lock holds a snapshot, for which CREATE INDEX CONCURRENTLY of the
    lock's holder would wait in turn. The lock belongs to the session, so a killed job frees it.
    """
    async with session(settings) as connection:
        deadline = time.monotonic() + wait_s
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            if time.monotonic() > deadline:
                raise BackendError("lock-held", f"another job holds the plant's lock for more than {wait_s:g} s")
            await asyncio.sleep(0.2)
        try:
            yield connection
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)


async def _prepare(connection: Connection) -> None:
    """JSON columns are Python's values."""
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _keep(connection: Connection) -> None:
    """Replaces asyncpg's RESET ALL after each use, a round trip: handlers change no setting of a session."""


async def create_pool(settings: Settings) -> Pool:
    """The pool of a serving process: no connection at the start, so that a revision becomes ready without a database.

    At most 5 connections a process: 4 instances of 2 processes, doubled in a roll-out, stay at 80 (backend 2.3).
    """
    return await asyncpg.create_pool(
        host=settings.db_host,
        port=settings.db_port,
        database=settings.db_name,
        user=settings.db_user,
        password=settings.database_password.get_secret_value(),
        ssl=tls(settings),
        min_size=0,
        max_size=settings.db_pool_max,
        init=_prepare,
        reset=_keep,
        timeout=3,
        command_timeout=5,
        max_inactive_connection_lifetime=300,
        server_settings=_SESSION
        | {
            "application_name": f"{settings.k_service}/{settings.k_revision}",
            "statement_timeout": "5s",
            "idle_in_transaction_session_timeout": "10s",
        },
    )
