"""Bodies of signing up and in."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from backend.schema import In, Name, Out, Slug, Storable

# One @ between printable characters, and a dot in the domain: whether it is somebody's, only a message can tell.
Email = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^\s@\x00-\x1f]+@[^\s@.]+(\.[^\s@.]+)+$")
]


def _mixed(password: str) -> str:
    if len(set(password)) < 5:
        raise ValueError("has too few different characters")
    return password


Password = Annotated[str, StringConstraints(min_length=12, max_length=200), Storable, AfterValidator(_mixed)]


class Registration(In):
    """A new customer. `consent` is to the processing of these data."""

    email: Email
    password: Password
    display_name: Name
    business_name: Name
    industry: Slug | None = None
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    consent: Literal[True]


class Registered(Out):
    """The account that was made; sign in with it."""

    id: UUID
    email: str
    kind: Literal["customer"] = "customer"


class AccessToken(Out):
    """RFC 6749 5.1; the refresh token travels in a cookie that scripts cannot read."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: Annotated[int, Field(description="Seconds")]
