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
    """Wraps asyncpg's pool; nothing here knows SQL. `waits`: requests that came when all connections were taken."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.waits = 0
        self._taken = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside a transaction. Raises Problem 503 when none is free within a second."""
        self.waits += self._taken >= self.pool.get_max_size()
        self._taken += 1
        try:
            connection = await self._acquire()
            try:
                yield connection
            except asyncpg.ReadOnlySQLTransactionError:
                await self.pool.expire_connections()  # a demoted primary: every connection must be made anew
                raise
            finally:
                await asyncio.shield(self.pool.release(connection))
        finally:
            self._taken -= 1

    async def _acquire(self) -> Connection:
        try:
            with span("pool acquire", _SYSTEM, "acquire"):
                return await self.pool.acquire(timeout=_ACQUIRE_S)
        except TimeoutError:
            full = self.pool.get_idle_size() == 0 and self.pool.get_size() >= self.pool.get_max_size()
            raise unavailable("pool-exhausted" if full else "database-unavailable") from None

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
