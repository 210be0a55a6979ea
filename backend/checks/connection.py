"""`check connect` and `check tls`: who answers, how fast, under which cipher, and that plaintext is refused."""

from __future__ import annotations

import hashlib
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from backend.checks.fact import Fact, failed
from backend.database import connect, session, tls
from backend.failures import message_of, reason_of
from backend.settings import Settings

_ROUND_TRIPS = 5
_REFUSAL = "no encryption"  # PostgreSQL's words when pg_hba.conf asks for TLS


async def check_connect(settings: Settings) -> AsyncIterator[Fact]:
    """Facts: server_version, current_user, server_address, max_connections, latency_ms (median of 5 round trips)."""
    started = time.perf_counter()
    async with session(settings) as connection:
        opened_ms = _ms(started)
        row = await connection.fetchrow(
            "SELECT current_setting('server_version') AS version, current_user::text AS role, "
            "host(inet_server_addr()) AS address, inet_server_port() AS port, current_database()::text AS database, "
            "current_setting('max_connections')::int AS slots"
        )
        yield Fact("server_version", True, f"PostgreSQL {row['version']}", {"value": row["version"]})
        user = {"value": row["role"], "database": row["database"]}
        yield Fact("current_user", True, f"{row['role']} on {row['database']}", user)
        where = {"value": row["address"], "port": row["port"], "dialled": settings.db_host}
        yield Fact("server_address", True, f"{settings.db_host} answers as {row['address']}", where)
        yield Fact("max_connections", True, f"{row['slots']} connections", {"value": row["slots"]})
        trips = []
        for _ in range(_ROUND_TRIPS):
            begun = time.perf_counter()
            await connection.fetchval("SELECT 1")
            trips.append(_ms(begun))
    median = round(statistics.median(trips), 2)
    yield Fact("latency_ms", True, f"{median} ms a round trip", {"value": median, "connect_ms": opened_ms})


async def check_tls(settings: Settings) -> AsyncIterator[Fact]:
    """Facts: session (version, cipher), authority (the CA in use), untrusted (another CA is refused), plaintext."""
    async with session(settings) as connection:
        row = await connection.fetchrow(
            "SELECT ssl, version, cipher, bits FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
    if not row["ssl"]:
        yield Fact("session", False, "the session is not encrypted", {"reason": "plaintext"})
    else:
        values = {"version": row["version"], "cipher": row["cipher"], "bits": row["bits"]}
        yield Fact("session", True, f"{row['version']} with {row['cipher']}", values)
    yield _authority(settings)
    yield await _untrusted(settings)
    yield await _plaintext(settings)


def _authority(settings: Settings) -> Fact:
    if not settings.verifies_tls:
        return Fact("authority", False, "the server's certificate is not verified", {"mode": settings.db_sslmode})
    context = tls(settings)
    assert isinstance(context, ssl.SSLContext)
    prints = sorted(hashlib.sha256(der).hexdigest() for der in context.get_ca_certs(binary_form=True))
    return Fact("authority", True, f"verified ({settings.db_sslmode})", {"mode": settings.db_sslmode, "sha256": prints})


async def _untrusted(settings: Settings) -> Fact:
    """Dials as always but knowing no CA: a client that accepts the server now would accept any server."""
    try:
        connection = await connect(settings, ssl=tls(settings, trusting=False))
    except Exception as error:
        reason = reason_of(error)
        return Fact("untrusted", reason == "tls-verify-failed", message_of(error), {"reason": reason})
    await connection.close()
    return Fact("untrusted", False, "a certificate of an unknown CA was accepted", {"reason": "tls-not-verified"})


async def _plaintext(settings: Settings) -> Fact:
    """Dials without TLS and without the real password, which must not cross the network in the clear."""
    try:
        connection = await connect(settings, ssl=False, password="not-the-password")
    except Exception as error:
        words = message_of(error)
        if reason_of(error) == "tls-required":
            return Fact("plaintext", True, "refused", {"refusal": words})
        if reason_of(error) == "auth-failed":
            return Fact("plaintext", False, "accepted up to the password", {"reason": "plaintext-accepted"})
        return failed("plaintext", error)
    with suppress(OSError):
        await connection.close()
    return Fact("plaintext", False, "accepted", {"reason": "plaintext-accepted"})


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
