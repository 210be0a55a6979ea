"""Skills as they go in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from backend.schema import In, Name, Out, Slug, Text

Category = Literal["technical", "soft_skill", "domain_expertise"]


class Skill(Out):
    """Something that an agent can do. Only certified ones count when an agent is submitted."""

    slug: str
    name: str
    category: Category
    description: str
    status: Literal["draft", "certified", "retired"]
    certified_at: datetime | None


class NewSkill(In):
    """A skill to be made, as a draft."""

    slug: Slug
    name: Name
    category: Category
    description: Text = ""


class SkillPatch(In):
    """What may change of a skill; what is not given stays."""

    name: Name | None = None
    category: Category | None = None
    description: Text | None = None
