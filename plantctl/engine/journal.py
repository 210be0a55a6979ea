"""The journal of one home directory, opened to write: runs, entries, attempts; append-only, durable, one writer thread.

The journal is evidence, the cloud is the truth: losing it costs a second look at everything, never a duplicate.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from plantctl.clock import rfc3339
from plantctl.engine import schema
from plantctl.engine.process import this_process
from plantctl.engine.reader import Reader
from plantctl.engine.records import ENTRY_COLUMNS, Binding, Entry, chain, entry_values
from plantctl.engine.writer import Writer
from plantctl.model.recorder import Attempt

KEY_NAME = "journal.key"


class Journal:
    """Thread-safe. Every method that records returns when the record is on disk. JournalError when it cannot be."""

    def __init__(self, home: Path) -> None:
        """Open, or make, the journal of `home` (directory 0700, files 0600)."""
        path = home / schema.FILE_NAME
        self.writer = Writer(path)
        try:
            self._key = _key(home / KEY_NAME)
            self.reader = Reader(schema.connect_beside(path), path)
        except BaseException:
            self.writer.close()
            raise

    def close(self) -> None:
        """Flush and close; a second call does nothing."""
        self.reader.close()
        self.writer.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def begin(self, *, command: str, binding: Binding, at: datetime) -> tuple[str, int]:
        """Record that a run begins; gives its id (`20261123T101112-4f2a91`) and the row of its binding.

        `command`: the words that were typed; they hold no secret, because no option takes one.
        """
        process = this_process()
        run = f"{at:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        known = self.reader.scope(binding).binding

        def work(db: sqlite3.Connection) -> int:
            row = _binding_row(db, known)
            db.execute(
                "INSERT INTO runs (id, binding, command, by, host, pid, process, started) VALUES (?,?,?,?,?,?,?,?)",
                (run, row, command, process.by, process.host, process.pid, process.started, at.isoformat()),
            )
            return row

        return run, self.writer.do(work)

    def rebind(self, run: str, row: int, number: str) -> int:
        """Record that the run's project number is known; gives the row of the binding from now on."""
        now = self.reader.bindings()[row]
        if now.number == number:
            return row

        def work(db: sqlite3.Connection) -> int:
            wanted = replace(now, number=number)
            if not now.number and _find(db, wanted) is None:
                db.execute("UPDATE bindings SET number = ? WHERE id = ?", (number, row))
                return row
            other = _binding_row(db, wanted)
            db.execute("UPDATE runs SET binding = ? WHERE id = ?", (other, run))
            return other

        return self.writer.do(work)

    def finish(self, run: str, *, at: datetime, outcome: str, totals: Mapping[str, float], reads: int) -> None:
        """Record the end of a run."""
        values = (at.isoformat(), outcome, json.dumps(dict(totals)), reads, run)
        sql = "UPDATE runs SET finished = ?, outcome = ?, totals = ?, reads = ? WHERE id = ?"
        self.writer.do(lambda db: db.execute(sql, values).rowcount)

    def reads(self, run: str, reads: int) -> None:
        """Record, without waiting, how many reading requests a run has sent so far."""
        self.writer.later(lambda db: db.execute("UPDATE runs SET reads = ? WHERE id = ?", (reads, run)).rowcount)

    def append(self, entry: Entry) -> Entry:
        """Record an entry at the end of the chain; gives it with its seq."""

        def work(db: sqlite3.Connection) -> Entry:
            last = db.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
            seq, previous = (int(last[0]) + 1, str(last[1])) if last else (1, "")
            placed = replace(entry, seq=seq)
            values = entry_values(placed)
            link = chain(previous, values)
            marks = ", ".join("?" * (len(values) + 2))
            db.execute(f"INSERT INTO entries ({ENTRY_COLUMNS}) VALUES ({marks})", (*values, previous, link))  # noqa: S608
            head = json.dumps([seq, link])
            db.execute("INSERT INTO meta VALUES ('head', ?) ON CONFLICT DO UPDATE SET value = excluded.value", (head,))
            return placed

        return self.writer.do(work)

    def attempt(self, attempt: Attempt, *, binding: int, body: bytes, reads: int) -> str:
        """Record that a mutating request is about to be sent; gives its id. The body is kept as an HMAC only."""
        digest = hmac.new(self._key, body, hashlib.sha256).hexdigest()

        def work(db: sqlite3.Connection) -> str:
            seq = int(db.execute("SELECT COALESCE(MAX(seq), 0) + 1 FROM attempts").fetchone()[0])
            db.execute(
                "INSERT INTO attempts (seq, id, run, binding, item, method_id, resource, idempotency, purpose, intent,"
                " body_hmac, sent_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    *(seq, f"a{seq}", attempt.run, binding, attempt.item, attempt.method_id, attempt.resource),
                    *(attempt.idempotency, attempt.purpose, attempt.intent, digest, attempt.sent_at.isoformat()),
                ),
            )
            db.execute("UPDATE runs SET reads = ? WHERE id = ?", (reads, attempt.run))
            return f"a{seq}"

        return self.writer.do(work)

    def answer(self, attempt: str, *, at: datetime, status: int, operation: str, error: str) -> None:
        """Record what came back; with status 0, that nothing did."""
        values = (at.isoformat() if status else None, status, operation, error, attempt)
        sql = "UPDATE attempts SET answered_at = ?, status = ?, operation = ?, error = ? WHERE id = ?"
        self.writer.do(lambda db: db.execute(sql, values).rowcount)


def export(reader: Reader) -> dict[str, object]:
    """The whole journal as one JSON document, for people and other tools."""
    bindings = reader.bindings()
    return {
        "schema_version": 1,
        "bindings": [vars(binding) | {"id": row} for row, binding in bindings.items()],
        "runs": [_plain(vars(run)) for run in reader.runs(limit=1_000_000)],
        "entries": [_plain(vars(entry)) for entry in reader.entries()],
        "attempts": [_plain(vars(attempt)) for attempt in reversed(reader.attempts())],
    }


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _find(db: sqlite3.Connection, binding: Binding) -> int | None:
    row = db.execute(
        "SELECT id FROM bindings WHERE target = ? AND project = ? AND incarnation = ? AND number = ?",
        (binding.target, binding.project, binding.incarnation, binding.number),
    ).fetchone()
    return int(row[0]) if row else None


def _binding_row(db: sqlite3.Connection, binding: Binding) -> int:
    found = _find(db, binding)
    if found is not None:
        return found
    cursor = db.execute(
        "INSERT INTO bindings (target, project, incarnation, number) VALUES (?,?,?,?)",
        (binding.target, binding.project, binding.incarnation, binding.number),
    )
    return int(cursor.lastrowid or 0)


def _key(path: Path) -> bytes:
    """The per-install key, made at first use: a plain hash of a short password could be guessed from its digest."""
    with schema.reworded(path):
        if not path.exists():
            draft = path.with_name(f"{path.name}.{os.getpid()}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was quicker: its key is the one
                path.hardlink_to(draft)
            draft.unlink()
        return path.read_bytes()
