"""Who is calling: an account by its token, a partner by an API key, a service by a key of the secret, or nobody."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.database import Connection
from backend.errors import unauthorized
from backend.pool import Database
from backend.secret_values import ServiceKey
from backend.security.tokens import Tokens

ANONYMOUS_LIMIT = 60
LIMITS = {"customer": 120, "partner": 300, "operator": 300}
PARTNER_SCOPES = ("agents:read", "agents:write", "hires:read", "deliverables:write")

_BELIEF_S = 15.0  # how long a locked account or a revoked key may still pass in a process
_PARTNER_KEY = re.compile(r"^plk_([a-z0-9]{8})_[A-Za-z0-9_-]{32}$")
_NOT_VALID = "the API key is not valid"

_ACCOUNT = """
SELECT a.id, a.kind, a.role, a.customer_id, a.partner_id, a.token_version
FROM account a LEFT JOIN partner p ON p.id = a.partner_id
WHERE a.id = $1 AND a.status = 'active' AND coalesce(p.status, 'active') = 'active'
"""
_KEY = """
SELECT k.id, k.partner_id, k.key_hash, k.scopes, k.rate_limit, k.expires_at
FROM api_key k JOIN partner p ON p.id = k.partner_id
WHERE k.prefix = $1 AND k.revoked_at IS NULL AND p.status = 'active'
  AND (k.expires_at IS NULL OR k.expires_at > now())
"""
_USED = """
UPDATE api_key SET last_used_at = now()
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


@dataclass(frozen=True)
class Caller:
    """Whoever calls. `user` is the name in the rate limit's key; `id` is an account's or a key's, None for nobody."""

    kind: str
    user: str
    limit: int
    id: uuid.UUID | None = None
    account_id: uuid.UUID | None = None
    role: str = "member"
    customer_id: uuid.UUID | None = None
    partner_id: uuid.UUID | None = None
    session_id: str = ""
    scopes: frozenset[str] | None = None  # None: an account, which may all that its kind may


class Callers:
    """Finds callers, and believes what it found for a quarter of a minute."""

    def __init__(self, database: Database, tokens: Tokens, service_keys: Sequence[ServiceKey]) -> None:
        self.database, self.tokens = database, tokens
        self._services = {key.digest: key for key in service_keys}
        self._known: dict[str, tuple[float, Any]] = {}
        self._touches: set[asyncio.Task[None]] = set()

    async def by_token(self, text: str) -> Caller:
        """The account of an access token. Raises Problem 401, also for an account that was locked since."""
        token = self.tokens.verify(text)
        row = await self._believed(f"account:{token.account_id}", _ACCOUNT, token.account_id)
        if row is None or row["token_version"] != token.version:
            raise unauthorized("the token is not valid")
        return Caller(
            row["kind"],
            str(row["id"]),
            LIMITS[row["kind"]],
            row["id"],
            row["id"],
            row["role"],
            row["customer_id"],
            row["partner_id"],
            token.session_id,
        )

    async def by_key(self, text: str) -> Caller:
        """The partner or service of an API key. Raises Problem 401."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        service = self._services.get(digest)
        if service is not None:
            made = uuid.uuid5(uuid.NAMESPACE_URL, f"plant:service:{service.id}")
            return Caller("service", f"key:{service.id}", service.limit, made, scopes=service.scopes)
        match = _PARTNER_KEY.match(text)
        row = await self._believed(f"key:{match[1]}", _KEY, match[1]) if match else None
        if row is None or not hmac.compare_digest(row["key_hash"], digest):
            raise unauthorized(_NOT_VALID)
        self._touch(row["id"])
        key_id, partner = row["id"], row["partner_id"]
        scopes = frozenset(row["scopes"])
        return Caller("partner", f"key:{key_id}", row["rate_limit"], key_id, partner_id=partner, scopes=scopes)

    def forget(self, name: str) -> None:
        """Drops a belief (`account:<id>`, `key:<prefix>`) that this process just made wrong."""
        self._known.pop(name, None)

    async def _believed(self, name: str, query: str, argument: object) -> Any:
        known = self._known.get(name)
        now = time.monotonic()
        if known is not None and now - known[0] < _BELIEF_S:
            return known[1]

        async def fetch(connection: Connection) -> Any:
            return await connection.fetchrow(query, argument)

        row = await self.database.read(fetch)
        if len(self._known) > 20_000:
            self._known.clear()
        if row is not None:  # made-up ids and prefixes must not fill the memory
            self._known[name] = (now, row)
        return row

    def _touch(self, key_id: uuid.UUID) -> None:
        """Notes the use once a minute, beside the request."""
        name = f"touched:{key_id}"
        known = self._known.get(name)
        if known is not None and time.monotonic() - known[0] < 60:
            return
        self._known[name] = (time.monotonic(), None)

        async def note() -> None:
            try:
                async with self.database.connection() as connection:
                    await connection.execute(_USED, key_id)
            except Exception:
                self._known.pop(name, None)  # the next use notes it

        task = asyncio.create_task(note())
        self._touches.add(task)
        task.add_done_callback(self._touches.discard)
