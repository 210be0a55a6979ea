"""The data plane as one thing: PostgreSQL, Redis, images, running instances and their ways into the network."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.forward import ForwardLoop, ForwardSet
from plantctl.sandbox.dataplane.image import ImageStore
from plantctl.sandbox.dataplane.metadata import Mint
from plantctl.sandbox.dataplane.places import remove_place_for
from plantctl.sandbox.dataplane.postgres import PostgresPlane
from plantctl.sandbox.dataplane.process import ProcessPlane
from plantctl.sandbox.dataplane.redis import RedisPlane
from plantctl.sandbox.dataplane.running import Running
from plantctl.sandbox.dataplane.serving import Serving

GRACE_S = 10.0
"""Seconds between SIGTERM and SIGKILL (Cloud Run container contract)."""


def sql_name(project: str, instance: str) -> str:
    """The data plane's name of a Cloud SQL instance; dots are in neither part."""
    return f"{project}.{instance}"


def redis_name(project: str, location: str, instance: str) -> str:
    """The data plane's name of a Memorystore instance."""
    return f"{project}.{location}.{instance}"


class DataPlane:
    """Lives below `root`; `mint` gives the tokens that metadata servers hand out. Thread-safe.

    `serving` is the front door, which outlives the plane; without one nothing can be served.
    """

    def __init__(self, root: Path, mint: Mint, serving: Serving | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self.serving = serving or Serving()
        self.postgres = PostgresPlane(root / "postgres")
        self.images = ImageStore(root / "images")
        self.processes = ProcessPlane(root / "processes", self.images, mint)
        self._loop = ForwardLoop()
        self.redis = RedisPlane(root / "redis", self._loop)
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}

    def forwards(self) -> ForwardSet:
        """A new, empty set of forwarders for one process."""
        return ForwardSet(self._loop)

    def remember(self, key: str, running: Running) -> None:
        """Know an instance by the store key of its execution or revision, so that it can be stopped."""
        with self._lock:
            self._running = {k: r for k, r in self._running.items() if r.poll() is None}
            self._running[key] = running

    def stop(self, key: str) -> None:
        """SIGTERM, then SIGKILL, to what runs under this key; nothing when it has ended."""
        with self._lock:
            running = self._running.pop(key, None)
        if running is not None:
            running.terminate(GRACE_S)

    def sql_port(self, project: str, instance: str) -> int:
        """The loopback port of an instance's server; 0 while it does not run."""
        name = sql_name(project, instance)
        if name not in self.postgres.names():
            return 0
        description = self.postgres.describe(name)
        return description.port if description.pid else 0

    def redis_ports(self, name: str) -> tuple[int, int]:
        """The loopback ports of a Redis instance for writers and for readers; 0 for what does not run."""
        if name not in self.redis.names():
            return 0, 0
        found = self.redis.describe(name)
        return (found.port if found.pid else 0, found.read_port if found.replica_pid else 0)

    def adopt(self) -> None:
        """After a restart: servers that ran go on."""
        self.postgres.adopt()
        self.redis.adopt()

    def describe(self) -> dict[str, Any]:
        """What runs, for `sandbox status` and `GET /_sandbox/dataplane`."""
        servers = [self.postgres.describe(name) for name in self.postgres.names()]
        return {
            "postgres": {
                "version": servers[0].version if servers else None,
                "directory": str(self.postgres.base),
                "instances": [
                    {"name": s.name, "state": s.state, "port": s.port, "pid": s.pid, "version": s.version}
                    for s in servers
                ],
            },
            "redis": self._caches(),
            "images": list(self.images.list()),
            "processes": self.processes.describe(),
            "run": self.serving.describe(),
        }

    def _caches(self) -> dict[str, Any]:
        shown = ("name", "state", "port", "read_port", "pid", "replica_pid", "version", "source", "tls", "ca_file")
        found = [self.redis.describe(name) for name in self.redis.names()]
        return {
            "directory": str(self.redis.base),
            "instances": [{key: getattr(one, key) for key in (*shown, "ignored")} for one in found],
        }

    def stop_all(self) -> None:
        """End every process of the data plane; data stays."""
        self.serving.clear()
        with contextlib.ExitStack() as last:  # each of them is tried, whatever another one raises
            last.callback(self._loop.close)
            last.callback(self.redis.stop_all)
            last.callback(self.postgres.stop_all)
            last.callback(self.processes.close)

    def purge(self) -> None:
        """End every process and remove all data."""
        self.serving.clear()
        self.processes.close()
        try:
            self.postgres.purge()
        except DataPlaneError:
            # a server that will not stop must not keep the rest from going
            self.postgres.purge()
        self.redis.purge()
        for digest in self.images.list():
            self.images.delete(digest)
        for part in ("images", "processes"):
            remove_place_for(self._root / part)
        self._loop.close()
