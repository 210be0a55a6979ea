"""Job roles as they go in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from backend.schema import In, Name, Out, Slug, Text

Seniority = Literal["junior", "mid", "senior"]
Slugs = Annotated[list[Slug], Field(max_length=20)]


class RoleSkill(Out):
    """A skill that a role asks for."""

    slug: str
    name: str
    required: bool


class JobRole(Out):
    """What an agent is hired as, with the skills that it asks for."""

    slug: str
    name: str
    description: str
    seniority: Seniority
    industry: str | None
    status: Literal["draft", "certified", "retired"]
    certified_at: datetime | None
    skills: list[RoleSkill]


class NewJobRole(In):
    """A job role to be made, as a draft."""

    slug: Slug
    name: Name
    description: Text = ""
    seniority: Seniority
    industry: Slug | None = None
    required_skills: Slugs = Field(default_factory=list)
    optional_skills: Slugs = Field(default_factory=list)


class JobRolePatch(In):
    """What may change of a role; what is not given stays."""

    name: Name | None = None
    description: Text | None = None
    seniority: Seniority | None = None
