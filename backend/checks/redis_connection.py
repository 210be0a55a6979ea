"""`check redis`, `redis-client`, `redis-pool`: TLS and AUTH are asked for, keys are used, the pool keeps its size."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import secrets
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.exceptions import AuthenticationError, RedisError

from backend.checks.fact import Fact
from backend.failures import reason_of
from backend.redis_store import CONNECTIONS, create_client
from backend.settings import Settings

_ROUND_TRIPS = 5
_HOLD_S = 0.2
_LOCK = Path(__file__).parents[1] / "requirements.lock"


async def check_client(settings: Settings) -> AsyncIterator[Fact]:
    """Facts: installed (redis-py as this image has it), locked (the version in the image's own lock file)."""
    version = importlib.metadata.version("redis")
    yield Fact("installed", True, f"redis-py {version}", {"value": version})
    pinned = re.search(r"^redis==(\S+)", _LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    words = f"the lock file pins {pinned[1]}" if pinned else "the lock file does not name redis"
    ok = pinned is not None and pinned[1] == version
    yield Fact("locked", ok, words, {} if ok else {"reason": "not-as-locked"})


async def told(facts: AsyncIterator[Fact]) -> AsyncIterator[Fact]:
    """The facts of a look at Redis; what redis-py raises ends it as a failed fact `reach` with its reason."""
    try:
        async for fact in facts:
            yield fact
    except RedisError as error:
        yield Fact("reach", False, " ".join(str(error).split()), {"reason": redis_reason(error)})


def check_redis(settings: Settings) -> AsyncIterator[Fact]:
    """Facts: tls, ping, set, get, del, server (version), latency_ms; refusals: without_auth, without_ca, plaintext.

    The refusals use connections of their own, and none of them carries the real password.
    """
    return told(_redis(settings))


async def _redis(settings: Settings) -> AsyncIterator[Fact]:
    version, cipher = await _handshake(settings)
    yield Fact("tls", True, f"{version} with {cipher}", {"version": version, "cipher": cipher})
    client = create_client(settings)
    try:
        async for fact in _operations(client, settings):
            yield fact
    finally:
        await client.aclose()
    yield await _refused("without_auth", settings, {"auth-failed"}, password=None)
    yield await _refused("without_ca", settings, {"tls-verify-failed"}, password=None, ssl_ca_data=None)
    yield await _plaintext(settings)


async def _operations(client: Any, settings: Settings) -> AsyncIterator[Fact]:
    key, value = f"plantctl:probe:{secrets.token_hex(8)}", secrets.token_hex(8)
    where = {"dialled": settings.redis_host, "port": settings.redis_port}
    yield Fact("ping", bool(await client.ping()), f"{settings.redis_host}:{settings.redis_port} answers", where)
    yield Fact("set", bool(await client.set(key, value, ex=60)), "a key is set")
    found = await client.get(key)
    yield Fact("get", found == value.encode(), "it is read back")
    yield Fact("del", await client.delete(key) == 1, "it is deleted")
    server = await client.info("server")
    yield Fact("server", True, f"Redis {server.get('redis_version')}", {"value": str(server.get("redis_version"))})
    trips = []
    for _ in range(_ROUND_TRIPS):
        begun = time.perf_counter()
        await client.ping()
        trips.append((time.perf_counter() - begun) * 1000)
    median = round(statistics.median(trips), 2)
    yield Fact("latency_ms", True, f"{median} ms a round trip", {"value": median})


def check_pool(settings: Settings) -> AsyncIterator[Fact]:
    """Facts: bounds (connections of this pool at the busiest moment, by the server's own list), server (all clients).

    Twice as many requests as the pool has connections, each holding one for a while.
    """
    return told(_pool(settings))


async def _pool(settings: Settings) -> AsyncIterator[Fact]:
    name = f"plantctl-pool-{secrets.token_hex(4)}"
    pool, watcher = create_client(settings, client_name=name), create_client(settings, client_name=f"{name}-watcher")
    try:
        busy = [asyncio.create_task(pool.blpop([f"plantctl:probe:{name}"], _HOLD_S)) for _ in range(2 * CONNECTIONS)]
        peak = 0
        while not all(task.done() for task in busy):
            listed = await watcher.client_list()
            peak = max(peak, sum(client.get("name") == name for client in listed))
            await asyncio.sleep(0.01)
        await asyncio.gather(*busy)
        clients = await watcher.info("clients")
    finally:
        await pool.aclose()
        await watcher.aclose()
    words = f"{len(busy)} requests at once held {peak} connections, of {CONNECTIONS} at most"
    yield Fact("bounds", 1 < peak <= CONNECTIONS, words, {"peak": peak, "size": CONNECTIONS})
    total = clients.get("connected_clients")
    yield Fact("server", True, f"{total} clients of all kinds", {"value": total, "limit": clients.get("maxclients")})


async def _handshake(settings: Settings) -> tuple[str, str]:
    """Version and cipher of a session whose certificate the CA signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the CA signs for this instance alone (backend 2.5)
    context.load_verify_locations(cadata=settings.redis_ca_pem())
    _, writer = await asyncio.open_connection(settings.redis_host, settings.redis_port, ssl=context)
    session = writer.get_extra_info("ssl_object")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return str(session.version()), str(session.cipher()[0])


async def _refused(name: str, settings: Settings, reasons: set[str], **overrides: Any) -> Fact:
    client = create_client(settings, **overrides)
    try:
        await client.ping()
    except (RedisError, OSError, TimeoutError) as error:
        reason = redis_reason(error)
        words = " ".join(str(error).split())
        return Fact(name, reason in reasons, "refused" if reason in reasons else words, {"reason": reason})
    finally:
        await client.aclose()
    return Fact(name, False, "accepted", {"reason": f"accepted-{name.replace('_', '-')}"})


async def _plaintext(settings: Settings) -> Fact:
    silent = {"connection-lost", "timeout"}  # a server that speaks TLS only hangs up on plain words, or never answers
    open_text = settings.model_copy(update={"redis_tls": False, "redis_ca": "", "redis_ca_file": None})
    fact = await _refused("plaintext", open_text, silent, password=None)
    if fact.values.get("reason") == "auth-failed":
        return Fact("plaintext", False, "accepted up to the password", {"reason": "plaintext-accepted"})
    return fact


def redis_reason(error: BaseException) -> str:
    """Why Redis was not reached, in the words of `failures`; redis-py keeps the cause as the context of its errors."""
    for each in _contexts(error):
        if isinstance(each, AuthenticationError):
            return "auth-failed"
        if isinstance(each, OSError) and not isinstance(each, TimeoutError):
            return reason_of(each)
    return "timeout" if "imeout" in type(error).__name__ else "connection-lost"


def _contexts(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
