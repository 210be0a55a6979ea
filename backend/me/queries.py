"""SQL of the signed-in account."""

from __future__ import annotations

from uuid import UUID

from backend.database import Connection
from backend.deps import stale
from backend.errors import not_found
from backend.me.models import Me, MePatch

_SELECT = """
SELECT a.id, a.email::text AS email, a.display_name, a.kind, a.role, a.version, c.business_name, c.website,
       p.name AS partner
FROM account a LEFT JOIN customer c ON c.id = a.customer_id LEFT JOIN partner p ON p.id = a.partner_id
WHERE a.id = $1
"""
_CLOSE = """
UPDATE account SET email = 'closed-' || id || '@invalid.example', password_hash = NULL, display_name = 'Closed',
    status = 'closed', token_version = token_version + 1, version = version + 1
WHERE id = $1
"""
_FORGET = """
UPDATE customer SET business_name = 'Closed', website = NULL, country = NULL, anonymised_at = now() WHERE id = $1
"""
_END = """
UPDATE hire SET state = 'cancelled', ended_at = now(), end_reason = 'account closed', version = version + 1
WHERE customer_id = $1 AND state IN ('trial', 'active', 'paused')
"""


async def fetch(connection: Connection, account_id: UUID | None) -> Me:
    """The account. Raises Problem 404 for one that is gone."""
    row = await connection.fetchrow(_SELECT, account_id)
    if row is None:
        raise not_found("account")
    return Me(**row)


async def update(
    connection: Connection, account_id: UUID | None, customer_id: UUID | None, version: int, patch: MePatch
) -> Me:
    """Changes the account, and its customer. Raises Problem 412."""
    statement = (
        "UPDATE account SET display_name = coalesce($3, display_name), version = version + 1 "
        "WHERE id = $1 AND version = $2 RETURNING true"
    )
    if not await connection.fetchval(statement, account_id, version, patch.display_name):
        raise stale()
    if customer_id is not None:
        business = (
            "UPDATE customer SET business_name = coalesce($2, business_name), website = coalesce($3, website) "
            "WHERE id = $1"
        )
        await connection.execute(business, customer_id, patch.business_name, patch.website)
    return await fetch(connection, account_id)


async def close(connection: Connection, account_id: UUID | None, customer_id: UUID | None) -> None:
    """Overwrites the personal data and ends what is open; rows of hires stay for the accounts."""
    await connection.execute(_CLOSE, account_id)
    if customer_id is not None:
        await connection.execute(_END, customer_id)
        await connection.execute(_FORGET, customer_id)
