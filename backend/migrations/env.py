"""Alembic's environment: runs on the connection that `backend.migrate` hands over, one transaction a revision."""

from __future__ import annotations

from alembic import context

if context.is_offline_mode():
    raise SystemExit("migrations run on a database only: python -m backend migrate")

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    version_table="alembic_version",
    version_table_schema="plant",
    transaction_per_migration=True,
    on_version_apply=attributes["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
