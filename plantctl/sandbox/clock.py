"""The sandbox's time: wall time plus one offset for timestamps, and a scaled clock for invented waits.

Only this module and the data plane (which does real work) read the machine's clock.
"""

from __future__ import annotations

import math
import threading
import time
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """`speed` divides invented waits: 1 is real time, 60 a rehearsal, `math.inf` ("max") no wait at all.

    Real work (process start, probes, grace periods) is never scaled. Timestamps are wall time plus `offset_s`, which
    only `advance` changes.
    """

    def __init__(self, speed: float = 60.0, offset_s: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._speed = speed
        self._offset_s = offset_s
        self._elapsed_s = 0.0
        self._since = time.monotonic()

    @property
    def speed(self) -> float:
        """Invented seconds per real second; inf for "max"."""
        return self._speed

    @property
    def offset_s(self) -> float:
        """Seconds by which the sandbox's now is ahead of wall time."""
        return self._offset_s

    def set_speed(self, speed: float) -> None:
        """Change the speed; waits under way go on at the new one."""
        with self._lock:
            self._elapsed_s = self._scaled()
            self._since = time.monotonic()
            self._speed = speed

    def advance(self, seconds: float) -> None:
        """Move timestamps (and all that fires on them) forward."""
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        with self._lock:
            self._offset_s += seconds

    def reset(self) -> None:
        """Back to wall time: a new world has no past to run against."""
        with self._lock:
            self._offset_s = 0.0

    def now(self) -> datetime:
        """The sandbox's present, UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._offset_s)

    def wall(self) -> float:
        """Seconds since the epoch by the machine's clock, for logs of what really happened when."""
        return time.time()

    def rfc3339(self, moment: datetime | None = None) -> str:
        """`2026-11-23T10:11:12.123456Z` (AIP-142)."""
        return (moment or self.now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def millis(self) -> str:
        """`2026-11-23T10:11:12.123Z`, as sqladmin and storage write time."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def scaled(self) -> float:
        """Invented seconds that have passed since the start; inf at speed max."""
        with self._lock:
            return self._scaled()

    def real_seconds(self, invented: float) -> float:
        """How long an invented wait takes at the present speed, in real seconds."""
        return 0.0 if math.isinf(self._speed) else max(0.0, invented) / self._speed

    def _scaled(self) -> float:
        if math.isinf(self._speed):
            return math.inf
        # after a spell at max speed the sum is infinite: start anew, every earlier wait has ended by then
        base = 0.0 if math.isinf(self._elapsed_s) else self._elapsed_s
        return base + (time.monotonic() - self._since) * self._speed


def pause(seconds: float) -> None:
    """Wait in real time, for real work: a lock, a process that starts. Invented waits are operations."""
    time.sleep(seconds)


def wall() -> float:
    """Seconds since the epoch by the machine's clock."""
    return time.time()
