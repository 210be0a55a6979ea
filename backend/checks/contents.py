"""`check schema`, `check indexes` and `check rows`: what the jobs left behind is still there."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from backend import indexes, seed
from backend.checks.fact import Fact
from backend.database import session
from backend.settings import Settings


async def check_schema(settings: Settings) -> AsyncIterator[Fact]:
    """Fact `revision`: the database's Alembic revision equals the image's head. Fact `tables`: how many there are."""
    from backend.migrate import current, head  # loads SQLAlchemy, which no other look needs

    async with session(settings) as connection:
        now, newest = await current(connection), head()
        tables = await connection.fetchval(
            "SELECT count(*) FROM pg_class c WHERE c.relnamespace = to_regnamespace('plant') AND c.relkind = 'r'"
        )
    values: dict[str, object] = {"current": now, "head": newest}
    if now != newest:
        values["reason"] = "migration-pending" if now is None or now < newest else "migration-ahead"
    yield Fact("revision", now == newest, f"revision {now}, head {newest}", values)
    yield Fact("tables", tables > 0, f"{tables} tables in schema plant", {"value": tables})


async def check_indexes(settings: Settings) -> AsyncIterator[Fact]:
    """One fact an expected index: `state` is valid, invalid, different or missing."""
    async with session(settings) as connection:
        for name in sorted(indexes.DEFINITIONS):
            index = await indexes.look(connection, name)
            values: dict[str, object] = {"state": index.state, "indisvalid": index.valid, "bytes": index.bytes}
            if not index.valid:
                values["reason"] = f"index-{index.state}"
            yield Fact(name, index.valid, index.definition or "missing", values)


async def check_rows(settings: Settings) -> AsyncIterator[Fact]:
    """One fact a seeded table: all rows, seeded ones found and expected; fact `checksum` over the seeded slugs found.

    The checksum is SHA-256 over sorted `table/slug` lines, so that two databases can be compared by one word.
    """
    present: list[str] = []
    wanted: list[str] = []
    async with session(settings) as connection:
        for table in seed.tables(settings):
            slugs = [row["slug"] for row in seed.rows(table.name)]
            query = f"SELECT slug FROM plant.{table.name} ORDER BY slug"  # noqa: S608 - names are constants
            live = {row["slug"] for row in await connection.fetch(query)}
            found = sorted(live.intersection(slugs))
            present += [f"{table.name}/{slug}" for slug in found]
            wanted += [f"{table.name}/{slug}" for slug in slugs]
            yield _rows(table.name, len(live), len(found), len(slugs))
        for link in seed.LINKS:
            query = f"SELECT count(*) FROM plant.{link.name}"  # noqa: S608 - names are constants
            total = await connection.fetchval(query)
            yield _rows(link.name, total, min(total, len(seed.pairs(link))), len(seed.pairs(link)))
    here, there = _digest(present), _digest(wanted)
    yield Fact("checksum", here == there, here, {"value": here, "expected": there, "slugs": len(present)})


def _rows(name: str, rows: int, found: int, expected: int) -> Fact:
    values: dict[str, object] = {"rows": rows, "seeded": found, "expected": expected}
    if found < expected:
        values["reason"] = "rows-missing"
    return Fact(name, found == expected, f"{rows} rows, {found} of {expected} seeded", values)


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
