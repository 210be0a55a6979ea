"""Looking into the journal: entries, runs, attempts, and which records belong to the present target. Never writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from plantctl.engine import schema
from plantctl.engine.process import Process
from plantctl.engine.records import (
    ATTEMPT_COLUMNS,
    ENTRY_COLUMNS,
    RUN_COLUMNS,
    WRITES,
    Binding,
    Entry,
    attempt_of,
    entry_of,
    run_of,
)
from plantctl.model.recorder import Attempt
from plantctl.model.status import RunRecord


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The binding that is meant, with the project number that the journal knows, and the rows that belong to it."""

    binding: Binding
    ids: frozenset[int]


class Reader:
    """Thread-safe. Each question sees all that was acknowledged before it."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._lock = threading.Lock()

    @classmethod
    def open(cls, home: Path) -> Reader:
        """The journal of a home directory; an empty one, which makes no file, when there is none. JournalError."""
        path = home / schema.FILE_NAME
        return cls(schema.connect_reading(path), path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """All rows of a SELECT."""
        with self._lock, schema.reworded(self._path):
            return list(self._db.execute(sql, tuple(values)))

    def scope(self, binding: Binding) -> Scope:
        """Rows of the same target, project and incarnation, whose number is the same, or was not known yet.

        An empty number means the last one that was learned.
        """
        sql = "SELECT id, number FROM bindings WHERE target = ? AND project = ? AND incarnation = ? ORDER BY id"
        found = self.rows(sql, (binding.target, binding.project, binding.incarnation))
        number = binding.number or next((str(number) for _, number in reversed(found) if number), "")
        ids = frozenset(int(str(row)) for row, its_number in found if its_number in ("", number))
        return Scope(binding=replace(binding, number=number), ids=ids)

    def bindings(self) -> dict[int, Binding]:
        """All bindings by row id."""
        return {
            int(str(row)): Binding(target=str(target), project=str(project), incarnation=str(inc), number=str(number))
            for row, target, project, inc, number in self.rows(
                "SELECT id, target, project, incarnation, number FROM bindings"
            )
        }

    def entries(self, *, item: str = "", ids: Collection[int] | None = None) -> list[Entry]:
        """Entries, oldest first; of one item, and of some bindings, when given."""
        sql = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE ? IN ('', item) ORDER BY seq"  # noqa: S608 - constants
        found = [entry_of(row) for row in self.rows(sql, (item,))]
        return [entry for entry in found if ids is None or entry.binding in ids]

    def last_writes(self, ids: Collection[int]) -> dict[str, int]:
        """Per item the seq of the last entry that says that something was, or may have been, written."""
        kinds = ", ".join(f"'{kind}'" for kind in WRITES)
        marks = ", ".join("?" * len(ids))
        sql = f"SELECT item, MAX(seq) FROM entries WHERE kind IN ({kinds}) AND binding IN ({marks}) GROUP BY item"  # noqa: S608
        return {str(item): int(str(seq)) for item, seq in self.rows(sql, tuple(ids))}

    def runs(self, *, limit: int = 50) -> list[RunRecord]:
        """Runs, newest first; a run without an end whose process is gone reads `interrupted`."""
        sql = f"SELECT {RUN_COLUMNS}, process FROM runs ORDER BY started DESC, id DESC LIMIT ?"  # noqa: S608
        found = []
        for *row, process in self.rows(sql, (limit,)):
            run = run_of(tuple(row))
            who = Process(by=run.by, host=run.host, pid=run.pid, started=str(process))
            found.append(run if run.finished or who.lives() else replace(run, outcome="interrupted"))
        return found

    def attempts(
        self,
        *,
        item: str = "",
        method_id: str = "",
        resource: str = "",
        run: str = "",
        since: datetime | None = None,
        ids: Collection[int] | None = None,
    ) -> list[Attempt]:
        """Mutating requests, newest first, limited by whatever is given."""
        sql = (
            f"SELECT binding, {ATTEMPT_COLUMNS} FROM attempts WHERE ? IN ('', item) AND ? IN ('', method_id)"  # noqa: S608
            " AND ? IN ('', resource) AND ? IN ('', run) ORDER BY seq DESC"
        )
        rows = self.rows(sql, (item, method_id, resource, run))
        found = [attempt_of(tuple(row)) for binding, *row in rows if ids is None or binding in ids]
        return [attempt for attempt in found if since is None or attempt.sent_at >= since]

    def unanswered(self) -> list[Attempt]:
        """Mutating requests whose answer was never seen, newest first: what a crash or a lost answer leaves."""
        sql = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE answered_at IS NULL ORDER BY seq DESC"  # noqa: S608
        return [attempt_of(row) for row in self.rows(sql)]

    def sent(self, run: str) -> dict[str, int]:
        """Number of mutating requests of a run by purpose (`apply`, `probe`)."""
        rows = self.rows("SELECT purpose, COUNT(*) FROM attempts WHERE run = ? GROUP BY purpose", (run,))
        return {str(purpose): int(str(count)) for purpose, count in rows}
