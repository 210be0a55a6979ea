"""What operators look at."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from backend.job_roles.models import JobRole
from backend.listings.models import Listing
from backend.schema import Out
from backend.skills.models import Skill


class ReviewQueue(Out):
    """What waits for a decision; `next_cursor` goes on with the agents."""

    agents: list[Listing]
    next_cursor: str | None
    skills: list[Skill]
    job_roles: list[JobRole]


class AuditEvent(Out):
    """Who did what to what."""

    id: int
    at: datetime
    actor_id: UUID | None
    actor_kind: str
    action: str
    entity: str
    entity_id: str
    outcome: str
    request_id: str
    ip: str | None
    detail: dict[str, Any]
