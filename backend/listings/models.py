"""Agents as their partner and the operators see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from backend.agents.models import Availability
from backend.schema import In, Name, Note, Out, Slug, Storable, Text

State = Literal["draft", "in_review", "published", "retired"]
Price = Annotated[int, Field(ge=0, le=2_000_000_000)]
TrialDays = Annotated[int, Field(ge=0, le=30)]
Tagline = Annotated[str, StringConstraints(strip_whitespace=True, max_length=160), Storable]
Skills = Annotated[list[Slug], Field(max_length=20, description="The first one is the primary one")]


class Listing(Out):
    """An agent in any state, with what only its partner and operators may know."""

    id: UUID
    slug: str
    name: str
    tagline: str
    description: str
    industry: str
    job_role: str
    skills: list[str]
    listing: State
    availability: Availability
    monthly_price_minor: int
    currency: str
    trial_days: int
    rating_avg: float | None
    hires_total: int
    review_note: str | None
    submitted_at: datetime | None
    published_at: datetime | None
    updated_at: datetime
    partner: str | None
    version: int


class NewListing(In):
    """An agent to be made, as a draft. Its industry cannot change once it was published."""

    slug: Slug
    name: Name
    tagline: Tagline = ""
    description: Text = ""
    industry: Slug
    job_role: Slug
    skills: Skills = Field(default_factory=list)
    monthly_price_minor: Price
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "INR"
    trial_days: TrialDays = 7


class ListingPatch(In):
    """What may change of an agent; what is not given stays."""

    name: Name | None = None
    tagline: Tagline | None = None
    description: Text | None = None
    industry: Slug | None = None
    job_role: Slug | None = None
    skills: Skills | None = None
    monthly_price_minor: Price | None = None
    trial_days: TrialDays | None = None


class AvailabilityChange(In):
    """Whether an agent takes work now."""

    availability: Availability


class Review(In):
    """What an operator says with a decision."""

    note: Note = ""


class Rejection(In):
    """Why a submitted agent goes back to its partner."""

    note: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), Storable]
