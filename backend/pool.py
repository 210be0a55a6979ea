"""The pool as handlers use it: a connection within a second or a 503, and one more try for reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg

from backend.database import Connection, Pool
from backend.errors import problem_of, unavailable
from backend.tracing import span

T = TypeVar("T")
_ACQUIRE_S = 1.0
_CLOSE_S = 1.5
_LOST = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError, ConnectionError)
_SYSTEM = "postgresql"


class Database:
    """Wraps asyncpg's pool; nothing here knows SQL. `waits` counts requests that found every connection in use."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.waits = 0

    @property
    def is_full(self) -> bool:
        """Every connection that there may be is in use."""
        return bool(self.pool.get_idle_size() == 0 and self.pool.get_size() >= self.pool.get_max_size())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside a transaction. Raises Problem 503 when none is free within a second."""
        self.waits += self.is_full
        try:
            with span("pool acquire", _SYSTEM, "acquire"):
                connection = await self.pool.acquire(timeout=_ACQUIRE_S)
        except TimeoutError:
            raise unavailable("pool-exhausted" if self.is_full else "database-unavailable") from None
        try:
            yield connection
        except asyncpg.ReadOnlySQLTransactionError:
            await self.pool.expire_connections()  # a demoted primary: every connection must be made anew
            raise
        finally:
            await asyncio.shield(self.pool.release(connection))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction, which an exception undoes."""
        async with self.connection() as connection:
            with span("database transaction", _SYSTEM, "transaction"):
                async with connection.transaction():
                    yield connection

    async def read(self, query: Callable[[Connection], Awaitable[T]]) -> T:
        """Runs a read; when its connection turns out to be lost, once more on another one."""
        try:
            return await self._read(query)
        except _LOST as error:
            if problem_of(error) is None:
                raise
        return await self._read(query)

    async def _read(self, query: Callable[[Connection], Awaitable[T]]) -> T:
        async with self.connection() as connection:
            with span("database read", _SYSTEM, "read"):
                return await query(connection)

    async def close(self) -> None:
        """Closes within a second and a half, or cuts."""
        try:
            await asyncio.wait_for(self.pool.close(), _CLOSE_S)
        except TimeoutError:
            self.pool.terminate()
