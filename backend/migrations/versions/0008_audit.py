"""Audit events. The serving role may add them and read them, and never change or remove one: `backend.rights`."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

AUDIT_EVENT = """
CREATE TABLE plant.audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid,
    actor_kind text NOT NULL CHECK (actor_kind IN ('customer', 'partner', 'operator', 'service', 'job', 'anonymous')),
    action text NOT NULL CHECK (length(action) BETWEEN 1 AND 80),
    entity text NOT NULL CHECK (length(entity) BETWEEN 1 AND 80),
    entity_id text NOT NULL,
    outcome text NOT NULL DEFAULT 'done' CHECK (outcome IN ('done', 'refused')),
    request_id text NOT NULL DEFAULT '',
    ip inet,
    detail jsonb NOT NULL DEFAULT '{}')
"""


def upgrade() -> None:
    """The rights follow at the end of every `migrate`, in the same way for a role that was made anew."""
    op.execute(AUDIT_EVENT)
    op.execute("CREATE INDEX audit_event_at ON plant.audit_event USING brin (at)")
    op.execute("CREATE INDEX audit_event_entity ON plant.audit_event (entity, entity_id, id)")


def downgrade() -> None:
    """Drops the events."""
    op.execute("DROP TABLE plant.audit_event")
