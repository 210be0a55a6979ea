"""The signed-in account as it goes in and out."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints

from backend.schema import In, Name, Out, Storable

Website = Annotated[str, StringConstraints(max_length=300, pattern=r"^https?://[^\s]+$"), Storable]


class Me(Out):
    """Who is signed in; `business_name` and `website` of customers, `partner` of partners."""

    id: UUID
    email: str
    display_name: str
    kind: Literal["customer", "partner", "operator"]
    role: Literal["member", "admin"]
    business_name: str | None
    website: str | None
    partner: str | None
    version: int


class MePatch(In):
    """What one may change of oneself; what is not given stays."""

    display_name: Name | None = None
    business_name: Name | None = None
    website: Website | None = None
