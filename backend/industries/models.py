"""Industries as they go in and out."""

from __future__ import annotations

from backend.schema import In, Name, Out, Slug, Text


class Industry(Out):
    """What agents are grouped by; `agents` counts the published ones."""

    slug: str
    name: str
    description: str
    agents: int


class NewIndustry(In):
    """An industry to be made. Its slug stays."""

    slug: Slug
    name: Name
    description: Text = ""
