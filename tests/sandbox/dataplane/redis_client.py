"""A customer of a Redis instance, for the tests: redis-py over verified TLS with AUTH, never the plane's own door."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from plantctl.sandbox.dataplane.redis import Description


def client(port: int, auth: str | None = None, *, ca: str = "", **more: Any) -> redis.Redis:
    """A client that does not try again by itself; `ca` (PEM): over TLS, and the server has to verify by it."""
    tls = {"ssl": True, "ssl_ca_data": ca} if ca else {}
    retry = Retry(NoBackoff(), 0)
    options: dict[str, Any] = {"password": auth, "decode_responses": True, "socket_timeout": 15, **tls, **more}
    return redis.Redis(host="127.0.0.1", port=port, retry=retry, **options)


def of(description: Description, auth: str | None = None, **more: Any) -> redis.Redis:
    """A client of the primary as its description has it."""
    return client(description.port, auth, ca=description.server_ca if description.tls else "", **more)


def ask(connection: redis.Redis, *words: str) -> Any:
    """One command on a connection that is closed afterwards."""
    try:
        return connection.execute_command(*words)  # type: ignore[no-untyped-call]
    finally:
        connection.close()


def write_through(connection: redis.Redis, key: str, value: str) -> None:
    """A write that the replica has too, so that no failover can lose it."""
    connection.set(key, value)
    assert connection.wait(1, 10_000) == 1
    connection.close()


def until(look: Callable[[], Any], seconds: float = 30) -> Any:
    """What `look` gives as soon as that is true; errors of the connection count as not yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except (RedisError, OSError):
            found = None
        if found:
            return found
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
