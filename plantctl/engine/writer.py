"""The one thread that writes to the journal; callers wait until their record is on disk."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from plantctl.engine import schema
from plantctl.errors import JournalError

T = TypeVar("T")
_Job = tuple[Callable[[sqlite3.Connection], Any], "Future[Any]"]


class Writer:
    """Transactions one after the other, each committed with fsync before its caller goes on."""

    def __init__(self, path: Path) -> None:
        """JournalError when the file cannot be opened, is damaged or is of a newer plantctl."""
        self._path = path
        self._db = schema.connect_writing(path)
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction of its own and give its value once it is durable; JournalError when it is not."""
        return self.later(work).result()

    def later(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """The same without waiting."""
        if self._closed:
            raise JournalError(f"the journal {self._path} is closed already")
        future: Future[T] = Future()
        self._jobs.put((work, future))
        return future

    def close(self) -> None:
        """Finish what is queued and close the file; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, future = job
            try:
                with schema.reworded(self._path):
                    value = self._transact(work)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(value)
        self._db.close()

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            value = work(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return value
