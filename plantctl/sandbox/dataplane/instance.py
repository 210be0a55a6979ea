"""One instance of a revision in service: started, gated by its startup probe, watched by its liveness probe, drained.

Blocking work is done on a thread of the instance's own; what it finds out is told to the loop of the front door.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plantctl.sandbox.dataplane.running import Health, Running, free_port

if TYPE_CHECKING:
    from plantctl.sandbox.dataplane.upstream import Upstream

GRACE_S = 10.0
"""Seconds between SIGTERM and SIGKILL (Cloud Run container contract, "instance shutdown")."""
SETTLE_S = 1.0
"""An instance without a port has started when its process still runs after this time (unverified)."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A probe as a template gives it; `path` None dials the port. `elsewhere`: it asks a port that is not PORT."""

    path: str | None = None
    period_s: float = 10.0
    timeout_s: float = 1.0
    failures: int = 3
    elsewhere: bool = False
    default: bool = False

    @property
    def deadline_s(self) -> float:
        """How long a start may take."""
        return self.period_s * self.failures


DEFAULT_STARTUP = Probe(period_s=240.0, timeout_s=240.0, failures=1, default=True)
"""Without a startup probe Cloud Run dials the port for 240 s (Cloud Run documentation, "health checks")."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the instances of one revision run.

    `start(port)` blocks and gives the process; what it raises makes the start fail with its words. `key` is the
    revision's store key. `serves` is false for worker pools: no requests, and always as many instances as the minimum.
    `listens`: it gets a PORT, on which its probes ask.
    """

    key: str
    start: Callable[[int | None], Running]
    serves: bool = True
    listens: bool = True
    startup: Probe = DEFAULT_STARTUP
    liveness: Probe | None = None
    concurrency: int = 80
    timeout_s: float = 300.0
    minimum: int = 0
    maximum: int = 100


@dataclass(frozen=True, kw_only=True)
class Started:
    """What became of a start; `error` is what `Plan.start` raised, `exit_code` that of a process that ended."""

    ok: bool
    reason: str
    error: Exception | None = None
    exit_code: int | None = None


@dataclass(eq=False)
class Instance:
    """`state`: starting, ready, draining, ended. `inflight` counts requests. All but the thread is the loop's."""

    plan: Plan
    on_change: Callable[[Instance, Started | None], None]
    loop: asyncio.AbstractEventLoop
    state: str = "starting"
    inflight: int = 0
    port: int = 0
    idle_since: float = field(default_factory=time.monotonic)
    connections: list[Upstream] = field(default_factory=list)
    running: Running | None = None
    started_s: float = 0.0
    unwell: str = ""
    _leave: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        """Start it on its thread."""
        threading.Thread(target=self._live, name=f"instance of {self.plan.key}", daemon=True).start()

    def end(self) -> None:
        """SIGTERM, and SIGKILL after the grace period; on a thread, at once. The loop hears of the end."""
        self._leave.set()
        running = self.running
        if running is not None:
            threading.Thread(target=running.terminate, args=(GRACE_S,), daemon=True).start()

    def _live(self) -> None:
        since = time.monotonic()
        outcome = self._start()
        self.started_s = time.monotonic() - since
        self._tell("ready" if outcome.ok else "ended", outcome)
        running = self.running
        if outcome.ok and running is not None:
            self._watch(running)
            self._tell("ended", None)

    def _start(self) -> Started:
        self.port = free_port() if self.plan.listens else 0
        try:
            running = self.plan.start(self.port or None)
        except Exception as error:  # whatever it is, the revision says so: nobody else would
            return Started(ok=False, reason=str(error), error=error)
        self.running = running
        if self._leave.is_set():
            running.terminate(GRACE_S)
            return Started(ok=False, reason="stopped before it was ready", exit_code=running.poll())
        health = self._gate(running)
        if not health.ok:
            code = running.poll()
            running.terminate(GRACE_S if code is None else 0)
            return Started(ok=False, reason=health.reason, exit_code=code)
        return Started(ok=True, reason=health.reason)

    def _gate(self, running: Running) -> Health:
        if not self.plan.serves and self.plan.startup.default:
            code = running.wait(SETTLE_S)
            return Health(ok=code is None, reason=f"the container exited with code {code}", took_s=SETTLE_S)
        probe = self.plan.startup
        port = free_port() if probe.elsewhere else self.port
        return running.wait_listening(port, probe.path, probe.deadline_s)

    def _watch(self, running: Running) -> None:
        probe, failed = self.plan.liveness, 0
        while running.wait(probe.period_s if probe else None) is None:
            if probe is None or self._leave.is_set():
                continue
            health = running.wait_listening(free_port() if probe.elsewhere else self.port, probe.path, 0)
            failed = 0 if health.ok else failed + 1
            if failed >= probe.failures:
                self.unwell = f"liveness probe failed: {health.reason}"
                running.terminate(0)  # SIGKILL (Cloud Run documentation, "liveness probes")
                return

    def _tell(self, state: str, outcome: Started | None) -> None:
        def change() -> None:
            if not (state == "ready" and self.state == "draining"):
                self.state = state
            self.on_change(self, outcome)

        # RuntimeError: the loop is closed, nobody listens any more
        try:
            self.loop.call_soon_threadsafe(change)
        except RuntimeError:
            return
