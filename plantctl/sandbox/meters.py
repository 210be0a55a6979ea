"""What is counted while it happens, a minute at a time, until Monitoring writes it down: requests and latencies."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

GROWTH = 1.1
FINITE = 140
"""Exponential buckets from 1 ms to about ten minutes, a tenth wider each (unverified: Google's own bounds)."""


@dataclass
class Latencies:
    """A distribution in milliseconds, mergeable."""

    count: int = 0
    total: float = 0.0
    square: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, value_ms: float) -> None:
        """One more."""
        self.count += 1
        self.total += value_ms
        self.square += value_ms * value_ms
        bucket = 0 if value_ms < 1 else min(FINITE + 1, int(math.log(value_ms, GROWTH)) + 1)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1


Key = tuple[tuple[str, str], ...]


class Meters:
    """Thread-safe counts by minute and by labels (sorted pairs); `take` hands them over and forgets them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[int, dict[Key, Latencies]] = {}

    def count(self, minute: int, labels: dict[str, str], latency_ms: float) -> bool:
        """One request in this minute since the epoch; True when an earlier minute waits to be taken."""
        with self._lock:
            key = tuple(sorted(labels.items()))
            self._minutes.setdefault(minute, {}).setdefault(key, Latencies()).add(latency_ms)
            return len(self._minutes) > 1

    def take(self, before: int | None = None) -> list[tuple[int, dict[str, str], Latencies]]:
        """(minute, labels, latencies) of minutes before this one, or of all."""
        with self._lock:
            due = sorted(minute for minute in self._minutes if before is None or minute < before)
            return [(minute, dict(key), one) for minute in due for key, one in self._minutes.pop(minute).items()]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._minutes.clear()
