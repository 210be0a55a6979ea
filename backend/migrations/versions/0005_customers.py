"""Customers, and the foreign key that `account.customer_id` waited for.

`anonymised_at` is when the personal data were overwritten; rows of hires keep pointing here. Indexes stand with their
tables: new tables are empty, so that no writer waits.
"""

from __future__ import annotations

from alembic import op

from backend.migrations import ddl

revision = "0005"
down_revision = "0004"

CUSTOMER = ddl.create(
    "customer",
    "business_name text NOT NULL CHECK (length(business_name) BETWEEN 1 AND 160)",
    "industry_id uuid REFERENCES plant.industry ON DELETE RESTRICT",
    "country char(2) CHECK (country ~ '^[A-Z]{2}$')",
    "website text CHECK (length(website) <= 300)",
    "consent_at timestamptz NOT NULL",
    "anonymised_at timestamptz",
)


def upgrade() -> None:
    """Accounts of customers that exist already would have no customer; there was no way to make one before."""
    for statement in CUSTOMER:
        op.execute(statement)
    op.execute(
        "ALTER TABLE plant.account ADD CONSTRAINT account_customer_id_fkey "
        "FOREIGN KEY (customer_id) REFERENCES plant.customer ON DELETE RESTRICT"
    )
    op.execute("CREATE INDEX account_customer ON plant.account (customer_id) WHERE customer_id IS NOT NULL")
    op.execute("ALTER TABLE plant.account ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version >= 1)")


def downgrade() -> None:
    """Drops customers with their rows."""
    op.execute("ALTER TABLE plant.account DROP COLUMN version")
    op.execute("DROP INDEX plant.account_customer")
    op.execute("ALTER TABLE plant.account DROP CONSTRAINT account_customer_id_fkey")
    op.execute("DROP TABLE plant.customer")
