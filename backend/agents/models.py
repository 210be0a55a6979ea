"""Agents as the catalogue shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from backend.schema import Out

Availability = Literal["available", "working", "offline"]
Sort = Literal["newest", "rating", "price"]


class Named(Out):
    """A reference: what to show and what to filter by."""

    slug: str
    name: str


class AgentSkill(Named):
    """A skill of an agent; one is its primary one."""

    is_primary: bool


class AgentCard(Out):
    """An agent in a list. Prices are in the currency's smallest unit, a month."""

    slug: str
    name: str
    tagline: str
    industry: Named
    job_role: Named
    availability: Availability
    monthly_price_minor: int
    currency: str
    trial_days: int
    rating_avg: float | None
    rating_count: int
    hires_total: int
    published_at: datetime


class Agent(AgentCard):
    """An agent with everything that a customer sees before hiring."""

    description: str
    seniority: str
    team: Named | None
    partner: str | None
    skills: list[AgentSkill]


class IndustrySummary(Named):
    """An industry and how many agents can be hired in it."""

    agents: int


class Summary(Out):
    """The marketplace on one page."""

    agents: int
    available: int
    industries: list[IndustrySummary]
    newest: list[AgentCard]
    top_rated: list[AgentCard]
