"""Recorders: what the transport is given so that each request is on record before it is sent, and counted."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from plantctl.clock import Clock
from plantctl.engine.journal import Journal
from plantctl.engine.process import this_process
from plantctl.engine.reader import Scope
from plantctl.engine.records import Binding, Entry, Kind
from plantctl.engine.stop import Stop
from plantctl.errors import PlantctlError
from plantctl.model.events import Event, OperationFinished
from plantctl.model.facts import CURRENT_ITEM
from plantctl.model.recorder import Attempt
from plantctl.model.step import Evidence

Listener = Callable[[Event], None]

_FLUSH_READS = 100
_SETTLED_REFUSALS = frozenset({400, 401, 403, 404, 405, 411, 412, 413, 414, 415, 422, 501})


class Listeners:
    """Hands each event to all listeners, one event at a time, and fills in the item that the thread works for."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)
        self._lock = threading.RLock()

    def emit(self, event: Event) -> None:
        """Tell all listeners."""
        placed = event if event.item else replace(event, item=CURRENT_ITEM.get())
        with self._lock:
            for listener in self._listeners:
                listener(placed)


class LookingRecorder:
    """The Recorder of commands that only look (`plan`, `status --live`): counts reads and refuses every write.

    Nothing reaches the journal, so such a command needs none.
    """

    run = "look"

    def __init__(self, *, stop: Stop, listeners: Iterable[Listener] = ()) -> None:
        self._stop = stop
        self._told = Listeners(listeners)
        self._lock = threading.Lock()
        self.reads = 0

    def intent(self, *, item: str, method_id: str, resource: str) -> str:
        """Raises: there is nothing to intend."""
        raise self._refusal(item, method_id)

    def attempt(
        self, *, item: str, method_id: str, resource: str, idempotency: str, purpose: str, intent: str, body: bytes
    ) -> str:
        """Raises: a check that writes is a mistake in the step, stopped before the request is sent."""
        raise self._refusal(item, method_id)

    def answer(self, attempt: str, *, status: int, operation: str = "", error: str = "") -> None:
        """Never called, because no attempt was made."""
        raise self._refusal("", attempt)

    def read(self) -> None:
        """Count one reading request; Interrupted when a stop was requested."""
        self._stop.check()
        with self._lock:
            self.reads += 1

    def emit(self, event: Event) -> None:
        """Hand an event on."""
        self._told.emit(event)

    def _refusal(self, item: str, method_id: str) -> PlantctlError:
        return PlantctlError(
            f"{item or 'a check'} tried to send {method_id}, which writes",
            cause="this command only looks; nothing was sent",
            hint="this is a mistake in plantctl: please report it",
            reference="write-refused",
        )


class RunRecorder:
    """The Recorder of one run: attempts durable before they are sent, answers as they come, reads counted.

    The number of mutating attempts is exact even after SIGKILL. Reads are flushed with every attempt, every 100 reads
    and at the end, so that after SIGKILL their number may lack those since. A stop raises Interrupted here, before the
    request is recorded or sent: calls in flight are let answer, new ones are not begun.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        command: str,
        binding: Binding,
        clock: Clock,
        stop: Stop,
        listeners: Iterable[Listener] = (),
    ) -> None:
        """Begins the run in the journal. `clock`: wall time of the records, not one that raises."""
        self.journal = journal
        self._clock = clock
        self._stop = stop
        self._told = Listeners(listeners)
        self._lock = threading.Lock()
        self._reads = 0
        self.spans: dict[str, float] = {}
        self.by = this_process().by
        self._run, self._row = journal.begin(command=command, binding=binding, at=clock.now())

    @property
    def run(self) -> str:
        """Id of the run."""
        return self._run

    @property
    def scope(self) -> Scope:
        """The records that count now."""
        return self.journal.reader.scope(self.journal.reader.bindings()[self._row])

    def bind(self, number: str) -> None:
        """The project number is known: records belong to it from here on."""
        with self._lock:
            self._row = self.journal.rebind(self._run, self._row, number)

    def intent(self, *, item: str, method_id: str, resource: str) -> str:
        """The uuid for this write: that of the last attempt when its outcome is open, else a new one.

        Open: no answer, or an answer after which the write may still have happened or be repeated (5xx, 409, 408, 429).
        """
        earlier = self.journal.reader.attempts(item=item, method_id=method_id, resource=resource, ids=self.scope.ids)
        if earlier and not _settled(earlier[0]):
            return earlier[0].intent
        return str(uuid.uuid4())

    def attempt(
        self, *, item: str, method_id: str, resource: str, idempotency: str, purpose: str, intent: str, body: bytes
    ) -> str:
        """Record a mutating request before it is sent. Interrupted after a stop, JournalError when it cannot be."""
        self._stop.check()
        attempt = Attempt(
            id="",
            run=self._run,
            item=item,
            method_id=method_id,
            resource=resource,
            idempotency=idempotency,
            purpose=purpose,
            intent=intent,
            sent_at=self._clock.now(),
        )
        return self.journal.attempt(attempt, binding=self._row, body=body, reads=self._reads)

    def answer(self, attempt: str, *, status: int, operation: str = "", error: str = "") -> None:
        """Record what came back."""
        self.journal.answer(attempt, at=self._clock.now(), status=status, operation=operation, error=error)

    def read(self) -> None:
        """Count one reading request; Interrupted when a stop was requested."""
        self._stop.check()
        with self._lock:
            self._reads += 1
            flush = self._reads % _FLUSH_READS == 0
        if flush:
            self.journal.reads(self._run, self._reads)

    def emit(self, event: Event) -> None:
        """Hand an event on; seconds of operations are added up per item in `spans`, for the critical path."""
        if isinstance(event, OperationFinished):
            item = event.item or CURRENT_ITEM.get()
            with self._lock:
                self.spans[item] = self.spans.get(item, 0.0) + event.seconds
        self._told.emit(event)

    def record(
        self,
        item: str,
        kind: Kind,
        *,
        basis: str = "",
        facts: Mapping[str, str] | None = None,
        evidence: Evidence | None = None,
        note: str = "",
        valid_days: int = 0,
        by: str = "",
    ) -> Entry:
        """Append an entry of this run; `by` is the present user unless given."""
        return self.journal.append(
            Entry(
                item=item,
                kind=kind,
                at=self._clock.now(),
                by=by or self.by,
                run=self._run,
                binding=self._row,
                basis=basis,
                facts=facts or {},
                evidence=evidence.words if evidence else (),
                where=evidence.where if evidence else "",
                note=note,
                valid_days=valid_days,
            )
        )

    def counts(self) -> tuple[int, int]:
        """Writes (mutating attempts of purpose apply) and all requests sent so far."""
        sent = self.journal.reader.sent(self._run)
        return sent.get("apply", 0), sum(sent.values()) + self._reads

    def finish(self, outcome: str, totals: Mapping[str, float]) -> None:
        """Record the end of the run."""
        self.journal.finish(self._run, at=self._clock.now(), outcome=outcome, totals=totals, reads=self._reads)


def _settled(attempt: Attempt) -> bool:
    """True when the answer says for certain that the write was accepted or refused."""
    return 200 <= attempt.status < 300 or attempt.status in _SETTLED_REFUSALS
