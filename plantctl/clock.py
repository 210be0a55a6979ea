"""Time as a thing that is passed in: the only module of the client side that reads the clock or sleeps."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the engine and the Google side need of time. Seconds throughout."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock; `sleep` ends early once `stop()` was called, so that a signal is not kept waiting."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> datetime:
        """Wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, or return at once when the process is stopping."""
        self._stopped.wait(max(0.0, seconds))

    def stop(self) -> None:
        """End every present and future sleep."""
        self._stopped.set()


def rfc3339(moment: datetime) -> str:
    """`2026-11-23T10:11:12.123456Z`, as Google's APIs write time (AIP-142)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
