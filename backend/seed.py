"""Seed rows of the catalogue: same rows and ids everywhere, upserted by slug; a second run changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from uuid import UUID, uuid5

from backend.database import Connection, exclusive
from backend.settings import Settings

NAMESPACE = UUID("8a0e7ba4-6a3f-5d0f-9a55-0d4c27f3a6f1")

Row = dict[str, Any]
Ids = dict[str, dict[str, str]]  # table -> slug -> id


@dataclass(frozen=True)
class Table:
    """A seeded table: columns owned by the seed, columns only set on insert, and references (table behind each)."""

    name: str
    owned: tuple[str, ...]
    initial: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """A seeded table of pairs: parent and child, and its one flag."""

    name: str
    parent: str
    child: str
    flag: str


@dataclass
class Count:
    """What a run did to one table."""

    table: str
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0


# Order is that of the foreign keys. What the application changes later (listing, availability) is only set on insert.
TABLES = (
    Table("industry", ("name", "description")),
    Table("skill", ("name", "category", "description"), ("status", "certified_at")),
    Table("job_role", ("name", "description", "seniority"), ("status", "certified_at"), ("industry",)),
    Table("team", ("name", "description"), (), ("job_role", "industry")),
    Table(
        "agent",
        ("name", "tagline", "description", "monthly_price_minor", "currency", "trial_days"),
        ("listing", "availability", "published_at"),
        ("industry", "job_role", "team"),
    ),
)
DEMO = (Table("partner", ("name", "contact_email"), ("status",)),)
LINKS = (
    Link("job_role_skill", "job_role", "skill", "required"),
    Link("agent_skill", "agent", "skill", "is_primary"),
)


def rows(table: str) -> list[Row]:
    """The seed's rows of a table; references are slugs."""
    loaded: list[Row] = json.loads((files("backend.seed_data") / f"{table}.json").read_text(encoding="utf-8"))
    return loaded


def pairs(link: Link) -> list[tuple[str, str, bool]]:
    """The seed's pairs: parent slug, child slug, flag. An agent's first skill is its primary one."""
    if link.name == "agent_skill":
        return [(row["slug"], skill, n == 0) for row in rows("agent") for n, skill in enumerate(row["skills"])]
    return [
        (row["slug"], skill, required)
        for row in rows("job_role")
        for required, key in ((True, "required_skills"), (False, "optional_skills"))
        for skill in row[key]
    ]


def tables(settings: Settings) -> tuple[Table, ...]:
    """The tables seeded in this environment: production gets no demo partner."""
    return TABLES if settings.is_production else (*TABLES, *DEMO)


async def seed(settings: Settings) -> list[Count]:
    """Brings every seeded row and pair to the seed's state, in one transaction under the plant's lock.

    A row that somebody else made under a seeded slug keeps its id. Rows that are no longer in the seed stay; pairs of
    seeded parents that are no longer in it go.
    """
    ids: Ids = {}
    async with exclusive(settings) as connection, connection.transaction():
        counts = [await _seed_table(connection, table, ids) for table in tables(settings)]
        return counts + [await _seed_link(connection, link, ids) for link in LINKS]


async def _seed_table(connection: Connection, table: Table, ids: Ids) -> Count:
    wanted = [_resolved(table, row, ids) for row in rows(table.name)]
    done = await connection.fetch(_upsert(table), json.dumps(wanted))
    inserted = sum(row["inserted"] for row in done)
    found = await connection.fetch(
        f"SELECT slug, id FROM plant.{table.name} WHERE slug = ANY($1)",  # noqa: S608 - names are constants above
        [row["slug"] for row in wanted],
    )
    ids[table.name] = {row["slug"]: str(row["id"]) for row in found}
    return Count(table.name, inserted, len(done) - inserted, len(wanted) - len(done))


def _resolved(table: Table, row: Row, ids: Ids) -> Row:
    plain = {name: row[name] for name in ("slug", *table.owned, *table.initial)}
    keys = {f"{name}_id": ids[name][row[name]] if row[name] else None for name in table.references}
    return {"id": str(uuid5(NAMESPACE, f"{table.name}/{row['slug']}"))} | plain | keys


def _upsert(table: Table) -> str:
    compared = (*table.owned, *(f"{name}_id" for name in table.references))
    columns = ", ".join(("id", "slug", *compared, *table.initial))
    return (
        f"INSERT INTO plant.{table.name} AS live ({columns}) "  # noqa: S608 - names are constants above
        f"SELECT {columns} FROM jsonb_populate_recordset(NULL::plant.{table.name}, $1::jsonb) "
        f"ON CONFLICT (slug) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in compared)} "
        f"WHERE ({', '.join(f'live.{name}' for name in compared)}) "
        f"IS DISTINCT FROM ({', '.join(f'excluded.{name}' for name in compared)}) "
        "RETURNING (live.xmax = 0) AS inserted"
    )


async def _seed_link(connection: Connection, link: Link, ids: Ids) -> Count:
    parents, children = ids[link.parent], ids[link.child]
    wanted = [
        {f"{link.parent}_id": parents[parent], f"{link.child}_id": children[child], link.flag: flag}
        for parent, child, flag in pairs(link)
    ]
    text = json.dumps(wanted)
    removed = await connection.fetch(_prune(link), list(parents.values()), text)
    # A flag that moves between two pairs must leave the first before it reaches the second (one primary skill).
    done = [row for flag in (False, True) for row in await _link(connection, link, wanted, flag)]
    inserted = sum(row["inserted"] for row in done)
    return Count(link.name, inserted, len(done) - inserted, len(wanted) - len(done), len(removed))


async def _link(connection: Connection, link: Link, wanted: list[Row], flag: bool) -> list[Any]:
    columns = f"{link.parent}_id, {link.child}_id, {link.flag}"
    found: list[Any] = await connection.fetch(
        f"INSERT INTO plant.{link.name} AS live ({columns}) "  # noqa: S608 - names are constants above
        f"SELECT {columns} FROM jsonb_populate_recordset(NULL::plant.{link.name}, $1::jsonb) "
        f"ON CONFLICT ({link.parent}_id, {link.child}_id) DO UPDATE SET {link.flag} = excluded.{link.flag} "
        f"WHERE live.{link.flag} <> excluded.{link.flag} RETURNING (live.xmax = 0) AS inserted",
        json.dumps([pair for pair in wanted if pair[link.flag] is flag]),
    )
    return found


def _prune(link: Link) -> str:
    parent, child = f"{link.parent}_id", f"{link.child}_id"
    return (
        f"DELETE FROM plant.{link.name} AS live WHERE {parent} = ANY($1::uuid[]) "  # noqa: S608 - names are constants
        f"AND ({parent}, {child}) NOT IN (SELECT {parent}, {child} "
        f"FROM jsonb_populate_recordset(NULL::plant.{link.name}, $2::jsonb)) RETURNING 1"
    )
