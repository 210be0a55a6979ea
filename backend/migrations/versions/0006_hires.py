"""Hires with their state machine's rules, and what agents deliver."""

from __future__ import annotations

from alembic import op

from backend.migrations import ddl

revision = "0006"
down_revision = "0005"

HIRE = ddl.create(
    "hire",
    "customer_id uuid NOT NULL REFERENCES plant.customer ON DELETE RESTRICT",
    "agent_id uuid NOT NULL REFERENCES plant.agent ON DELETE RESTRICT",
    "state text NOT NULL DEFAULT 'trial' CHECK (state IN ('trial', 'active', 'paused', 'cancelled', 'expired'))",
    "plan text CHECK (plan IN ('monthly', 'quarterly'))",
    "price_minor integer NOT NULL CHECK (price_minor >= 0)",
    "currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$')",
    "trial_ends_at timestamptz",
    "reminders integer NOT NULL DEFAULT 0 CHECK (reminders >= 0)",
    "period_ends_at timestamptz",
    "cancel_at_period_end boolean NOT NULL DEFAULT false",
    "ended_at timestamptz",
    "end_reason text CHECK (length(end_reason) <= 500)",
    "version integer NOT NULL DEFAULT 1 CHECK (version >= 1)",
    "CONSTRAINT hire_ended CHECK ((state IN ('cancelled', 'expired')) = (ended_at IS NOT NULL))",
    "CONSTRAINT hire_trial CHECK (state <> 'trial' OR trial_ends_at IS NOT NULL)",
    "CONSTRAINT hire_plan CHECK (state NOT IN ('active', 'paused') OR plan IS NOT NULL AND period_ends_at IS NOT NULL)",
)

DELIVERABLE = ddl.create(
    "deliverable",
    "hire_id uuid NOT NULL REFERENCES plant.hire ON DELETE RESTRICT",
    "title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200)",
    "kind text NOT NULL CHECK (kind IN ('document', 'design', 'report', 'lesson', 'list', 'other'))",
    "body text",
    "object_uri text CHECK (length(object_uri) <= 1000)",
    "bytes bigint NOT NULL CHECK (bytes >= 0)",
    "sha256 bytea NOT NULL CHECK (length(sha256) = 32)",
    "review_state text NOT NULL DEFAULT 'pending' CHECK (review_state IN ('pending', 'approved', 'rejected'))",
    "review_note text CHECK (length(review_note) <= 2000)",
    "reviewed_by uuid REFERENCES plant.account ON DELETE RESTRICT",
    "reviewed_at timestamptz",
    "CONSTRAINT deliverable_one_content CHECK ((body IS NULL) <> (object_uri IS NULL))",
    "CONSTRAINT deliverable_reviewed CHECK ((review_state = 'pending') = (reviewed_at IS NULL))",
)

OPEN = "state IN ('trial', 'active', 'paused')"
INDEXES = (
    f"CREATE UNIQUE INDEX hire_one_open ON plant.hire (customer_id, agent_id) WHERE {OPEN}",
    "CREATE INDEX hire_customer_newest ON plant.hire (customer_id, created_at DESC, id DESC)",
    "CREATE INDEX hire_agent_newest ON plant.hire (agent_id, created_at DESC, id DESC)",
    "CREATE INDEX hire_trial_end ON plant.hire (trial_ends_at) WHERE state = 'trial'",
    "CREATE INDEX hire_period_end ON plant.hire (period_ends_at) WHERE state = 'active'",
    "CREATE INDEX deliverable_hire_newest ON plant.deliverable (hire_id, created_at DESC, id DESC)",
    "CREATE INDEX deliverable_pending ON plant.deliverable (created_at) WHERE review_state = 'pending'",
)


def upgrade() -> None:
    """Needs plant.customer and plant.agent."""
    for statement in (*HIRE, *DELIVERABLE, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    """Drops both tables with their rows."""
    op.execute("DROP TABLE plant.deliverable")
    op.execute("DROP TABLE plant.hire")
