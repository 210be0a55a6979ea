"""Indexes that make catalogue queries fast, built without locking writers; INVALID leftovers are rebuilt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from backend.database import Connection, exclusive
from backend.settings import Settings

# Name -> table and definition, as pg_get_indexdef spells it under search_path = plant: drift is two unequal strings.
DEFINITIONS = {
    "account_partner": ("account", "USING btree (partner_id) WHERE (partner_id IS NOT NULL)"),
    "agent_industry_newest": (
        "agent",
        "USING btree (industry_id, published_at DESC, id DESC) WHERE (listing = 'published'::text)",
    ),
    "agent_job_role": ("agent", "USING btree (job_role_id)"),
    "agent_name_trgm": ("agent", "USING gin (name gin_trgm_ops)"),
    "agent_newest": ("agent", "USING btree (published_at DESC, id DESC) WHERE (listing = 'published'::text)"),
    "agent_partner": ("agent", "USING btree (partner_id)"),
    "agent_search": ("agent", "USING gin (search)"),
    "agent_skill_skill": ("agent_skill", "USING btree (skill_id)"),
    "agent_team": ("agent", "USING btree (team_id)"),
    "job_role_industry": ("job_role", "USING btree (industry_id)"),
    "job_role_skill_skill": ("job_role_skill", "USING btree (skill_id)"),
    "team_job_role": ("team", "USING btree (job_role_id)"),
}
_BUILD_WAIT = "120s"

_LIVE = """
SELECT pg_get_indexdef(i.indexrelid) AS definition, i.indisvalid AND i.indisready AS valid,
       pg_relation_size(i.indexrelid) AS bytes
FROM pg_index i WHERE i.indexrelid = to_regclass('plant.' || quote_ident($1))
"""


@dataclass(frozen=True)
class Index:
    """One index: `state` is valid, invalid, different (another definition) or missing; `action` what a build did."""

    name: str
    state: str
    definition: str
    bytes: int = 0
    action: str = "none"

    @property
    def valid(self) -> bool:
        """The planner can use it and it is the one that was asked for."""
        return self.state == "valid"


def wanted(name: str) -> str:
    """The CREATE INDEX text of an index, as PostgreSQL itself prints it. Raises KeyError for an unknown name."""
    table, definition = DEFINITIONS[name]
    return f"CREATE INDEX {name} ON plant.{table} {definition}"


async def look(connection: Connection, name: str) -> Index:
    """Reads one index from the catalogue."""
    row = await connection.fetchrow(_LIVE, name)
    if row is None:
        return Index(name, "missing", "")
    state = "valid" if row["valid"] else "invalid"
    if row["definition"] != wanted(name):
        state = "different"
    return Index(name, state, row["definition"], row["bytes"])


async def build(settings: Settings) -> AsyncIterator[Index]:
    """Builds what is missing, invalid or different, one after the other, and yields each index as it is afterwards.

    Each statement runs outside a transaction and waits for older transactions, at most two minutes for each
    (`lock-timeout`). A build that ends early leaves an INVALID index, which the next run replaces (foundation 2,
    init.indexes).
    """
    async with exclusive(settings) as connection:
        await connection.execute(f"SET lock_timeout = '{_BUILD_WAIT}'")
        for name in sorted(DEFINITIONS):
            yield await _assure(connection, name)


async def _assure(connection: Connection, name: str) -> Index:
    before = await look(connection, name)
    if before.valid:
        return before
    if before.state != "missing":
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS plant.{name}")
    concurrently = wanted(name).replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY IF NOT EXISTS", 1)
    await connection.execute(concurrently)
    after = await look(connection, name)
    action = "created" if before.state == "missing" else "rebuilt"
    return Index(after.name, after.state, after.definition, after.bytes, action)
