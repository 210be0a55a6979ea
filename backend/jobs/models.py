"""Jobs as operators see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from backend.schema import Out

Status = Literal["queued", "running", "failed", "done", "dead"]


class JobStatus(Out):
    """A job and its last attempt. `failed` waits for its next try at `retry_at`; `dead` waits for an operator.

    `slot` is the time a schedule had it done for; `request_id` names the request that enqueued it.
    """

    id: int
    name: str
    slot: str | None
    request_id: str
    payload: dict[str, Any]
    status: Status
    attempts: int
    created_at: datetime
    published_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    retry_at: datetime | None
    error: str | None
    result: dict[str, Any] | None
