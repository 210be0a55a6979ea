"""Answers of the public catalogue: serialised once, kept in Redis, with a validator and a minute in shared caches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from backend.cache import Cache

PUBLIC = "public, max-age=60, stale-while-revalidate=300"
CATALOGUE = "catalogue"
"""The cache's kind of everything that the catalogue shows: an edit makes all of it old at once."""


async def public(request: Request, cache: Cache, key: str, build: Callable[[], Awaitable[BaseModel]]) -> Response:
    """The answer for `key`; 304 when the client has it already. `key` holds the route and every filter."""

    async def serialised() -> bytes:
        return (await build()).model_dump_json().encode()

    entry = await cache.get(CATALOGUE, key, serialised)
    headers = {"ETag": entry.etag, "Cache-Control": PUBLIC, "Vary": "Accept-Encoding"}
    if _has(request.headers.get("if-none-match", ""), entry.etag):
        return Response(None, 304, headers)
    return Response(entry.body, 200, headers, "application/json")


def _has(if_none_match: str, etag: str) -> bool:
    """Weak comparison (RFC 9110 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
