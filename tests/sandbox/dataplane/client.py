"""A customer of a PostgreSQL instance, for the tests: asyncpg over verified TLS, never the plane's own door."""

import asyncio
import shutil
import ssl
import uuid
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from plantctl.sandbox.dataplane.postgres import Description


def state_folder(factory: pytest.TempPathFactory) -> Path:
    """A new state directory, in memory where the machine has a place for that.

    ext4 searches long for an inode after many were deleted, which these tests do all the time: 0.7 s a copy, not 0.06.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 2 * 1024**3:
        return factory.mktemp("plane") / "postgres"
    return memory / f"plantctl-test-{uuid.uuid4().hex[:8]}"


def context(description: Description) -> ssl.SSLContext:
    """A context that verifies the instance's CA and the name."""
    return ssl.create_default_context(cadata=description.server_ca)


def query(
    description: Description,
    user: str,
    password: str,
    *statements: str,
    database: str = "postgres",
    tls: ssl.SSLContext | bool | None = None,
) -> list[Any]:
    """Runs statements in one session; returns the last one's rows as tuples."""

    async def run() -> list[Any]:
        try:
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=description.port,
                user=user,
                password=password,
                database=database,
                ssl=context(description) if tls is None else tls,
                timeout=10,
            )
        except Exception:
            await asyncio.sleep(0.05)  # asyncpg leaves the end of a refused TLS connection to the event loop
            raise
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = [tuple(record) for record in await connection.fetch(statement)]
            return rows
        finally:
            await connection.close()

    return asyncio.run(run())
