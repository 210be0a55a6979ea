"""The front door of Cloud Run as one thing: its thread, its loop, the pools of all revisions; called from anywhere."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from plantctl.sandbox.dataplane.edge import Edge, Route, Served
from plantctl.sandbox.dataplane.front import Front
from plantctl.sandbox.dataplane.instance import GRACE_S, Instance, Plan, Started
from plantctl.sandbox.dataplane.pool import Pool

log = logging.getLogger("plantctl.sandbox")
_T = TypeVar("_T")
FLUSH_S = 0.2
CALL_S = 10.0
Tell = Callable[[list[Served]], None]
OnEnd = Callable[[Plan, Instance], None]


def _nothing(*_: object) -> None:
    """Where nobody listens."""


class Serving:
    """Lives from start() to stop(); thread-safe. `cores` bounds the instances of a revision.

    `on_flush` is called every 0.2 s with the requests finished since, on a thread of its own; `on_end(plan, instance)`
    for every instance that ended, on the loop: it must be quick.
    """

    def __init__(self, *, cores: int = 0) -> None:
        self.cores = cores or os.cpu_count() or 1
        self.on_flush: Tell = _nothing
        self.on_end: OnEnd = _nothing
        self.port = 0
        self._edge = Edge()
        self._loop: asyncio.AbstractEventLoop  # from start() on
        self._ending: set[Pool] = set()
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- life

    def start(self, certificate: Path, key: Path) -> int:
        """Listen on a free loopback port with this certificate; gives the port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        self._loop = uvloop.new_event_loop()
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = int(listener.getsockname()[1])
        for name, work in (("front door", lambda: self._run(listener, context)), ("requests", self._flush)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._ready.wait(CALL_S)
        return self.port

    def stop(self) -> None:
        """End every instance and stop listening."""
        if not self._threads:
            return
        self.clear()
        self._closing.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join(CALL_S)

    def _run(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        asyncio.set_event_loop(self._loop)

        async def begin() -> asyncio.Server:
            return await self._loop.create_server(lambda: Front(self._edge), sock=listener, ssl=context)

        server = self._loop.run_until_complete(begin())
        self._ready.set()
        self._tick()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    def _tick(self) -> None:
        for pool in self._edge.pools.values():
            pool.sweep()
        self._loop.call_later(1.0, self._tick)

    def _flush(self) -> None:
        last = False
        while not last:
            last = self._closing.wait(FLUSH_S)
            batch = [self._edge.served.popleft() for _ in range(len(self._edge.served))]
            try:
                self.on_flush(batch)
            except Exception:  # whoever listens must not stop the front door
                log.exception("cannot note %d requests", len(batch))

    # -- revisions

    def deploy(self, plan: Plan) -> Started:
        """Start a revision and wait for its first instance's verdict; a revision that fails is taken away again.

        One that runs already is left as it is.
        """
        future = self._submit(self._deploy(plan))
        return future.result(plan.startup.deadline_s + 60)

    async def _deploy(self, plan: Plan) -> Started:
        pool = self._pool(plan)
        if pool.first.done() and pool.instances:
            return Started(ok=True, reason="it runs")
        pool.check()
        outcome = await asyncio.shield(pool.first)
        if not outcome.ok:
            self._retire(plan.key)
        return outcome

    def keep(self, plan: Plan, minimum: int) -> None:
        """Have a revision ready for requests, with at least so many instances."""

        async def keep() -> None:
            self._pool(plan).keep(plan, minimum)

        self._call(keep())

    def wait_ready(self, key: str, deadline_s: float) -> bool:
        """Wait until a revision has a ready instance, or needs none."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            pool = self._edge.pools.get(key)
            if pool is None or not pool.minimum or any(i.state == "ready" for i in pool.instances):
                return True
            if self._closing.wait(0.02):
                break
        return False

    def retire(self, keys: Iterable[str]) -> None:
        """Take revisions out: requests under way finish, then SIGTERM. Returns at once."""
        wanted = list(keys)

        async def retire() -> None:
            for key in wanted:
                self._retire(key)

        self._call(retire())

    def running(self, prefix: str) -> list[str]:
        """Keys of revisions below this prefix that have a pool."""
        return [key for key in list(self._edge.pools) if key.startswith(prefix)]

    def route(self, service: str, routes: Mapping[str, Route]) -> None:
        """Set all hosts of a service at once; none: nobody finds it any more."""

        async def change() -> None:
            kept = {host: route for host, route in self._edge.routes.items() if route.service != service}
            self._edge.routes = kept | dict(routes)

        self._call(change())

    def clear(self) -> None:
        """End everything and wait for it: no routes, no instances."""

        async def clear() -> None:
            self._edge.routes = {}
            for key in list(self._edge.pools):
                pool = self._edge.pools[key]
                self._retire(key)
                for instance in pool.instances:
                    instance.end()  # whatever is under way
            end = time.monotonic() + GRACE_S + 3
            while any(pool.instances for pool in self._ending) and time.monotonic() < end:
                await asyncio.sleep(0.02)

        if self._threads:
            self._submit(clear()).result(GRACE_S + CALL_S)

    def describe(self) -> dict[str, Any]:
        """For `GET /_sandbox/dataplane`."""
        pools = [*self._edge.pools.values(), *(pool for pool in self._ending if pool.instances)]
        return {"cores": self.cores, "hosts": sorted(self._edge.routes), "revisions": [p.describe() for p in pools]}

    def _pool(self, plan: Plan) -> Pool:
        pool = self._edge.pools.get(plan.key)
        if pool is None:
            pool = self._edge.pools[plan.key] = Pool(plan, self._loop, self.cores, self.on_end)
        return pool

    def _retire(self, key: str) -> None:
        pool = self._edge.pools.pop(key, None)
        if pool is not None:
            self._ending = {one for one in self._ending if one.instances} | {pool}
            pool.retire()

    def _submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._submit(work).result(CALL_S)
