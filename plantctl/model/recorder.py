"""The journal's two faces: Recorder, which the Google side writes to, and Memory, which steps ask about the past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from plantctl.model.events import Event


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One mutating request, recorded durably before it is sent.

    `id` is unique in the journal and travels in `X-Goog-Request-Reason: plantctl/<run>/<id>`; `idempotency` is one of
    N R P U X (hazards section 2); `purpose` is `apply` or `probe`; `intent` is the uuid that requestId and markers
    carry, the same for every attempt at the same write of an item; `status` 0 and `answered_at` None: no answer seen.
    """

    id: str
    run: str
    item: str
    method_id: str
    resource: str
    idempotency: str
    purpose: str
    intent: str
    sent_at: datetime
    answered_at: datetime | None = None
    status: int = 0
    operation: str = ""
    error: str = ""


class Recorder(Protocol):
    """Where the transport records what it sends. Every method is thread-safe."""

    @property
    def run(self) -> str:
        """Id of the present run, for the request reason."""
        ...

    def intent(self, *, item: str, method_id: str, resource: str) -> str:
        """The uuid for this write of this item: that of a journalled attempt without an answer, else a new one."""
        ...

    def attempt(
        self, *, item: str, method_id: str, resource: str, idempotency: str, purpose: str, intent: str, body: bytes
    ) -> str:
        """Record (fsync) that a mutating request is about to leave; gives its id. `body` is kept as an HMAC only."""
        ...

    def answer(self, attempt: str, *, status: int, operation: str = "", error: str = "") -> None:
        """Record what came back; status 0 with `error` when nothing did."""
        ...

    def read(self) -> None:
        """Count one reading request."""
        ...

    def emit(self, event: Event) -> None:
        """Hand an event (operation started, polled, finished, retry) to the run's listeners."""
        ...


class Memory(Protocol):
    """What may be asked of the past; only entries of this target, project and incarnation count."""

    def attempts(self, *, item: str = "", method_id: str = "", resource: str = "", since_s: float = 0) -> list[Attempt]:
        """Attempts, newest first; `since_s` > 0 limits to those sent in the last so many seconds."""
        ...

    def was_in_place(self, item: str) -> bool:
        """True when the item was once recorded as verified, so that its absence now means that it was taken away."""
        ...

    def adopted(self, item: str) -> bool:
        """True when an operator adopted the foreign resource of this item (`--adopt`)."""
        ...

    def adopt(self, item: str, resource: str) -> None:
        """Record an adoption, where the API has no place for the marker."""
        ...

    def forgotten(self, item: str) -> None:
        """Record that a person ordered the item to be made again (`--recreate`): was_in_place is False from now on."""
        ...
