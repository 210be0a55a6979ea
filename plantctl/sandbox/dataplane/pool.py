"""All instances of one revision: as many as its requests need, between its bounds and what this machine bears.

Everything here runs on the loop of the front door, so nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from plantctl.sandbox.dataplane.instance import Instance, Plan, Started

UTILIZATION = 0.6
"""Cloud Run starts another instance above 60 % of an instance's concurrency (documentation, "instance autoscaling")."""
QUEUE_S = 10.0
"""A request waits for a free instance 10 s, or 3.5 times the usual start when that is longer (the same page)."""
IDLE_S = 900.0
"""An instance that nobody needs stays up to 15 minutes (the same page). Real time: it is no wait of anybody's."""
LONGEST_PAUSE_S = 30.0


class Pool:
    """Instances of `plan`. `cores` bounds how many there are at once, whatever the template says."""

    def __init__(
        self, plan: Plan, loop: asyncio.AbstractEventLoop, cores: int, on_end: Callable[[Plan, Instance], None]
    ) -> None:
        self.plan = plan
        self.instances: list[Instance] = []
        self.minimum = plan.minimum
        self.first: asyncio.Future[Started] = loop.create_future()
        self.retired = False
        self.served = 0
        self.last_failure = ""
        self._loop = loop
        self._cores = cores
        self._on_end = on_end
        self._waiting: deque[asyncio.Future[Instance | None]] = deque()
        self._pause_s = 0.0
        self._not_before = 0.0
        self._usual_start_s = 0.0

    @property
    def limit(self) -> int:
        """Most instances at once. Workers mostly wait, and their number is what was asked for: not bounded by cores."""
        return min(self.plan.maximum, self._cores) if self.plan.serves else self.plan.maximum

    def keep(self, plan: Plan, minimum: int) -> None:
        """Take the bounds of a plan, which a change of the resource may have moved."""
        self.plan = replace(self.plan, maximum=plan.maximum)
        self.minimum = min(minimum, self.limit)
        self.scale()
        live = [instance for instance in self.instances if instance.state in ("starting", "ready")]
        for instance in live[self.limit if plan.serves else self.minimum :]:
            self._drain(instance)

    # -- requests

    async def acquire(self) -> Instance | None:
        """An instance with room for one more request, or None when none came free in time. Give it back."""
        instance = None if self._waiting else self._free()
        if instance is None:
            waiter: asyncio.Future[Instance | None] = self._loop.create_future()
            self._waiting.append(waiter)
            self.scale()
            try:
                return await asyncio.wait_for(waiter, self._patience())
            except TimeoutError:
                return _given(waiter)
            except asyncio.CancelledError:  # the client has gone: an instance that was just given is given back
                found = _given(waiter)
                if found is not None:
                    self.release(found)
                raise
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
        instance.inflight += 1
        self.scale()
        return instance

    def release(self, instance: Instance) -> None:
        """The request is over."""
        instance.inflight -= 1
        instance.idle_since = time.monotonic()
        self.served += 1
        if instance.state == "draining" and not instance.inflight:
            instance.end()
        self._serve_waiting()

    def _free(self) -> Instance | None:
        room = [i for i in self.instances if i.state == "ready" and i.inflight < self.plan.concurrency]
        return min(room, key=lambda instance: instance.inflight, default=None)

    def _serve_waiting(self) -> None:
        while self._waiting:
            instance = self._free()
            if instance is None:
                return
            waiter = self._waiting.popleft()
            if not waiter.done():
                instance.inflight += 1
                waiter.set_result(instance)

    def _patience(self) -> float:
        if any(instance.state == "ready" for instance in self.instances):
            return max(QUEUE_S, 3.5 * self._usual_start_s)
        return max(QUEUE_S, self.plan.startup.deadline_s)

    # -- scaling

    def scale(self) -> None:
        """Start what is missing; called whenever something changed."""
        if self.retired:
            return
        missing = self._wanted() - sum(i.state in ("starting", "ready") for i in self.instances)
        now = time.monotonic()
        if missing > 0 and now < self._not_before:
            self._loop.call_later(self._not_before - now + 0.01, self.scale)
            return
        for _ in range(missing):
            instance = Instance(plan=self.plan, on_change=self._changed, loop=self._loop)
            self.instances.append(instance)
            instance.begin()

    def check(self) -> bool:
        """Make sure that a first instance is started, for the gate of a deployment, whatever the minimum is."""
        if not self.instances:
            instance = Instance(plan=self.plan, on_change=self._changed, loop=self._loop)
            self.instances.append(instance)
            instance.begin()
            return True
        return False

    def sweep(self, idle_s: float = IDLE_S) -> None:
        """End one instance that nobody has needed for a while; called now and then."""
        ready = [i for i in self.instances if i.state == "ready"]
        idle = [i for i in ready if not i.inflight and time.monotonic() - i.idle_since > idle_s]
        if idle and len(ready) > self._wanted():
            self._drain(idle[0])

    def retire(self) -> None:
        """Take no more requests; every instance ends when its requests have."""
        self.retired = True
        for instance in list(self.instances):
            self._drain(instance)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _wanted(self) -> int:
        if not self.plan.serves:
            return self.minimum
        load = sum(instance.inflight for instance in self.instances) + len(self._waiting)
        wanted = math.ceil(load / max(1, int(self.plan.concurrency * UTILIZATION)))
        return min(max(wanted, self.minimum), self.limit)

    def _drain(self, instance: Instance) -> None:
        if instance.state == "draining":
            return
        instance.state = "draining"
        if not instance.inflight:
            instance.end()
        else:  # requests under way finish, at most as long as the revision lets one take
            self._loop.call_later(self.plan.timeout_s, instance.end)

    def _changed(self, instance: Instance, outcome: Started | None) -> None:
        if outcome is not None and not self.first.done():
            self.first.set_result(outcome)
        if instance.state == "ready":
            self._pause_s = 0.0
            self._usual_start_s = instance.started_s
            instance.idle_since = time.monotonic()
            self._serve_waiting()
        elif instance.state == "ended":
            self._ended(instance, outcome)
        self.scale()

    def _ended(self, instance: Instance, outcome: Started | None) -> None:
        if instance in self.instances:
            self.instances.remove(instance)
        for connection in instance.connections:
            connection.close()
        instance.connections.clear()
        if outcome is not None and not outcome.ok:
            self.last_failure = outcome.reason
            self._pause_s = min(LONGEST_PAUSE_S, max(0.5, self._pause_s * 2))
            self._not_before = time.monotonic() + self._pause_s
            if not self.instances:
                for waiter in self._waiting:
                    if not waiter.done():
                        waiter.set_result(None)
        self._on_end(self.plan, instance)

    def describe(self) -> dict[str, Any]:
        """For `GET /_sandbox/dataplane`."""
        bounded = self.limit < self.plan.maximum
        note = f"at most {self.limit} of {self.plan.maximum} at once: this machine has {self.limit} cores"
        return {
            "revision": self.plan.key.rsplit("/", 1)[-1],
            "name": self.plan.key.removeprefix("run/"),
            "min": self.minimum,
            "max": self.plan.maximum,
            "limit": self.limit,
            "note": note if bounded else "",
            "requests": self.served,
            "last_failure": self.last_failure,
            "instances": [
                {
                    "pid": i.running.pid if i.running else 0,
                    "port": i.port,
                    "state": i.state,
                    "requests_under_way": i.inflight,
                }
                for i in self.instances
            ],
        }


def _given(waiter: asyncio.Future[Instance | None]) -> Instance | None:
    return waiter.result() if waiter.done() and not waiter.cancelled() else None
