"""Deliverables as they go in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import StringConstraints, model_validator

from backend.schema import In, Note, Out, Storable

Kind = Literal["document", "design", "report", "lesson", "list", "other"]
ReviewState = Literal["pending", "approved", "rejected"]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), Storable]
Body = Annotated[str, StringConstraints(min_length=1, max_length=100_000), Storable]


class DeliverableCard(Out):
    """A deliverable in a list."""

    id: UUID
    hire_id: UUID
    title: str
    kind: Kind
    bytes: int
    review_state: ReviewState
    review_note: str | None
    reviewed_at: datetime | None
    created_at: datetime


class Deliverable(DeliverableCard):
    """A deliverable with what it holds; `sha256` is hexadecimal."""

    body: str | None
    sha256: str


class NewDeliverable(In):
    """What an agent made, as text."""

    title: Title
    kind: Kind = "document"
    body: Body


class Decision(In):
    """What the customer says of it; a rejection tells why."""

    decision: Literal["approve", "reject"]
    note: Note = ""

    @model_validator(mode="after")
    def _reason(self) -> Self:
        if self.decision == "reject" and not self.note:
            raise ValueError("a rejection has a note")
        return self
