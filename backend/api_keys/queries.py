"""SQL of API keys. What is stored of a key is its first part and the SHA-256 of the whole."""

from __future__ import annotations

import hashlib
import secrets
import string
from uuid import UUID

from backend.api_keys.models import ApiKey, MadeApiKey, NewApiKey
from backend.database import Connection
from backend.errors import conflict, not_found

MOST = 20
_COLUMNS = "id, name, prefix, scopes, rate_limit, expires_at, revoked_at, last_used_at, created_at"
_INSERT = f"""
INSERT INTO api_key (partner_id, name, prefix, key_hash, scopes, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(days => $6)) RETURNING {_COLUMNS}
"""
_ALPHABET = string.ascii_lowercase + string.digits


async def fetch_all(connection: Connection, partner_id: UUID | None) -> list[ApiKey]:
    """A partner's keys, newest first, revoked ones too."""
    query = f"SELECT {_COLUMNS} FROM api_key WHERE partner_id = $1 ORDER BY created_at DESC LIMIT 200"
    return [ApiKey(**row) for row in await connection.fetch(query, partner_id)]


async def insert(connection: Connection, partner_id: UUID | None, new: NewApiKey) -> MadeApiKey:
    """Makes a key. Raises Problem 409 when the partner has too many in use."""
    live = "SELECT count(*) FROM api_key WHERE partner_id = $1 AND revoked_at IS NULL"
    if await connection.fetchval(live, partner_id) >= MOST:
        raise conflict("too-many-keys", f"there are {MOST} keys in use; revoke one first")
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    key = f"plk_{prefix}_{secrets.token_urlsafe(24)}"
    digest = hashlib.sha256(key.encode()).digest()
    values = (new.name, prefix, digest, sorted(set(new.scopes)), new.expires_in_days)
    row = await connection.fetchrow(_INSERT, partner_id, *values)
    return MadeApiKey(**row, key=key)


async def revoke(connection: Connection, partner_id: UUID | None, key_id: UUID) -> str:
    """Revokes a key and gives its prefix; once more is fine. Raises Problem 404."""
    statement = (
        "UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 AND partner_id = $2 RETURNING prefix"
    )
    prefix: str | None = await connection.fetchval(statement, key_id, partner_id)
    if prefix is None:
        raise not_found("API key")
    return prefix
