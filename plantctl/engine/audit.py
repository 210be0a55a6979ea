"""`journal verify`: is the file sound, is history whole and unedited, is every attempt accounted for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

from plantctl.engine.reader import Reader
from plantctl.engine.records import ENTRY_COLUMNS, chain


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was counted and what is wrong (nothing: sound). `unanswered` names open attempts, which is no fault."""

    entries: int
    attempts: int
    runs: int
    problems: tuple[str, ...]
    unanswered: tuple[str, ...]


def audit(reader: Reader) -> Audit:
    """Read everything once. Problems name the row; the first broken link tells where history was touched."""
    problems = [f"file: {row[0]}" for row in reader.rows("PRAGMA integrity_check") if row[0] != "ok"]
    entries = reader.rows(f"SELECT {ENTRY_COLUMNS} FROM entries ORDER BY seq")  # noqa: S608 - a constant
    problems += _chain_problems(entries)
    problems += _head_problems(reader, entries)
    numbers = [int(str(row[0])) for row in reader.rows("SELECT seq FROM attempts ORDER BY seq")]
    problems += _gaps("attempt", numbers)
    orphans = reader.rows("SELECT id, run FROM attempts WHERE run NOT IN (SELECT id FROM runs) ORDER BY seq")
    problems += [f"attempt {attempt}: its run {run} is not in the journal" for attempt, run in orphans]
    strays = reader.rows(
        "SELECT seq, run FROM entries WHERE run <> '' AND run NOT IN (SELECT id FROM runs) ORDER BY seq"
    )
    problems += [f"entry {seq}: its run {run} is not in the journal" for seq, run in strays]
    return Audit(
        entries=len(entries),
        attempts=len(numbers),
        runs=int(str(reader.rows("SELECT COUNT(*) FROM runs")[0][0])),
        problems=tuple(problems),
        unanswered=tuple(f"{a.id} {a.method_id} {a.resource} ({a.item})" for a in reader.unanswered()),
    )


def _chain_problems(entries: list[tuple[object, ...]]) -> list[str]:
    problems = _gaps("entry", [int(str(row[0])) for row in entries])
    previous = ""
    for *values, before, link in entries:
        seq = values[0]
        if before != previous:
            problems.append(f"entry {seq}: does not follow the entry before it; history was cut or replaced")
        if chain(str(before), tuple(values)) != link:
            problems.append(f"entry {seq}: was edited after it was written")
        previous = str(link)
    return problems


def _head_problems(reader: Reader, entries: list[tuple[object, ...]]) -> list[str]:
    """The last link is kept apart, so that history whose end was cut off is found too."""
    head = reader.rows("SELECT value FROM meta WHERE key = 'head'")
    expected = tuple(json.loads(str(head[0][0]))) if head else (0, "")
    last = (int(str(entries[-1][0])), str(entries[-1][-1])) if entries else (0, "")
    return [] if expected == last else [f"entry {expected[0]} was the last one written; {last[0]} is the last here"]


def _gaps(noun: str, numbers: list[int]) -> list[str]:
    return [f"{noun} {a + 1} to {b - 1}: missing" for a, b in pairwise([0, *numbers]) if b != a + 1]
