"""The journal's tables, how its file is opened, and what SQLite's errors mean to an operator."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plantctl.errors import JournalError

VERSION = 1
FILE_NAME = "journal.sqlite"
_BUSY_S = 10.0

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE bindings (
    id INTEGER PRIMARY KEY, target TEXT NOT NULL, project TEXT NOT NULL, incarnation TEXT NOT NULL,
    number TEXT NOT NULL, UNIQUE (target, project, incarnation, number)) STRICT;
CREATE TABLE runs (
    id TEXT PRIMARY KEY, binding INTEGER NOT NULL REFERENCES bindings, command TEXT NOT NULL, by TEXT NOT NULL,
    host TEXT NOT NULL, pid INTEGER NOT NULL, process TEXT NOT NULL, started TEXT NOT NULL, finished TEXT,
    outcome TEXT NOT NULL DEFAULT '', totals TEXT NOT NULL DEFAULT '{}', reads INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY, run TEXT NOT NULL, item TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL,
    by TEXT NOT NULL, binding INTEGER NOT NULL REFERENCES bindings, basis TEXT NOT NULL, facts TEXT NOT NULL,
    evidence TEXT NOT NULL, place TEXT NOT NULL, note TEXT NOT NULL, valid_days INTEGER NOT NULL,
    previous TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE INDEX entries_item ON entries (item, seq);
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TABLE attempts (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, run TEXT NOT NULL, binding INTEGER NOT NULL REFERENCES bindings,
    item TEXT NOT NULL, method_id TEXT NOT NULL, resource TEXT NOT NULL, idempotency TEXT NOT NULL,
    purpose TEXT NOT NULL, intent TEXT NOT NULL, body_hmac TEXT NOT NULL, sent_at TEXT NOT NULL, answered_at TEXT,
    status INTEGER NOT NULL DEFAULT 0, operation TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '') STRICT;
CREATE INDEX attempts_item ON attempts (item, method_id, seq);
CREATE INDEX attempts_run ON attempts (run, purpose);
"""


def connect_writing(path: Path) -> sqlite3.Connection:
    """Open the journal to write, made (0600) when it is not there: WAL, every commit on disk before it is acknowledged.

    JournalError when it is damaged, of a newer plantctl, or on a file system that refuses.
    """
    with reworded(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = _open(path.absolute().as_uri())
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("BEGIN IMMEDIATE")
            if not _version(db):
                _create(db)
            db.execute("COMMIT")
            _require_readable(db, path)
        except BaseException:
            db.close()
            raise
    return db


def connect_reading(path: Path) -> sqlite3.Connection:
    """Open the journal to read; writes no byte, makes no file. An empty journal in memory when there is none.

    SQLite leaves -wal and -shm files behind when it reads a WAL database that nobody has open, even in mode=ro. So
    with no -wal beside it, when the file alone is the whole truth, a copy in memory is read.
    """
    with reworded(path):
        if not path.exists() or not path.stat().st_size:
            return _empty()
        log = path.with_name(path.name + "-wal")
        db = _open(f"{path.absolute().as_uri()}?{'mode=ro' if log.exists() else 'immutable=1'}")
        try:
            _require_readable(db, path)
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempts'").fetchone():
                db.close()  # a writer is making it at this moment: so far it says nothing
                return _empty()
            if log.exists():
                return db
            copy = _open(":memory:")
            db.backup(copy)
        except BaseException:
            db.close()
            raise
        db.close()
        if not log.exists():
            return copy
        copy.close()  # a writer came while it was copied: what was read may be torn
        return connect_beside(path)


def _empty() -> sqlite3.Connection:
    db = _open(":memory:")
    _create(db)
    return db


def connect_beside(path: Path) -> sqlite3.Connection:
    """Open the journal to read beside a writer of this or another process: sees each commit at once."""
    with reworded(path):
        return _open(f"{path.absolute().as_uri()}?mode=ro")


@contextmanager
def reworded(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as JournalError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        what, hint = {
            sqlite3.SQLITE_FULL: ("the disk is full", f"free space on the disk of {path.parent}, then run it again"),
            sqlite3.SQLITE_IOERR: (
                "the disk refuses to write or read",
                f"look at the disk of {path.parent} (full, over quota, failing), then run it again",
            ),
            sqlite3.SQLITE_BUSY: ("another process holds it for too long", "plantctl lock show"),
            sqlite3.SQLITE_READONLY: ("it is read-only", f"make {path} writable for this user"),
            sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", f"look at the rights of {path.parent}"),
            sqlite3.SQLITE_CORRUPT: ("it is damaged", _restore(path)),
            sqlite3.SQLITE_NOTADB: ("it is no SQLite database", _restore(path)),
        }.get(code, ("SQLite reports an error", "plantctl journal verify"))
        raise JournalError(f"the journal {path}: {what}", cause=str(error), hint=hint) from error
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be used",
            cause=str(error),
            hint=f"look at rights and space of {path.parent}",
        ) from error


def _restore(path: Path) -> str:
    return f"move {path} away: plantctl then looks at the cloud again and verifies every item anew"


def _open(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _create(db: sqlite3.Connection) -> None:
    statement = ""
    for line in _TABLES.splitlines(keepends=True):  # not executescript: that would commit the open transaction
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    db.execute(f"PRAGMA user_version = {VERSION}")


def _require_readable(db: sqlite3.Connection, path: Path) -> None:
    version = _version(db)
    if version > VERSION:
        raise JournalError(
            f"the journal {path} has schema {version}; this plantctl knows {VERSION}",
            cause="a newer plantctl has written it",
            hint="use that plantctl, or another PLANTCTL_HOME; a journal is never downgraded",
        )
    findings = [row[0] for row in db.execute("PRAGMA quick_check(5)")]
    if findings != ["ok"]:
        raise JournalError(f"the journal {path} is damaged", cause="; ".join(findings), hint=_restore(path))
