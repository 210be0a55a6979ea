"""Partners and accounts.

`account.customer_id` is a plain uuid here: the customer table holds personal data and comes, with its foreign key and
its anonymisation, in the migration that brings hires. The rule "kind matches the filled key" needs no foreign key and
holds from the start.
"""

from __future__ import annotations

from alembic import op

from backend.migrations import ddl

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Needs citext in schema plant."""
    statements = [
        *ddl.create(
            "partner",
            ddl.SLUG,
            ddl.NAME,
            "contact_email plant.citext NOT NULL",
            "status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'active', 'suspended'))",
        ),
        *ddl.create(
            "account",
            "email plant.citext NOT NULL UNIQUE",
            "password_hash text",
            "display_name text NOT NULL",
            "kind text NOT NULL CHECK (kind IN ('customer', 'partner', 'operator'))",
            "role text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin'))",
            "customer_id uuid",
            "partner_id uuid REFERENCES plant.partner ON DELETE RESTRICT",
            "status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'locked', 'closed'))",
            "token_version integer NOT NULL DEFAULT 1",
            "failed_logins integer NOT NULL DEFAULT 0 CHECK (failed_logins >= 0)",
            "locked_until timestamptz",
            "last_login_at timestamptz",
            "CHECK ((kind = 'customer') = (customer_id IS NOT NULL) AND (kind = 'partner') = (partner_id IS NOT NULL))",
        ),
    ]
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    """Drops both tables with their rows."""
    op.execute("DROP TABLE plant.account")
    op.execute("DROP TABLE plant.partner")
