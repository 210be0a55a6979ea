"""The one store: resources by canonical key, in memory and in SQLite; it survives a restart and a SIGKILL.

Every key is `<api>/<full name with project id>`. A change is committed before the request that made it is answered.
"""

from __future__ import annotations

import copy
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Body = dict[str, Any]


class Store:
    """Thread-safe; `with store.transaction():` makes several changes one commit. Bodies go in and out as copies."""

    def __init__(self, path: Path | None) -> None:
        self.lock = threading.RLock()
        self._items: dict[str, Body] = {}
        self._dirty: dict[str, Body | None] = {}
        self._depth = 0
        if path is not None:
            path.touch(mode=0o600)  # it holds the payloads of secrets
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        # NORMAL: a SIGKILL loses nothing (the pages are the kernel's by then); a power cut is not rehearsed
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS item (seq INTEGER PRIMARY KEY, key TEXT UNIQUE, body TEXT NOT NULL)"
        )
        for key, body in self._db.execute("SELECT key, body FROM item ORDER BY seq"):
            self._items[key] = json.loads(body)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock; commit at the end of the outermost block, also when it raises (what was put, was put)."""
        with self.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._dirty:
                    self._commit()

    def get(self, key: str) -> Body | None:
        """A copy of the body, or None."""
        with self.lock:
            found = self._items.get(key)
            return None if found is None else copy.deepcopy(found)

    def __contains__(self, key: str) -> bool:
        with self.lock:
            return key in self._items

    def put(self, key: str, body: Body, *, given_away: bool = False) -> Body:
        """Keep a copy of the body under the key; gives the body back.

        `given_away`: the caller never touches it again, so that it need not be copied.
        """
        with self.transaction():
            self._items[key] = body if given_away else copy.deepcopy(body)
            self._dirty[key] = self._items[key]
        return body

    def delete(self, key: str) -> Body | None:
        """Remove and give back, or None when there was none."""
        with self.transaction():
            found = self._items.pop(key, None)
            if found is not None:
                self._dirty[key] = None
            return found

    def list(self, prefix: str, *, direct: bool = False) -> list[tuple[str, Body]]:
        """(key, body) of all keys that start with `prefix`, oldest first; `direct`: no further `/` after the prefix."""
        with self.lock:
            return [
                (key, copy.deepcopy(body))
                for key, body in self._items.items()
                if key.startswith(prefix) and not (direct and "/" in key[len(prefix) :])
            ]

    def next_number(self, name: str, first: int = 1) -> int:
        """A counter that survives restarts: first, first + 1, ..."""
        with self.transaction():
            body = self._items.get(f"counter/{name}") or {"next": first}
            self.put(f"counter/{name}", {"next": body["next"] + 1})
            return int(body["next"])

    def view(self) -> Store:
        """The store as it is now, in memory alone: later changes here do not show there (bodies are never changed)."""
        other = Store(None)
        with self.lock:
            other._items = dict(self._items)
        return other

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            self._items.clear()
            self._dirty.clear()
            self._db.execute("DELETE FROM item")

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._db.close()

    def _commit(self) -> None:
        self._db.execute("BEGIN")
        for key, body in self._dirty.items():
            if body is None:
                self._db.execute("DELETE FROM item WHERE key = ?", (key,))
            else:
                self._db.execute(
                    "INSERT INTO item (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
                    (key, json.dumps(body)),
                )
        self._db.execute("COMMIT")
        self._dirty.clear()
