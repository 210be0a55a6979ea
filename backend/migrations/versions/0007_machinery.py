"""What requests and jobs lean on: partners' API keys, idempotency keys, the outbox and the runs of jobs."""

from __future__ import annotations

from alembic import op

from backend.migrations import ddl

revision = "0007"
down_revision = "0006"

API_KEY = ddl.create(
    "api_key",
    "partner_id uuid NOT NULL REFERENCES plant.partner ON DELETE RESTRICT",
    "name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80)",
    "prefix text NOT NULL UNIQUE CHECK (prefix ~ '^[a-z0-9]{8}$')",
    "key_hash bytea NOT NULL CHECK (length(key_hash) = 32)",
    "scopes text[] NOT NULL CHECK (cardinality(scopes) > 0)",
    "rate_limit integer NOT NULL DEFAULT 300 CHECK (rate_limit BETWEEN 1 AND 100000)",
    "expires_at timestamptz",
    "revoked_at timestamptz",
    "last_used_at timestamptz",
)

IDEMPOTENCY_KEY = """
CREATE TABLE plant.idempotency_key (
    account_id uuid NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    route text NOT NULL,
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    status_code smallint NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}',
    response jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, key))
"""

OUTBOX = """
CREATE TABLE plant.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL CHECK (length(topic) BETWEEN 1 AND 80),
    payload jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz)
"""

JOB_RUN = ddl.create(
    "job_run",
    "name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80)",
    "scheduled_for text NOT NULL",
    "status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed', 'dead'))",
    "attempts integer NOT NULL DEFAULT 1 CHECK (attempts >= 1)",
    "started_at timestamptz NOT NULL DEFAULT now()",
    "finished_at timestamptz",
    "error text",
    "result jsonb",
    "UNIQUE (name, scheduled_for)",
)

INDEXES = (
    "CREATE INDEX api_key_partner ON plant.api_key (partner_id)",
    "CREATE INDEX idempotency_key_expiry ON plant.idempotency_key (expires_at)",
    "CREATE INDEX outbox_waiting ON plant.outbox (id) WHERE published_at IS NULL",
    "CREATE INDEX job_run_status ON plant.job_run (status)",
)


def upgrade() -> None:
    """`idempotency_key.account_id` is an account, or a partner or service key acting for itself: no foreign key.

    `job_run.scheduled_for` is what makes a run unique: the minute of a schedule, or the id of an outbox row.
    """
    for statement in (*API_KEY, IDEMPOTENCY_KEY, OUTBOX, *JOB_RUN, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    """Drops the four tables with their rows."""
    for table in ("job_run", "outbox", "idempotency_key", "api_key"):
        op.execute(f"DROP TABLE plant.{table}")
