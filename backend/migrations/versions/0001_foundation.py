"""Extensions, the touch function, and the serving role's rights.

citext and pg_trgm are trusted extensions: whoever may CREATE in the database may make them, which `plant_owner` may as
a member of the database's owner. They live in schema plant: operators of citext outside the search path would silently
give way to those of text, which see case. The downgrade does not give the serving role its API-made rights back.
"""

from __future__ import annotations

from alembic import context, op

from backend import rights

revision = "0001"
down_revision = None

TOUCH = """
CREATE FUNCTION plant.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Needs schema plant, which the runner makes for the version table."""
    op.execute("CREATE EXTENSION IF NOT EXISTS citext SCHEMA plant")
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA plant")
    op.execute(TOUCH)
    for statement in rights.statements(context.config.attributes["app_role"]):
        op.execute(statement)


def downgrade() -> None:
    """Leaves an empty schema with Alembic's version table."""
    for statement in rights.withdrawals(context.config.attributes["app_role"]):
        op.execute(statement)
    op.execute("DROP FUNCTION plant.touch()")
    op.execute("DROP EXTENSION pg_trgm")
    op.execute("DROP EXTENSION citext")
