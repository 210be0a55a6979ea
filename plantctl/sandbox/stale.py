"""Stale reads: for the next k reads of a resource, handlers see the store as it was before its last change."""

from __future__ import annotations

import threading

from plantctl.sandbox.faults import Strike
from plantctl.sandbox.store import Store
from plantctl.sandbox.wire import Entry

KEPT = 32


class Stales:
    """Views of the store before the last mutating requests, and which reads are to see them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: list[tuple[str, Store]] = []
        self._armed: list[tuple[str, Store, int]] = []

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._views.clear()
            self._armed.clear()

    def before(self, store: Store, entry: Entry, strike: Strike | None) -> None:
        """Keep the view before a mutating request; arm the stale reads that a fault asks for."""
        with self._lock:
            if entry.mutating:
                self._views.append((entry.resource, store.view()))
                del self._views[:-KEPT]
            if strike is None:
                return
            views = [view for resource, view in self._views if _about(entry.resource, resource)]
            if views:
                self._armed.append((entry.resource, views[-1], int(strike.number)))

    def view(self, entry: Entry) -> Store | None:
        """The old view that this read is to see, or None; uses it up by one."""
        if entry.mutating:
            return None
        with self._lock:
            for index, (resource, view, left) in enumerate(self._armed):
                if _about(entry.resource, resource):
                    self._armed[index : index + 1] = [(resource, view, left - 1)] if left > 1 else []
                    return view
        return None


def _about(read: str, resource: str) -> bool:
    # the resource itself, what lies below it, or the collection that lists it
    collection = resource.rsplit("/", 1)[0]
    return read in (resource, collection) or read.startswith(f"{resource}/")
