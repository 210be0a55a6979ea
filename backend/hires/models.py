"""Hires as customers and partners see them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from backend.agents.models import Named
from backend.schema import In, Note, Out, Slug

State = Literal["trial", "active", "paused", "cancelled", "expired"]
Plan = Literal["monthly", "quarterly"]
Action = Literal["convert", "pause", "resume", "cancel"]

ACTIONS: dict[str, list[Action]] = {
    "trial": ["convert", "cancel"],
    "active": ["pause", "cancel"],
    "paused": ["resume", "cancel"],
    "cancelled": [],
    "expired": [],
}


class Hire(Out):
    """An agent in a customer's service. The price is the one of the day it began."""

    id: UUID
    agent: Named
    state: State
    plan: Plan | None
    price_minor: int
    currency: str
    trial_ends_at: datetime | None
    period_ends_at: datetime | None
    cancel_at_period_end: bool
    days_left: int | None
    allowed_actions: list[Action]
    pending_deliverables: int
    ended_at: datetime | None
    end_reason: str | None
    created_at: datetime
    version: int


class PartnerHire(Out):
    """A hire as the agent's partner sees it: who, and in which state."""

    id: UUID
    agent: Named
    customer: str
    state: State
    plan: Plan | None
    price_minor: int
    currency: str
    trial_ends_at: datetime | None
    period_ends_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    deliverables: int
    approved: int


class NewHire(In):
    """Which agent to try."""

    agent_slug: Slug


class Conversion(In):
    """How to go on after the trial."""

    plan: Plan = "monthly"


class Cancellation(In):
    """Why it ends, and whether at once. A trial always ends at once."""

    reason: Note = ""
    at_period_end: bool = True


class Day(Out):
    """One day of a partner's agents."""

    day: str
    started: int
    converted: int
    ended: int
    deliverables: int


class Metrics(Out):
    """The last thirty days of one agent, and what they sum up to."""

    hires_total: int
    open: int
    conversion_rate: float | None
    acceptance_rate: float | None
    rating_avg: float | None
    days: list[Day]
