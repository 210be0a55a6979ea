"""API keys as they go in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from backend.schema import In, Out, Storable

Scope = Literal["agents:read", "agents:write", "hires:read", "deliverables:write"]


class ApiKey(Out):
    """A key as it is listed: never its secret."""

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    rate_limit: int
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


class MadeApiKey(ApiKey):
    """A key at its making: `key` is shown this once."""

    key: str


class NewApiKey(In):
    """What a key may do, and for how long."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), Storable]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    expires_in_days: Annotated[int, Field(ge=1, le=730)] | None = 365
