"""Toy steps over a toy cloud (a dict of dicts), a clock that only advances, and a bench that puts a run together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from plantctl.engine.catalog import Catalog, select
from plantctl.engine.item import RunOptions
from plantctl.engine.journal import Journal
from plantctl.engine.memory import JournalMemory
from plantctl.engine.planner import plan
from plantctl.engine.reader import Reader
from plantctl.engine.recorder import LookingRecorder, RunRecorder
from plantctl.engine.records import Binding
from plantctl.engine.runner import RunResult, run
from plantctl.engine.session import Session
from plantctl.engine.stop import Stop
from plantctl.model.checklist import Item
from plantctl.model.events import Event
from plantctl.model.facts import CURRENT_ITEM, Facts
from plantctl.model.plan import Plan
from plantctl.model.recorder import Memory, Recorder
from plantctl.model.step import Attestation, Change, Evidence, Finding, Step, Verdict

BINDING = Binding(target="toy", project="p", incarnation="one")


class ToyClock:
    """Time that passes only when someone sleeps, or when told; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 10, 0, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._seconds += seconds

    advance = sleep


@dataclass
class World:
    """The context of toy steps: what exists, what was called, and how to be nasty. Writes go through the recorder."""

    facts: Facts = field(default_factory=Facts)
    live: dict[str, dict[str, str]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    recorder: Recorder | None = None
    on: dict[tuple[str, str], Callable[[World], object]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, verb: str, item: str) -> None:
        """Remember a call, and do what a test has planned for it."""
        assert CURRENT_ITEM.get() == item
        with self.lock:
            self.calls.append((verb, item))
        if (verb, item) in self.on:
            self.on[verb, item](self)

    def made(self, verb: str) -> list[str]:
        """Items that a verb was called for, in order."""
        return [item for called, item in self.calls if called == verb]

    def write(self, item: str, body: Mapping[str, str]) -> None:
        """Make or change a resource, on record as the transport would have it."""
        if self.recorder is not None:
            words = {"item": item, "method_id": "toy.things.insert", "resource": f"things/{item}"}
            intent = self.recorder.intent(**words)
            attempt = self.recorder.attempt(
                **words, idempotency="N", purpose="apply", intent=intent, body=repr(body).encode()
            )
            self.live[item] = dict(body)
            self.recorder.answer(attempt, status=200, operation=f"operations/{attempt}")
        else:
            self.live[item] = dict(body)


def toy(item: str, *needs: str, lanes: Sequence[str] = (), **body: str) -> Step[World]:
    """A step that wants `body` to exist under its id; its fact is what exists."""
    desired = body or {"size": "1"}

    def check(world: World) -> Finding:
        world.note("check", item)
        if world.recorder is not None:
            world.recorder.read()
        live = world.live.get(item)
        if live is None:
            return Finding(
                verdict=Verdict.MISSING, changes=tuple(Change(field=k, desired=v) for k, v in desired.items())
            )
        changes = tuple(Change(field=k, live=live.get(k), desired=v) for k, v in desired.items() if live.get(k) != v)
        if changes:
            return Finding(verdict=Verdict.DRIFTED, changes=changes)
        return Finding(verdict=Verdict.IN_PLACE, facts=dict(live))

    def apply(world: World, finding: Finding) -> None:
        world.note("apply", item)
        world.write(item, world.live.get(item, {}) | desired)

    def verify(world: World) -> Evidence:
        world.note("verify", item)
        return Evidence(words=(f"{item} answers",), where="from a toy")

    return Step(id=item, title=f"Toy {item}", needs=needs, lanes=tuple(lanes), check=check, apply=apply, verify=verify)


def finds(step: Step[World], *findings: Finding) -> Step[World]:
    """The same step, whose checks find these things one after the other, the last one for ever."""
    left = list(findings)

    def check(world: World) -> Finding:
        world.note("check", step.id)
        return left.pop(0) if len(left) > 1 else left[0]

    return Step(**{**vars(step), "check": check})


def page(*ids: str) -> tuple[Item, ...]:
    """Checklist lines in this order."""
    return tuple(Item(id=item, title=f"Toy {item}", note="a toy", added=item.endswith("added")) for item in ids)


@dataclass
class Bench:
    """One home directory, one world, one clock: run after run over the same journal."""

    home: Path
    entries: Iterable[Step[World] | Attestation]
    lines: Sequence[str] = ()
    world: World = field(default_factory=World)
    clock: ToyClock = field(default_factory=ToyClock)
    events: list[Event] = field(default_factory=list)
    binding: Binding = BINDING
    not_applicable: dict[str, str] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)
    parallel: int = 4

    @property
    def catalog(self) -> Catalog[World]:
        """The checklist of all entries, in their order, unless `lines` says otherwise."""
        entries = tuple(self.entries)
        lines = self.lines or [entry.id for entry in entries]
        return Catalog(page(*lines), entries, not_applicable=self.not_applicable)

    def session(self) -> Session[World]:
        """Everything that a plan or a run works with."""
        self.world.facts = Facts()
        return Session(
            catalog=self.catalog,
            ctx=self.world,
            facts=self.world.facts,
            clock=self.clock,
            stop=self.stop,
            parallel=self.parallel,
        )

    def run(self, *phases: str, only: Sequence[str] = (), with_needs: bool = True, **options: Any) -> RunResult:
        """A run; events and calls of earlier ones are forgotten."""
        self.world.calls.clear()
        self.events.clear()
        self.clock.advance(1)
        with Journal(self.home) as journal:
            recorder = RunRecorder(
                journal,
                command="phase run",
                binding=self.binding,
                clock=self.clock,
                stop=self.stop,
                listeners=[self.events.append],
            )
            self.world.recorder = recorder
            selection = select(self.catalog, phases, only=only, with_needs=with_needs)
            return run(self.session(), selection, recorder, RunOptions(**options))

    def plan(self, *phases: str, only: Sequence[str] = (), with_needs: bool = True) -> Plan:
        """A plan with the journal opened to read."""
        self.world.calls.clear()
        reader = Reader.open(self.home)
        recorder = LookingRecorder(stop=self.stop)
        self.world.recorder = recorder
        selection = select(self.catalog, phases, only=only, with_needs=with_needs)
        try:
            return plan(self.session(), selection, reader=reader, scope=reader.scope(self.binding), recorder=recorder)
        finally:
            reader.close()

    def memory(self) -> Memory:
        """The memory of a command that only looks."""
        reader = Reader.open(self.home)
        return JournalMemory.of_look(reader, reader.scope(self.binding), self.clock)

    def kinds(self, item: str) -> list[str]:
        """Kinds of an item's entries, oldest first."""
        reader = Reader.open(self.home)
        try:
            return [str(entry.kind) for entry in reader.entries(item=item)]
        finally:
            reader.close()
