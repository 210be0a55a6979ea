"""A look at the queue as it goes out."""

from __future__ import annotations

from backend.schema import Out


class JobCheck(Out):
    """A job that shows that the queue is worked on. `status`: open, running, failed, done or dead."""

    id: int
    status: str
    attempts: int = 0
    error: str | None = None
