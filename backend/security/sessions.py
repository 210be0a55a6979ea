"""Sessions in Redis: `session:{sid}`, renewed with a new secret each time; an old secret ends the session."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from backend.errors import unauthorized, unavailable
from backend.redis_store import RedisDown, Store

TTL_S = 86_400

# One step, so that of two who renew with the same secret only one is right. Returns the account, or what was wrong.
_ROTATE = """
local known = redis.call('HGET', KEYS[1], 'secret')
if not known then return 'gone' end
if known ~= ARGV[1] then
    redis.call('DEL', KEYS[1])
    return 'reused'
end
redis.call('HSET', KEYS[1], 'secret', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 'account:' .. redis.call('HGET', KEYS[1], 'account')
"""


class ReusedError(Exception):
    """A secret that was already used came again: somebody copied it. The session has been ended."""


@dataclass(frozen=True)
class Session:
    """A session and the refresh token that renews it once."""

    id: str
    account_id: uuid.UUID
    refresh_token: str


class Sessions:
    """Starts, renews and ends sessions. Every call raises Problem 503 while Redis is away."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._rotate: Any = store.client.register_script(_ROTATE)

    async def start(self, account_id: uuid.UUID) -> Session:
        """A new session of an account, for a day."""
        session_id, secret = uuid.uuid4().hex, secrets.token_urlsafe(32)
        key = f"session:{session_id}"
        pipeline = self.store.client.pipeline(transaction=True)
        pipeline.hset(key, mapping={"account": str(account_id), "secret": _digest(secret)})
        pipeline.expire(key, TTL_S)
        await self._ask(pipeline.execute(), "HSET")
        return Session(session_id, account_id, f"{session_id}.{secret}")

    async def renew(self, refresh_token: str) -> Session:
        """The session with a new secret, for another day. Raises Problem 401, or ReusedError for a used one."""
        session_id, secret = _parts(refresh_token)
        fresh = secrets.token_urlsafe(32)
        arguments = [_digest(secret), _digest(fresh), TTL_S]
        answer = (await self._ask(self._rotate(keys=[f"session:{session_id}"], args=arguments), "EVALSHA")).decode()
        if answer == "reused":
            raise ReusedError(session_id)
        if answer == "gone":
            raise unauthorized("the session has ended")
        return Session(session_id, uuid.UUID(answer.removeprefix("account:")), f"{session_id}.{fresh}")

    async def end(self, session_id: str) -> None:
        """Ends a session; one that is gone already is fine."""
        await self._ask(self.store.client.delete(f"session:{session_id}"), "DEL")

    async def _ask(self, operation: Any, name: str) -> Any:
        try:
            return await self.store.ask(operation, name)
        except RedisDown:
            raise unavailable("sessions-unavailable") from None


def session_id_of(refresh_token: str) -> str:
    """The session that a refresh token names, right or not. Raises Problem 401 for what is not one."""
    return _parts(refresh_token)[0]


def _parts(refresh_token: str) -> tuple[str, str]:
    session_id, _, secret = refresh_token.partition(".")
    if not (len(session_id) == 32 and session_id.isalnum() and 20 <= len(secret) <= 100):
        raise unauthorized("sign in")
    return session_id, secret


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
