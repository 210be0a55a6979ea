"""How a run is told to stop: a signal asks once, a second one insists. Waits end at once; no new call is begun."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

from plantctl.clock import Clock
from plantctl.errors import Interrupted


class Stop:
    """Thread-safe. `requested`: nothing new starts, calls in flight are let answer, waits raise Interrupted.

    `aborted` (a second request): the run returns without waiting for its threads; the caller then ends the process
    with os._exit, because threads with a call in flight would hold up a normal exit.
    """

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._aborted = threading.Event()
        self.exit_code = 130

    @property
    def requested(self) -> bool:
        """True from the first request on."""
        return self._requested.is_set()

    @property
    def aborted(self) -> bool:
        """True from the second request on."""
        return self._aborted.is_set()

    def request(self, exit_code: int = 130) -> None:
        """Ask to stop; 130 for SIGINT, 143 for SIGTERM. The first request's exit code stays."""
        if self.requested:
            self._aborted.set()
        else:
            self.exit_code = exit_code
            self._requested.set()

    def check(self) -> None:
        """Raise Interrupted when a stop was requested; called before each request that is sent."""
        if self.requested:
            error = Interrupted(
                "stopped before it was done",
                cause="the run was asked to stop; operations that Google Cloud accepted go on there",
                hint="run the same command again: it picks up where this one left off",
            )
            error.exit_code = self.exit_code
            raise error

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until a stop is requested; True when it was."""
        return self._requested.wait(max(0.0, seconds))

    @contextmanager
    def on_signals(self, announce: Callable[[bool], None] = lambda second: None) -> Iterator[Stop]:
        """SIGINT and SIGTERM ask for a stop while the context lasts; `announce(second)` may tell the operator."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.request(128 + number)
            announce(self.aborted)

        old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


class StoppingClock:
    """A Clock whose sleep raises Interrupted once a stop is requested: what the Google side and the steps are given."""

    def __init__(self, clock: Clock, stop: Stop) -> None:
        self._clock = clock
        self._stop = stop

    def now(self) -> datetime:
        """Wall time of the clock beneath."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Seconds of the clock beneath."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep on the clock beneath in slices of at most a quarter second; Interrupted when a stop is requested."""
        self._stop.check()
        rest = seconds
        while rest > 0:
            self._clock.sleep(min(rest, 0.25))
            self._stop.check()
            rest -= 0.25
