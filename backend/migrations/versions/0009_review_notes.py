"""What an operator says of a submitted agent, and since when it waits."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Both are null for agents that came with the seed."""
    op.execute("ALTER TABLE plant.agent ADD COLUMN review_note text CHECK (length(review_note) <= 500)")
    op.execute("ALTER TABLE plant.agent ADD COLUMN submitted_at timestamptz")


def downgrade() -> None:
    """Forgets the notes."""
    op.execute("ALTER TABLE plant.agent DROP COLUMN submitted_at")
    op.execute("ALTER TABLE plant.agent DROP COLUMN review_note")
