"""The journal's records as dataclasses, their rows, and the hash that chains entries to those before them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum

from plantctl.model.recorder import Attempt
from plantctl.model.status import RunRecord


class Kind(StrEnum):
    """What an entry says about its item."""

    INTENT = "intent"
    VERIFIED = "verified"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    BLOCKED = "blocked"
    WAITING = "waiting"
    DRIFTED = "drifted"
    INTERRUPTED = "interrupted"
    ATTESTED = "attested"
    WAIVED = "waived"
    WITHDRAWN = "withdrawn"
    ADOPTED = "adopted"
    FORGOTTEN = "forgotten"


PROOF = (Kind.VERIFIED, Kind.CHANGED)
"""Entries that carry evidence."""

WRITES = (Kind.INTENT, Kind.CHANGED)
"""Entries after which evidence of items that build on this one is void: something was, or may have been, written."""


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What records are true of: a target (`sandbox`, `gcp`), a project, and the sandbox's incarnation.

    `number` is the project number, empty as long as it is not known.
    """

    target: str
    project: str
    incarnation: str = ""
    number: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of history. `basis`: hash of the facts that the evidence rests on. `valid_days` 0: no own limit."""

    item: str
    kind: Kind
    at: datetime
    by: str = ""
    run: str = ""
    seq: int = 0
    binding: int = 0
    basis: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    where: str = ""
    note: str = ""
    valid_days: int = 0


ENTRY_COLUMNS = "seq, run, item, kind, at, by, binding, basis, facts, evidence, place, note, valid_days, previous, hash"
ATTEMPT_COLUMNS = ", ".join(f.name for f in fields(Attempt))


def entry_values(entry: Entry) -> tuple[object, ...]:
    """The row of an entry without its hashes."""
    facts = json.dumps(dict(sorted(entry.facts.items())), ensure_ascii=False)
    evidence = json.dumps(entry.evidence, ensure_ascii=False)
    return (
        *(entry.seq, entry.run, entry.item, str(entry.kind), entry.at.isoformat(), entry.by, entry.binding),
        *(entry.basis, facts, evidence, entry.where, entry.note, entry.valid_days),
    )


def entry_of(row: sqlite3.Row | tuple[object, ...]) -> Entry:
    """The entry of a row in the order of ENTRY_COLUMNS."""
    seq, run, item, kind, at, by, binding, basis, facts, evidence, place, note, valid_days = tuple(row)[:13]
    return Entry(
        seq=int(str(seq)),
        run=str(run),
        item=str(item),
        kind=Kind(str(kind)),
        at=datetime.fromisoformat(str(at)),
        by=str(by),
        binding=int(str(binding)),
        basis=str(basis),
        facts=json.loads(str(facts)),
        evidence=tuple(json.loads(str(evidence))),
        where=str(place),
        note=str(note),
        valid_days=int(str(valid_days)),
    )


def chain(previous: str, values: tuple[object, ...]) -> str:
    """SHA-256 over the hash of the entry before and the row: an edited, dropped or inserted row breaks the chain.

    It finds damage and edits by hand; it is no defence against someone who computes the whole chain anew.
    """
    text = json.dumps([previous, *values], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def attempt_of(row: sqlite3.Row | tuple[object, ...]) -> Attempt:
    """The attempt of a row in the order of ATTEMPT_COLUMNS."""
    values = dict(zip((f.name for f in fields(Attempt)), row, strict=True))
    answered = values.pop("answered_at")
    return Attempt(
        **{name: str(value) for name, value in values.items() if name not in ("sent_at", "status")},
        sent_at=datetime.fromisoformat(str(values["sent_at"])),
        answered_at=datetime.fromisoformat(str(answered)) if answered else None,
        status=int(str(values["status"])),
    )


RUN_COLUMNS = "id, command, by, host, pid, started, finished, outcome, reads, totals"


def run_of(row: sqlite3.Row | tuple[object, ...]) -> RunRecord:
    """The run of a row in the order of RUN_COLUMNS."""
    run, command, by, host, pid, started, finished, outcome, reads, totals = tuple(row)
    return RunRecord(
        id=str(run),
        command=str(command),
        by=str(by),
        host=str(host),
        pid=int(str(pid)),
        started=datetime.fromisoformat(str(started)),
        finished=datetime.fromisoformat(str(finished)) if finished else None,
        outcome=str(outcome),
        reads=int(str(reads)),
        totals=json.loads(str(totals)),
    )
