"""A person's word in the journal: attest what only a person can say, waive what an operator decides to leave out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from plantctl.engine.catalog import Catalog
from plantctl.engine.evidence import standing_word
from plantctl.engine.reader import Reader, Scope
from plantctl.engine.recorder import RunRecorder
from plantctl.engine.records import Entry, Kind
from plantctl.errors import UsageError
from plantctl.model.step import Attestation, Evidence

C = TypeVar("C")


def attest(catalog: Catalog[C], recorder: RunRecorder, item: str, *, note: str, by: str = "") -> Entry:
    """Record that `by` (the present user unless given) vouches for an item, for the days that its attestation says.

    UsageError for an item that code checks, for an unknown one, and without a note: a word needs a record to point at.
    """
    entry = catalog.entries.get(item)
    if item not in catalog.items:
        raise UsageError(f"there is no item {item!r}", hint="plantctl status checklist")
    if not isinstance(entry, Attestation):
        hint = f"plantctl phase run --only {item}" if entry else "it has no step yet"
        raise UsageError(f"{item} is not a matter of a person's word", hint=hint)
    note = _required(note, f"plantctl item attest {item} --note '<who, where>'")
    return recorder.record(
        item, Kind.ATTESTED, evidence=Evidence(words=(note,)), note=note, valid_days=entry.valid_days, by=by
    )


def waive(catalog: Catalog[C], recorder: RunRecorder, item: str, *, note: str, valid_days: int = 0) -> Entry:
    """Record that an item is left out on purpose; it then counts as in place for what needs it. 0 days: no end."""
    if item not in catalog.items:
        raise UsageError(f"there is no item {item!r}", hint="plantctl status checklist")
    note = _required(note, f"plantctl item waive {item} --note '<why>'")
    return recorder.record(item, Kind.WAIVED, note=note, valid_days=valid_days)


def withdraw(recorder: RunRecorder, item: str, *, note: str = "") -> Entry:
    """Take back an attestation or a waiver."""
    return recorder.record(item, Kind.WITHDRAWN, note=note)


def valid_word(reader: Reader, scope: Scope, item: str, kind: Kind, now: datetime) -> Entry | None:
    """The ATTESTED or WAIVED entry of an item that still holds at `now`, or None."""
    word = standing_word(reader.entries(item=item, ids=scope.ids), kind)
    return word if word and not expired(word, now) else None


def expired(entry: Entry, now: datetime) -> bool:
    """True when the entry's own `valid_days` are over."""
    return entry.valid_days > 0 and now - entry.at > timedelta(days=entry.valid_days)


def _required(note: str, hint: str) -> str:
    if not note.strip():
        raise UsageError("a note is needed: it is what an auditor reads", hint=hint)
    return note.strip()
