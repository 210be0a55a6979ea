"""SQL of accounts as far as signing up and in goes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from backend.auth.models import Registration
from backend.database import Connection
from backend.errors import conflict, invalid

ATTEMPTS = 5
_LOCK = "15 minutes"

_FIND = """
SELECT a.id, a.password_hash, a.kind, a.role, a.token_version, coalesce(a.locked_until > now(), false) AS locked,
       a.status = 'active' AND coalesce(p.status, 'active') = 'active' AS open
FROM account a LEFT JOIN partner p ON p.id = a.partner_id
WHERE a.email = $1::text::citext
"""
_BY_ID = """
SELECT a.id, a.kind, a.role, a.token_version FROM account a LEFT JOIN partner p ON p.id = a.partner_id
WHERE a.id = $1 AND a.status = 'active' AND coalesce(p.status, 'active') = 'active'
"""
_CUSTOMER = """
INSERT INTO customer (business_name, industry_id, country, consent_at)
VALUES ($1, (SELECT id FROM industry WHERE slug = $2), $3, now()) RETURNING id, industry_id
"""
_ACCOUNT = """
INSERT INTO account (email, password_hash, display_name, kind, customer_id)
VALUES ($1::text, $2, $3, 'customer', $4) RETURNING id
"""
_FAILED = f"""
UPDATE account SET failed_logins = failed_logins + 1,
    locked_until = CASE WHEN failed_logins + 1 >= {ATTEMPTS} THEN now() + interval '{_LOCK}' ELSE locked_until END
WHERE id = $1
"""
_DONE = "UPDATE account SET failed_logins = 0, locked_until = NULL, last_login_at = now() WHERE id = $1"


async def insert(connection: Connection, new: Registration, password_hash: str) -> UUID:
    """Adds a customer and its account. Raises Problem 409 for a known address, 422 for an unknown industry."""
    customer = await connection.fetchrow(_CUSTOMER, new.business_name, new.industry, new.country)
    if new.industry is not None and customer["industry_id"] is None:
        raise invalid("body.industry", "there is no such industry")
    try:
        made: UUID = await connection.fetchval(_ACCOUNT, new.email, password_hash, new.display_name, customer["id"])
    except asyncpg.UniqueViolationError:
        raise conflict("email-taken", "there is an account with this address") from None
    return made


async def find(connection: Connection, email: str) -> Any:
    """What signing in needs of an account; None when there is none."""
    return await connection.fetchrow(_FIND, email)


async def find_by_id(connection: Connection, account_id: UUID) -> Any:
    """What a renewed token needs of an account that may still sign in; else None."""
    return await connection.fetchrow(_BY_ID, account_id)


async def note_failure(connection: Connection, account_id: UUID) -> None:
    """Counts a wrong password; the fifth in a row locks the account for a quarter of an hour."""
    await connection.execute(_FAILED, account_id)


async def note_success(connection: Connection, account_id: UUID) -> None:
    """Begins the count anew."""
    await connection.execute(_DONE, account_id)
