"""Where each item stands: a view of the journal's entries, computed when asked for and never written anywhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from plantctl.engine.attest import expired
from plantctl.engine.catalog import Catalog, phase_of
from plantctl.engine.evidence import last_proof, standing_word
from plantctl.engine.reader import Reader
from plantctl.engine.records import Binding, Entry, Kind
from plantctl.model.status import HistoryLine, ItemStatus, Status, StatusReport
from plantctl.model.step import Attestation

C = TypeVar("C")

VALID_DAYS = 30
"""Evidence that is older reads `stale`; `phase verify` renews it."""


def status(
    catalog: Catalog[C],
    reader: Reader,
    *,
    binding: Binding,
    now: datetime,
    environment: str,
    valid_days: int = VALID_DAYS,
    items: Sequence[str] | None = None,
) -> StatusReport:
    """The checklist as the journal knows it; asks the cloud nothing and writes nothing.

    Entries of another project or incarnation of the same target make an item stale when they would have verified it;
    those of another target say nothing. `items` limits the report.
    """
    scope = reader.scope(binding)
    bindings = reader.bindings()
    mine, elsewhere = defaultdict(list), defaultdict(list)
    for entry in reader.entries():
        if entry.binding in scope.ids:
            mine[entry.item].append(entry)
        elif bindings[entry.binding].target == binding.target:
            elsewhere[entry.item].append(entry)
    running = {run.id for run in reader.runs(limit=200) if not run.outcome}
    judge = _Judge(now, valid_days, running, reader.last_writes(scope.ids))
    asked = catalog.items if items is None else catalog.in_page_order(items)
    found = tuple(_line(catalog, item, judge, mine[item], elsewhere[item]) for item in asked)
    return StatusReport(environment=environment, target=binding.target, items=found)


def history(reader: Reader, item: str) -> tuple[HistoryLine, ...]:
    """All entries of an item, whatever they are bound to, oldest first."""
    return tuple(
        HistoryLine(
            seq=entry.seq,
            run=entry.run,
            item=entry.item,
            kind=str(entry.kind),
            at=entry.at,
            by=entry.by,
            evidence=entry.evidence,
            where=entry.where,
            note=entry.note,
        )
        for entry in reader.entries(item=item)
    )


def in_place(report: StatusReport) -> frozenset[str]:
    """Items that the journal calls done: those that `drift` looks at."""
    return frozenset(item.id for item in report.items if item.status in (Status.VERIFIED, Status.STALE))


@dataclass(frozen=True)
class _Judgement:
    status: Status
    entry: Entry | None = None
    note: str = ""


@dataclass(frozen=True)
class _Judge:
    """The rules, most binding first. `running`: runs that go on. `last_writes`: per item, seq of its last write."""

    now: datetime
    valid_days: int
    running: set[str]
    last_writes: Mapping[str, int]

    def judge(self, entries: Sequence[Entry], elsewhere: Sequence[Entry], needs: Iterable[str]) -> _Judgement:
        for kind, word in ((Kind.WAIVED, Status.WAIVED), (Kind.ATTESTED, Status.ATTESTED)):
            said = standing_word(entries, kind)
            if said is not None:
                if not expired(said, self.now):
                    return _Judgement(word, said)
                return _Judgement(Status.STALE, said, f"{kind} for {said.valid_days} days, which are over")
        if not entries:
            return self._never(elsewhere)
        return self._last(entries, needs)

    def _never(self, elsewhere: Sequence[Entry]) -> _Judgement:
        past = last_proof(elsewhere) or standing_word(elsewhere, Kind.ATTESTED)
        if past is None:
            return _Judgement(Status.PENDING)
        return _Judgement(Status.STALE, past, "taken on another project or incarnation; run it again")

    def _last(self, entries: Sequence[Entry], needs: Iterable[str]) -> _Judgement:
        last, proof = entries[-1], last_proof(entries)
        if last.kind is Kind.INTENT:
            if last.run in self.running:
                return _Judgement(Status.RUNNING, last, last.note)
            return _Judgement(Status.PENDING, last, "interrupted: its run ended before it did")
        direct = {
            Kind.FAILED: Status.FAILED,
            Kind.BLOCKED: Status.BLOCKED,
            Kind.DRIFTED: Status.DRIFTED,
            Kind.WAITING: Status.WAITING,
        }.get(last.kind)
        if direct is not None:
            return _Judgement(direct, last, last.note)
        if proof is None:
            interrupted = last.kind is Kind.INTERRUPTED
            return _Judgement(Status.PENDING, last, f"interrupted: {last.note}" if interrupted else last.note)
        if self.now - proof.at > timedelta(days=self.valid_days):
            return _Judgement(Status.STALE, proof, f"evidence is older than {self.valid_days} days")
        written = [need for need in needs if self.last_writes.get(need, 0) > proof.seq]
        if written:
            return _Judgement(Status.STALE, proof, f"{min(written)} was written to since")
        return _Judgement(Status.VERIFIED, proof)


def _line(
    catalog: Catalog[C], item: str, judge: _Judge, entries: Sequence[Entry], elsewhere: Sequence[Entry]
) -> ItemStatus:
    line, entry = catalog.items[item], catalog.entries.get(item)
    if item in catalog.not_applicable:
        verdict = _Judgement(Status.NOT_APPLICABLE, None, catalog.not_applicable[item])
    else:
        verdict = judge.judge(entries, elsewhere, catalog.all_needs(item))
    said = verdict.entry
    note = verdict.note
    if said is None and not note:
        note = "no step yet" if entry is None else entry.question if isinstance(entry, Attestation) else ""
    if verdict.status is Status.WAIVED and said is not None:
        note = said.note
    return ItemStatus(
        id=item,
        title=line.title,
        phase=phase_of(item),
        group=line.group,
        added=line.added,
        status=verdict.status,
        since=said.at if said else None,
        by=said.by if said else "",
        evidence=_words(said) if said else (),
        needs=catalog.needs(item),
        note=note,
        has_step=entry is not None,
    )


def _words(entry: Entry) -> tuple[str, ...]:
    return (*entry.evidence, *((entry.where,) if entry.evidence and entry.where else ()))
