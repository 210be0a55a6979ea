"""Export and import of a database: pg_dump's SQL or COPY's CSV, to and from a file of the caller."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plantctl.sandbox.dataplane.cluster.instance import Instance
from plantctl.sandbox.dataplane.cluster.session import identifier
from plantctl.sandbox.dataplane.cluster.template import IMPORT_EXPORT, SUPERUSER
from plantctl.sandbox.dataplane.command import run
from plantctl.sandbox.dataplane.error import DataPlaneError

TRANSFER_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Csv:
    """How CSV is written and read; Google's defaults are PostgreSQL's. Single characters."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'


def export_sql(instance: Instance, database: str, target: Path, tables: Sequence[str], *, schema_only: bool) -> int:
    """Writes a plain dump without owners and grants, as Cloud SQL does, to `target`; returns its bytes."""
    what = f"export {database} of {instance.name}"
    _check_database(instance, database, what)
    argv = [instance.binaries.tool("pg_dump"), "--no-owner", "--no-acl", "-w", "-d", database]
    argv += ["--schema-only"] if schema_only else []
    argv += [f"--table={table}" for table in tables]
    with target.open("wb") as stream:
        _tool(instance, argv, what, stdout=stream)
    return target.stat().st_size


def export_csv(instance: Instance, database: str, query: str, target: Path, csv: Csv) -> int:
    """Writes a query's rows, without a header, to `target`; returns its bytes. Runs in a read-only transaction."""
    what = f"export {database} of {instance.name}"
    _check_database(instance, database, what)

    async def copy(connection: Any) -> None:
        async with connection.transaction(readonly=True):
            await connection.execute(f"SET LOCAL ROLE {IMPORT_EXPORT}")
            await connection.copy_from_query(
                query.rstrip().rstrip(";"),
                output=str(target),
                format="csv",
                delimiter=csv.delimiter,
                quote=csv.quote,
                escape=csv.escape,
                timeout=TRANSFER_S,
            )

    instance.session(what, database).use(copy)
    return target.stat().st_size


def import_sql(instance: Instance, database: str, source: Path, user: str | None) -> None:
    """Runs a plain dump as `user` (cloudsqlsuperuser when none), stopping at the first error."""
    what = f"import into {database} of {instance.name}"
    _check_database(instance, database, what)
    role = identifier(user or SUPERUSER)
    argv = [instance.binaries.tool("psql"), "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", database]
    argv += ["-c", f"SET SESSION AUTHORIZATION {role}", "-f", "-"]
    with source.open("rb") as stream, tempfile.TemporaryFile() as output:
        _tool(instance, argv, what, stdin=stream, stdout=output)


def import_csv(instance: Instance, database: str, source: Path, table: str, columns: Sequence[str], csv: Csv) -> None:
    """Adds a CSV file's rows to a table ("name" or "schema.name")."""
    what = f"import into {database} of {instance.name}"
    _check_database(instance, database, what)
    schema, _, name = table.rpartition(".")

    async def copy(connection: Any) -> None:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {IMPORT_EXPORT}")
            await connection.copy_to_table(
                name,
                source=str(source),
                schema_name=schema or None,
                columns=list(columns) or None,
                format="csv",
                delimiter=csv.delimiter,
                quote=csv.quote,
                escape=csv.escape,
                timeout=TRANSFER_S,
            )

    instance.session(what, database).use(copy)


def _tool(instance: Instance, argv: list[str], what: str, **streams: Any) -> None:
    environment = instance.tool_environment()
    run(instance.world.account, argv, what=what, cwd=instance.folder, timeout_s=TRANSFER_S, env=environment, **streams)


def _check_database(instance: Instance, database: str, what: str) -> None:
    if not instance.session(what).rows("SELECT 1 AS yes FROM pg_database WHERE datname = $1", database):
        raise DataPlaneError(what, f"there is no database {database}", reason="not-found")
