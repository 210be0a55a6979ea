"""What items have established in this run, by item and key; and which item the present thread works for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar

from plantctl.model.step import Later

CURRENT_ITEM: ContextVar[str] = ContextVar("CURRENT_ITEM", default="")
"""Set by the engine around check, apply and verify; read where requests are sent, so that each carries its item."""


class Facts:
    """Thread-safe blackboard. An item's facts are put when its check finds it in place, and dropped when it is not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._facts: dict[str, dict[str, str]] = {}

    def put(self, item: str, facts: Mapping[str, str]) -> None:
        """Replace the facts of an item."""
        with self._lock:
            self._facts[item] = dict(facts)

    def drop(self, item: str) -> None:
        """Forget an item: it is no longer in place."""
        with self._lock:
            self._facts.pop(item, None)

    def get(self, item: str, key: str) -> str | Later:
        """The value, or Later when the item has not established it."""
        with self._lock:
            return self._facts.get(item, {}).get(key) or Later(item, key)

    def of(self, item: str) -> dict[str, str]:
        """All facts of an item; empty when none."""
        with self._lock:
            return dict(self._facts.get(item, {}))
