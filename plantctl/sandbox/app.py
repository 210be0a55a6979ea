"""The sandbox process: puts the world together, starts the servers, resets, restarts and stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from plantctl.sandbox import console as consoles
from plantctl.sandbox import projects
from plantctl.sandbox.access import Access
from plantctl.sandbox.catalog import Catalog, api_words
from plantctl.sandbox.clock import SandboxClock
from plantctl.sandbox.faults import Faults
from plantctl.sandbox.gateway import Gateway
from plantctl.sandbox.operations import Operations
from plantctl.sandbox.proxy import Ports, Proxy, authority
from plantctl.sandbox.registry import load_services
from plantctl.sandbox.rest_server import QuietServer, RestApp, listen, server_for
from plantctl.sandbox.service import World
from plantctl.sandbox.store import Store
from plantctl.sandbox.ticker import Ticker
from plantctl.sandbox.wire import Wire

if TYPE_CHECKING:
    from plantctl.sandbox.dataplane.serving import Serving
    from plantctl.sandbox.grpc_server import GrpcServer

log = logging.getLogger("plantctl.sandbox")
START_LIMIT_S = 20.0


class App:
    """One sandbox with its state folder. `start` returns when the ports answer; `stop` leaves no process behind.

    `plane`: make the data plane (real servers); without it, control-plane tests. `strict`: see Gateway.
    """

    def __init__(
        self, state: Path, *, speed: float = 60.0, port: int = 0, plane: bool = True, strict: bool = False
    ) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.state = state
        self._port = port
        self._with_plane = plane
        self.catalog = Catalog(load_services())
        store = Store(state / "store.sqlite")
        kept = store.get("sandbox/self") or {}
        clock = SandboxClock(speed, float(kept.get("offset_s", 0.0)))
        self.wire = Wire(state / "wire.jsonl")
        self.faults = Faults()
        self.world = World(
            store=store,
            clock=clock,
            operations=Operations(lambda: self.world, self.catalog.finishers, self.catalog.failures),
            access=Access(lambda: self.world),
            state=state,
            incarnation=str(kept.get("incarnation") or uuid.uuid4()),
            listeners=self.catalog.listeners,
        )
        self._remember()
        self.gateway = Gateway(self.world, self.catalog, self.wire, self.faults, strict=strict)
        self._rest = RestApp(self.gateway, consoles.Console(self), self.catalog)
        self._server: QuietServer = server_for(self._rest)
        self._ticker = Ticker(self.world)
        self._grpc: GrpcServer | None = None
        self._serving: Serving | None = None
        self._thread: threading.Thread | None = None
        self.endpoints: dict[str, Any] = {}
        self._control = threading.RLock()

    # -- life

    def start(self) -> dict[str, Any]:
        """Bind, adopt what a former process left, serve; gives the endpoints. OSError when a port is taken."""
        rest = listen(self._port)
        front = listen(0)
        self._port = rest.getsockname()[1]
        authority(self.state / "ca")
        edge_port = self._open_front_door()
        self._make_plane()
        self._grpc = _grpc_server(self.gateway)
        grpc_port = self._grpc.start()
        proxy = Proxy(self.state / "ca", Ports(rest=self._port, grpc=grpc_port, edge=edge_port))
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(rest, front, proxy, ready), name="servers", daemon=True
        )
        self._thread.start()
        if not ready.wait(START_LIMIT_S):
            raise RuntimeError(f"the sandbox's servers did not start within {START_LIMIT_S:.0f} s")
        self.world.operations.resume()
        self.endpoints = {
            "rest": f"http://127.0.0.1:{self._port}",
            "grpc": f"127.0.0.1:{grpc_port}",
            "proxy": f"http://127.0.0.1:{front.getsockname()[1]}",
            "edge": f"https://127.0.0.1:{edge_port}" if edge_port else None,
            "ca": str(proxy.ca),
        }
        self.world.fire("started")
        self._ticker.start()
        return self.endpoints

    def stop(self) -> None:
        """Stop serving, then the data plane, then close the store."""
        self._ticker.stop()
        self._server.should_exit = True
        if self._grpc is not None:
            self._grpc.stop()
        if self._thread is not None:
            self._thread.join(10)
        self._rest.close()
        try:
            if self.world.plane is not None:
                self.world.plane.stop_all()
            if self._serving is not None:
                self._serving.stop()
        finally:
            self.world.operations.close()
            self.wire.close()
            self.world.store.close()

    def _serve(self, rest: socket.socket, front: socket.socket, proxy: Proxy, ready: threading.Event) -> None:
        async def run() -> None:
            task = asyncio.create_task(self._server.serve(sockets=[rest]))
            door = await asyncio.start_server(proxy, sock=front)
            while not self._server.started and not task.done():
                await asyncio.sleep(0.005)
            ready.set()
            await task
            door.close()
            await proxy.close()

        with contextlib.closing(rest), contextlib.closing(front):
            uvloop.run(run())

    def _open_front_door(self) -> int:
        if not self._with_plane:
            return 0
        from plantctl.sandbox.dataplane.serving import Serving

        self._serving = Serving()
        return self._serving.start(self.state / "ca" / "leaf.pem", self.state / "ca" / "leaf.key")

    def _make_plane(self) -> None:
        if not self._with_plane:
            return
        from plantctl.sandbox.dataplane.plane import DataPlane  # tests of the control plane do not pay for it

        self.world.plane = DataPlane(self.state / "dataplane", self.world.access.mint, self._serving)
        self.world.plane.adopt()

    # -- control

    def reset(self, given: list[dict[str, Any]]) -> None:
        """Back to a first world with these projects (`projectId`, `projectNumber`, `services`); a new incarnation."""
        world = self.world
        with self._control:
            if world.plane is not None:
                world.plane.purge()
            world.operations.drop()
            self._make_plane()
            with world.store.transaction():
                world.store.clear()
                world.incarnation = str(uuid.uuid4())
                world.clock.reset()
                self._remember()
                self.wire.clear()
                self.faults.load({})
                self.gateway.sessions.clear()
                self.gateway.stales.clear()
                world.access.forget()
                world.fire("reset")
                for one in given:
                    projects.create_given(world, one, api_words())

    def set_speed(self, speed: float) -> None:
        """Change the speed of invented waits."""
        self.world.clock.set_speed(speed)
        self.world.operations.speed_changed()

    def advance(self, by_s: float) -> None:
        """Move the timestamps forward; schedules, expiry and lifecycle rules fire."""
        self.world.clock.advance(by_s)
        self._remember()
        self.world.fire("clock-advanced", seconds=by_s)

    def status(self) -> dict[str, Any]:
        """Endpoints, speed, pid, incarnation, data plane."""
        return {
            **self.endpoints,
            "speed": consoles.speed_text(self.world.clock.speed),
            "pid": os.getpid(),
            "incarnation": self.world.incarnation,
            "dataplane": self.dataplane(),
        }

    def dataplane(self) -> dict[str, Any]:
        """What really runs; empty without a data plane."""
        return self.world.plane.describe() if self.world.plane is not None else {}

    def _remember(self) -> None:
        kept = {"incarnation": self.world.incarnation, "offset_s": self.world.clock.offset_s}
        self.world.store.put("sandbox/self", kept)


def _grpc_server(gateway: Gateway) -> GrpcServer:
    # its library takes care of forks, and says so at every one; the sandbox forks often, and never uses gRPC after it
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from plantctl.sandbox.grpc_server import GrpcServer  # the import of gRPC is paid by who starts, not by who looks

    return GrpcServer(gateway)
