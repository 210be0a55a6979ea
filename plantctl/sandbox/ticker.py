"""Tells the services that the sandbox's clock shows another minute: what runs by schedule looks then."""

from __future__ import annotations

import logging
import threading

from plantctl.sandbox.service import World

log = logging.getLogger("plantctl.sandbox")


class Ticker:
    """Fires `minute` from `start` to `stop`, soon after each full minute; schedules have no finer grain."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """No more, and wait for what is being told."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        while not self._over.wait(60.05 - self._world.clock.now().timestamp() % 60):
            try:
                self._world.fire("minute")
            except Exception:  # a defect in one listener must not end all schedules
                log.exception("defect in a listener of the minute")
