"""Access tokens: JWT with HS256 and nothing else, signed with the first key of the secret, verified with any."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from backend.errors import unauthorized
from backend.secret_values import SigningKey

TTL_S = 900
ISSUER, AUDIENCE = "plant", "plant-api"
_ALGORITHM = "HS256"
_LONGEST = 4096
_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "sid", "tv", "jti", "kind"]


@dataclass(frozen=True)
class Token:
    """What a verified token says; whether the account still is so is asked elsewhere (`tv`)."""

    account_id: uuid.UUID
    session_id: str
    version: int


class Tokens:
    """Signs and verifies."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._first = keys[0]
        self._keys = {key.kid: key.value for key in keys}

    def issue(self, account_id: uuid.UUID, session_id: str, version: int, kind: str, role: str) -> str:
        """A token for `TTL_S` seconds."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(account_id),
            "sid": session_id,
            "tv": version,
            "kind": kind,
            "roles": [role],
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + TTL_S,
        }
        return jwt.encode(claims, self._first.value, _ALGORITHM, headers={"kid": self._first.kid})

    def verify(self, text: str) -> Token:
        """Raises Problem 401 for whatever is not a valid token of ours; the reason is not told."""
        if len(text) > _LONGEST:
            raise unauthorized("the token is not valid")
        try:
            header = jwt.get_unverified_header(text)
            key = self._keys[header["kid"]]
            claims: dict[str, Any] = jwt.decode(
                text, key, [_ALGORITHM], options={"require": _CLAIMS}, audience=AUDIENCE, issuer=ISSUER
            )
            return Token(uuid.UUID(claims["sub"]), _text(claims["sid"]), _integer(claims["tv"]))
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, AttributeError):
            raise unauthorized("the token is not valid") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value
