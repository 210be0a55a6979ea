"""Keyset paging: an opaque cursor holds the last row's sort value and id, and a digest of the filters it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from backend.errors import Problem

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before")]


def digest(*filters: object) -> str:
    """A short name for a set of filters; a cursor of another one is refused."""
    return hashlib.sha256(json.dumps(filters, default=str).encode()).hexdigest()[:12]


def pack(values: Sequence[object], filters: str) -> str:
    """A cursor; values become text."""
    text = json.dumps([*(None if value is None else str(value) for value in values), filters])
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def unpack(cursor: str | None, count: int, filters: str) -> list[Any] | None:
    """The values of a cursor, None without one. Raises Problem 400 for one that is not of these filters."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _bad() from None
    if not isinstance(values, list) or len(values) != count + 1 or values.pop() != filters:
        raise _bad()
    if not all(value is None or isinstance(value, str) for value in values):
        raise _bad()
    return values


def typed(values: list[Any] | None, *kinds: Any) -> list[Any]:
    """The values as what SQL compares with; a missing cursor gives as many None. Raises Problem 400."""
    if values is None:
        return [None] * len(kinds)
    try:
        return [kind(value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, ArithmeticError):
        raise _bad() from None


def bigint(text: str) -> int:
    """A key of eight bytes, for `typed`. Raises ValueError."""
    value = int(text)
    if not 0 <= value < 2**63:
        raise ValueError
    return value


def _bad() -> Problem:
    return Problem(400, "cursor", "the cursor does not belong to this list; begin again without one")
