"""The outbox as the list of jobs: keys that make a job one of its kind, who asked for it, and whether it is done."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

COLUMNS = (
    "ALTER TABLE plant.outbox ADD COLUMN key text CHECK (length(key) BETWEEN 1 AND 80), "
    "ADD COLUMN request_id text NOT NULL DEFAULT '' CHECK (length(request_id) <= 64), "
    "ADD COLUMN done_at timestamptz, ADD CONSTRAINT outbox_topic_key UNIQUE (topic, key)",
    "ALTER TABLE plant.job_run ADD COLUMN retry_at timestamptz",
)
INDEXES = (
    "CREATE INDEX outbox_open ON plant.outbox (id) WHERE done_at IS NULL",
    "CREATE INDEX outbox_request ON plant.outbox (request_id) WHERE request_id <> ''",
)


def upgrade() -> None:
    """`key` is the slot of a schedule, null for what requests enqueue. Dead jobs are not done: operators retry them."""
    for statement in (*COLUMNS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    """Forgets which jobs are done: an older worker's image would do the open ones again."""
    op.execute("ALTER TABLE plant.job_run DROP COLUMN retry_at")
    op.execute(
        "ALTER TABLE plant.outbox DROP CONSTRAINT outbox_topic_key, "
        "DROP COLUMN done_at, DROP COLUMN request_id, DROP COLUMN key"
    )
