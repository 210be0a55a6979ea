"""What steps and the error classifier may ask of the past: the journal, limited to the present target and project."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from plantctl.clock import Clock
from plantctl.engine.reader import Reader, Scope
from plantctl.engine.recorder import RunRecorder
from plantctl.engine.records import PROOF, Entry, Kind
from plantctl.errors import PlantctlError
from plantctl.model.recorder import Attempt


class JournalMemory:
    """The Memory of a run (`of_run`), or of a command that only looks (`of_look`), which refuses to record."""

    def __init__(
        self, reader: Reader, scope: Callable[[], Scope], *, clock: Clock, recorder: RunRecorder | None = None
    ) -> None:
        self._reader = reader
        self._scope = scope
        self._clock = clock
        self._recorder = recorder

    @classmethod
    def of_run(cls, recorder: RunRecorder, clock: Clock) -> JournalMemory:
        """Reads and records in the journal of a run."""
        return cls(recorder.journal.reader, lambda: recorder.scope, clock=clock, recorder=recorder)

    @classmethod
    def of_look(cls, reader: Reader, scope: Scope, clock: Clock) -> JournalMemory:
        """Reads only; PlantctlError on `adopt` and `forgotten`."""
        return cls(reader, lambda: scope, clock=clock)

    def attempts(self, *, item: str = "", method_id: str = "", resource: str = "", since_s: float = 0) -> list[Attempt]:
        """Attempts, newest first; `since_s` > 0 limits to those sent in the last so many seconds."""
        since = self._clock.now() - timedelta(seconds=since_s) if since_s > 0 else None
        return self._reader.attempts(
            item=item, method_id=method_id, resource=resource, since=since, ids=self._scope().ids
        )

    def was_in_place(self, item: str) -> bool:
        """True when the item was once verified and nobody has ordered it to be made again since."""
        return _holds(self._entries(item), PROOF)

    def adopted(self, item: str) -> bool:
        """True when an operator adopted the item's resource and nobody has ordered it to be made again since."""
        return _holds(self._entries(item), (Kind.ADOPTED,))

    def adopt(self, item: str, resource: str) -> None:
        """Record an adoption."""
        self._record(item, Kind.ADOPTED, f"adopted {resource}")

    def forgotten(self, item: str) -> None:
        """Record that a person ordered the item to be made again."""
        self._record(item, Kind.FORGOTTEN, "ordered to be made again")

    def _entries(self, item: str) -> list[Entry]:
        return self._reader.entries(item=item, ids=self._scope().ids)

    def _record(self, item: str, kind: Kind, note: str) -> None:
        if self._recorder is None:
            raise PlantctlError(f"{item}: this command only looks, it does not record that an item is {kind}")
        self._recorder.record(item, kind, note=note)


def _holds(entries: Iterable[Entry], kinds: tuple[Kind, ...]) -> bool:
    """True when one of the kinds stands after the last FORGOTTEN."""
    found = False
    for entry in entries:
        found = entry.kind is not Kind.FORGOTTEN and (found or entry.kind in kinds)
    return found
