"""The one way to Redis: a small pool with short timeouts, and a valve that keeps requests from waiting for a dead one.

Without Redis a cache misses, the limiter lets pass (not for signing in), and sessions cannot be renewed (backend 2.5).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from backend.settings import Settings
from backend.tracing import span

CONNECTIONS = 8
_TIMEOUT_S = 0.5
_PAUSE_S = 0.5


class RedisDown(Exception):
    """Redis is away; the caller says what that means for it."""


class Store:
    """A client and its valve: after a failure nothing is asked for half a second, so that no request queues up."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.failures = 0
        self._closed_until = 0.0

    async def ask(self, operation: Awaitable[Any], name: str = "command") -> Any:
        """The operation's answer; `name` is Redis's word for it. Raises RedisDown."""
        if time.monotonic() < self._closed_until:
            if hasattr(operation, "close"):
                operation.close()  # a coroutine that is never awaited would warn
            raise RedisDown
        try:
            with span(f"redis {name}", "redis", name):
                return await operation
        except (RedisError, OSError, TimeoutError) as error:
            self.failures += 1
            self._closed_until = time.monotonic() + _PAUSE_S
            raise RedisDown(str(error)) from error

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.aclose()


def create_client(settings: Settings, **overrides: object) -> Any:
    """A client that connects on first use. `overrides` are connection arguments (workers wait longer in reads)."""
    arguments: dict[str, Any] = {
        "host": settings.redis_host or "127.0.0.1",
        "port": settings.redis_port,
        "password": settings.redis_password.get_secret_value() or None,
        "socket_timeout": _TIMEOUT_S,
        "socket_connect_timeout": _TIMEOUT_S,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), 1),
        "health_check_interval": 30,
        "client_name": settings.k_service,
    }
    kind: type[Connection] = Connection
    if settings.uses_redis_tls:
        kind = SSLConnection
        # Memorystore's certificate names its address; the CA signs for this instance alone (backend 2.5).
        arguments |= {"ssl_ca_data": settings.redis_ca_pem() or None, "ssl_check_hostname": False}
        arguments |= {"ssl_min_version": ssl.TLSVersion.TLSv1_2}
    pool = BlockingConnectionPool(
        max_connections=CONNECTIONS, timeout=_TIMEOUT_S, connection_class=kind, **(arguments | overrides)
    )
    return Redis.from_pool(pool)
