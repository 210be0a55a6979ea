"""The values of JWT_SECRET_KEY and API_KEYS: read, checked, and kept as what is needed of them only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

SHORTEST_SIGNING_KEY = 32
_WELL_KNOWN = frozenset({"password", "postgres", "changeme", "secret", "admin", "plant", "example", "test", "default"})


@dataclass(frozen=True)
class SigningKey:
    """A key of HS256 and the name that tokens call it by."""

    kid: str
    value: bytes


@dataclass(frozen=True)
class ServiceKey:
    """A key of the secret API_KEYS: uptime checks, smoke tests and load tests come with one."""

    id: str
    digest: bytes
    scopes: frozenset[str]
    limit: int


def is_weak(secret: str) -> bool:
    """A word that everybody tries first, or hardly any different characters."""
    return secret.lower().rstrip("0123456789!.-_") in _WELL_KNOWN or len(set(secret)) < 5


def signing_keys(text: str) -> list[SigningKey]:
    """The keys of JWT_SECRET_KEY, one a line: the first signs, all verify. Raises ValueError without any value."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("set it")
    for line in lines:
        if len(line.encode()) < SHORTEST_SIGNING_KEY:
            raise ValueError(f"each key has {SHORTEST_SIGNING_KEY} bytes or more (RFC 7518 3.2)")
    return [SigningKey(hashlib.sha256(b"kid:" + line.encode()).hexdigest()[:8], line.encode()) for line in lines]


def service_keys(text: str) -> list[ServiceKey]:
    """The keys of API_KEYS: a JSON list of {id, key or sha256, scopes, limit}. Raises ValueError without any value."""
    if not text.strip():
        return []
    try:
        rows = json.loads(text)
        return [_service_key(row) for row in rows]
    except (TypeError, KeyError, AttributeError, json.JSONDecodeError):
        raise ValueError("is a JSON list of objects with id, key (or sha256), scopes and limit") from None


def _service_key(row: dict[str, Any]) -> ServiceKey:
    if "sha256" in row:
        digest = bytes.fromhex(row["sha256"])
    else:
        digest = hashlib.sha256(row["key"].encode()).digest()
    if len(digest) != 32:
        raise ValueError("sha256 has 64 hexadecimal digits")
    return ServiceKey(str(row["id"]), digest, frozenset(map(str, row["scopes"])), int(row.get("limit", 300)))
