"""`check rights`: as the serving role, DDL is refused and DML works. Nothing that is tried here stays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg

from backend import rights
from backend.checks.fact import Fact, failed
from backend.database import Connection, session
from backend.failures import message_of, reason_of
from backend.settings import Settings

_REFUSED = {
    "create_in_plant": "CREATE TABLE plant.rights_probe (id integer)",
    "create_in_public": "CREATE TABLE public.rights_probe (id integer)",
    "create_schema": "CREATE SCHEMA rights_probe",
    "drop_table": "DROP TABLE plant.agent_skill",
    "alter_table": "ALTER TABLE plant.agent ADD COLUMN rights_probe integer",
    "change_audit": "UPDATE plant.audit_event SET action = action",
    "delete_audit": "DELETE FROM plant.audit_event",
    "write_revision": "UPDATE plant.alembic_version SET version_num = version_num",
    "become_owner": "SET ROLE {owner}",
}
_ALLOWED = {
    "insert": "INSERT INTO plant.industry (slug, name) VALUES ('rights-probe', 'Rights probe')",
    "select": "SELECT name FROM plant.industry WHERE slug = 'rights-probe'",
    "update": "UPDATE plant.industry SET name = 'Probe' WHERE slug = 'rights-probe'",
    "delete": "DELETE FROM plant.industry WHERE slug = 'rights-probe'",
}


_OWNER = "SELECT quote_ident(pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'plant'"


class _UndoError(Exception):
    """Ends a transaction without keeping anything."""


async def check_rights(settings: Settings) -> AsyncIterator[Fact]:
    """Facts: role, search_path, one a refused statement (with the server's words), one an allowed one, residual.

    `residual` is a note: rights outside this database that only Cloud SQL's API can take away from PostgreSQL 16 on.
    """
    app = settings.db_app_user
    async with session(settings) as connection:
        user = await connection.fetchval("SELECT current_user::text")
        if user != app:
            yield Fact("role", False, f"this look is made as {app}, not as {user}", {"reason": "wrong-role"})
            return
        yield Fact("role", True, user, {"value": user})
        owner = await connection.fetchval(_OWNER)
        if owner is None:
            yield Fact("schema", False, "there is no schema plant yet", {"reason": "schema-missing"})
            return
        for name, statement in _REFUSED.items():
            yield await _refused(connection, name, statement.format(owner=owner))
        async for fact in _allowed(connection):
            yield fact
        state = await rights.state(connection, app)
    old = state["server_major"] < rights.ADMIN_OPTION_SINCE
    words = ", ".join(state["residual"]) or "none"
    yield Fact("residual", not (old and state["residual"]), words, {"value": state["residual"]})


async def _refused(connection: Connection, name: str, statement: str) -> Fact:
    try:
        async with connection.transaction():
            await connection.execute(statement)
            raise _UndoError
    except _UndoError:
        return Fact(name, False, "allowed", {"statement": statement, "reason": "rights-too-wide"})
    except asyncpg.PostgresError as error:
        values: dict[str, object] = {"statement": statement, "refusal": message_of(error)}
        if reason_of(error) == "permission-denied":
            return Fact(name, True, "refused", values)
        return Fact(name, False, message_of(error), values | {"reason": reason_of(error)})


async def _allowed(connection: Connection) -> AsyncIterator[Fact]:
    facts: list[Fact] = []
    name = ""
    try:
        async with connection.transaction():
            for name, statement in _ALLOWED.items():
                status = await connection.execute(statement)
                right = status.endswith(" 1")
                facts.append(Fact(name, right, "allowed" if right else f"touched nothing ({status})"))
            raise _UndoError
    except _UndoError:
        pass
    except asyncpg.PostgresError as error:
        facts.append(failed(name, error))
    for fact in facts:
        yield fact
