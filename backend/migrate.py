"""Moves schema plant between revisions with Alembic, and renews the serving role's rights after each upgrade."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection as SqlConnection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from backend import rights
from backend.database import Connection, connect, exclusive
from backend.failures import BackendError
from backend.settings import Settings

FOLDER = Path(__file__).parent / "migrations"


@dataclass
class Migrated:
    """What a run did: revision before and after (None: empty), those applied or undone, the serving role's rights."""

    before: str | None
    after: str | None
    applied: list[str] = field(default_factory=list)
    rights: dict[str, Any] = field(default_factory=dict)


def head() -> str:
    """The newest revision in this image. Raises when the folder has two heads."""
    revision = ScriptDirectory(str(FOLDER)).get_current_head()
    if revision is None:
        raise BackendError("migrations-missing", "the image holds no migrations")
    return revision


async def current(connection: Connection) -> str | None:
    """The database's revision, None before the first one."""
    if await connection.fetchval("SELECT to_regclass('plant.alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM plant.alembic_version")
    return revision


async def upgrade(settings: Settings, target: str = "head") -> Migrated:
    """Upgrades to `target` under the plant's lock, then renews rights; a second run applies nothing.

    Raises BackendError: `app-role-missing`, `wrong-role`, `lock-held`, `rights-too-wide`, `migration-ahead`.
    """
    app = settings.db_app_user
    async with exclusive(settings) as connection:
        await _expect_roles(connection, app)
        await connection.execute("CREATE SCHEMA IF NOT EXISTS plant")
        migrated = await _run(settings, connection, command.upgrade, target)
        async with connection.transaction():
            for statement in rights.statements(app):
                await connection.execute(statement)
        migrated.rights = await rights.state(connection, app)
    wide = rights.too_wide(migrated.rights)
    if wide:
        raise BackendError("rights-too-wide", f"{app} still has {', '.join(wide)}")
    return migrated


async def downgrade(settings: Settings, target: str) -> Migrated:
    """Goes back to `target` ("base" for none). Drops tables with their data, so production refuses (`refused`)."""
    if settings.is_production:
        raise BackendError("refused", "a downgrade drops tables: restore a backup in production")
    async with exclusive(settings) as connection:
        return await _run(settings, connection, command.downgrade, target)


async def _expect_roles(connection: Connection, app: str) -> None:
    user = await connection.fetchval("SELECT current_user")
    if user == app:
        raise BackendError("wrong-role", f"migrations run as the owner of the schema, not as {app}")
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", app):
        raise BackendError("app-role-missing", f"role {app} does not exist: make the database users first")


async def _run(
    settings: Settings, connection: Connection, action: Callable[[Config, str], None], target: str
) -> Migrated:
    before = await current(connection)
    known = {script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()}
    if before is not None and before not in known:
        raise BackendError("migration-ahead", f"the database is at {before}, which this image does not know")
    applied: list[str] = []
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["app_role"] = settings.db_app_user
    config.attributes["on_version_apply"] = lambda *, step, **_: applied.append(step.up_revision_id)
    # The creator makes SQLAlchemy's connections the same way as every other: same TLS, same session settings.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(settings), poolclass=NullPool)
    try:
        async with engine.connect() as sql:
            await sql.run_sync(_act, config, action, target)
            await sql.commit()
    finally:
        await engine.dispose()
    return Migrated(before, await current(connection), applied)


def _act(sql: SqlConnection, config: Config, action: Callable[[Config, str], None], target: str) -> None:
    config.attributes["connection"] = sql
    action(config, target)
