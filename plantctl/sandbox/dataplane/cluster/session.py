"""SQL as the instance's superuser, over loopback, one connection a call. Callers are synchronous threads."""

import asyncio
import base64
import hashlib
import hmac
import os
import stringprep
import unicodedata
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from plantctl.sandbox.dataplane.error import DataPlaneError

ADMIN = "cloudsqladmin"  # Cloud SQL's own superuser, which customers never get
ITERATIONS = 4096  # PostgreSQL's default for scram_iterations
# A flag like log_statement=ddl is the customer's wish for the customer's sessions, not for ours; and a statement of
# ours that fails may hold a password's verifier, which no log should keep.
QUIET = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "search_path": "public",
}
Row = dict[str, Any]
T = TypeVar("T")

REASONS = {
    "42P04": "exists",  # duplicate_database
    "42710": "exists",  # duplicate_object (role)
    "3D000": "not-found",  # invalid_catalog_name
    "42704": "not-found",  # undefined_object (role)
    "55006": "in-use",  # object_in_use
    "2BP01": "in-use",  # dependent_objects_still_exist
    "53100": "disk-full",
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where and as whom to run SQL. `timeout_s` bounds connecting and each statement."""

    port: int
    password: str
    what: str
    database: str = "postgres"
    timeout_s: float = 30.0

    def rows(self, statement: str, *args: object) -> list[Row]:
        """Runs one statement and returns its rows, column name to value."""

        async def fetch(connection: Any) -> list[Row]:
            return [dict(record) for record in await connection.fetch(statement, *args)]

        return self.use(fetch)

    def execute(self, *statements: str) -> None:
        """Runs statements one after the other, each in its own transaction."""

        async def execute(connection: Any) -> None:
            for statement in statements:
                await connection.execute(statement)

        self.use(execute)

    def use(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Runs `work(asyncpg connection)`; DataPlaneError with PostgreSQL's words and a reason from its SQLSTATE."""

        async def connected() -> T:
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=self.port,
                user=ADMIN,
                password=self.password,
                database=self.database,
                ssl=False,
                timeout=self.timeout_s,
                command_timeout=self.timeout_s,
                statement_cache_size=0,
                server_settings=QUIET,
            )
            try:
                return await work(connection)
            finally:
                await connection.close(timeout=5)

        try:
            return _wait(connected())
        except asyncpg.PostgresError as error:
            words = str(error) if error.detail is None else f"{error} ({error.detail})"
            raise DataPlaneError(self.what, words, reason=REASONS.get(error.sqlstate or "", "failed")) from error
        except TimeoutError as error:
            raise DataPlaneError(self.what, f"no answer in {self.timeout_s:g} s", reason="timeout") from error
        except (OSError, asyncpg.InterfaceError) as error:
            raise DataPlaneError(self.what, f"the server does not answer: {error}", reason="not-running") from error


def _wait(work: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:  # the caller's thread has a loop already, and is blocked by choice
        return pool.submit(asyncio.run, work).result()


def identifier(name: str) -> str:
    """`name` quoted as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` quoted as an SQL string (standard_conforming_strings is on)."""
    return "'" + text.replace("'", "''") + "'"


def verifier(password: str) -> str:
    """What PostgreSQL stores for a password with scram-sha-256 (RFC 5803).

    Sent in place of the password itself, which therefore shows in no server log and no statement view.
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt64}${stored64}:{server64}"


def _prepared(password: str) -> bytes:
    """RFC 4013; a password that it forbids is taken byte by byte, as PostgreSQL does."""
    mapped = "".join(
        " " if stringprep.in_table_c12(sign) else sign for sign in password if not stringprep.in_table_b1(sign)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    tables = (
        stringprep.in_table_a1,
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    if not normal or any(table(sign) for sign in normal for table in tables) or not _bidi(normal):
        return password.encode()
    return normal.encode()


def _bidi(text: str) -> bool:
    """RFC 3454 section 6: right-to-left text starts and ends as such, and holds no left-to-right letter."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    return (
        stringprep.in_table_d1(text[0])
        and stringprep.in_table_d1(text[-1])
        and not any(map(stringprep.in_table_d2, text))
    )
