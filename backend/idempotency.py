"""Idempotency-Key: the answer of a POST is kept in the transaction that it stands for, and given again for a day.

draft-ietf-httpapi-idempotency-key-header: without a key 400, the same key with another body 422, meanwhile 409.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.responses import JSONResponse, Response

from backend.database import Connection
from backend.errors import Problem, conflict
from backend.pool import Database
from backend.schema import Out
from backend.security.callers import Caller

Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=200, description="A fresh random text for each intended action"),
]
Work = Callable[[Connection], Awaitable[tuple[Out, dict[str, str]]]]

_FIND = """
SELECT fingerprint, status_code, headers, response FROM idempotency_key
WHERE account_id = $1 AND key = $2 AND expires_at > now()
"""
_KEEP = """
INSERT INTO idempotency_key AS old (account_id, key, route, fingerprint, status_code, headers, response, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + interval '24 hours')
ON CONFLICT (account_id, key) DO UPDATE SET route = excluded.route, fingerprint = excluded.fingerprint,
    status_code = excluded.status_code, headers = excluded.headers, response = excluded.response,
    created_at = now(), expires_at = excluded.expires_at
WHERE old.expires_at <= now()
"""


async def once(request: Request, database: Database, caller: Caller, key: str | None, work: Work) -> Response:
    """Runs `work` in a transaction and answers 201 with what it gives, or repeats the answer that the key had.

    Problems of `work` undo everything, the key too: the client may try again with it.
    """
    if not key:
        raise Problem(400, "idempotency-key-missing", "send Idempotency-Key with a fresh random text")
    if not (key.isascii() and key.isprintable()):
        raise Problem(400, "idempotency-key-invalid", "Idempotency-Key holds printable ASCII")
    route = f"{request.method} {request.url.path}"
    fingerprint = hashlib.sha256(route.encode() + b"\n" + await request.body()).digest()
    async with database.transaction() as connection:
        lock = int.from_bytes(hashlib.sha256(f"{caller.id}/{key}".encode()).digest()[:8], signed=True)
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", lock):
            raise conflict("idempotency-key-in-use", "the first request with this key is still under way")
        known = await connection.fetchrow(_FIND, caller.id, key)
        if known is not None:
            return _again(known, fingerprint)
        made, headers = await work(connection)
        body = made.model_dump(mode="json")
        await connection.execute(_KEEP, caller.id, key, route, fingerprint, 201, headers, body)
    return JSONResponse(body, 201, headers)


def _again(known: Any, fingerprint: bytes) -> Response:
    if known["fingerprint"] != fingerprint:
        raise Problem(422, "idempotency-key-reused", "this key was sent with another request before")
    headers = known["headers"] | {"Idempotency-Replayed": "true"}
    return Response(json.dumps(known["response"]), known["status_code"], headers, "application/json")
