"""The real Redis behind Memorystore instances: one plane for a state directory, one method for each verb.

Synchronous; calls for different instances run side by side, calls for one instance one after the other. A `name` is
the plane's key of an instance, for example "project.us-central1.instance", and the name of its server certificate.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plantctl.sandbox.dataplane.cache import configuration, replica
from plantctl.sandbox.dataplane.cache.instance import Instance
from plantctl.sandbox.dataplane.cache.record import Wish as Wish
from plantctl.sandbox.dataplane.cache.registry import Registry
from plantctl.sandbox.dataplane.cluster.registry import Adopted
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.forward import ForwardLoop


@dataclass(frozen=True, kw_only=True)
class Description:
    """One instance as it is. `state`: RUNNING or DOWN. `port` and `read_port` (0: no replica) are the clients'.

    `version`: what really serves ("Redis 7.0.15", "Valkey 9.1.2"); `tls`: "server", "tunnel" (the plane ends TLS,
    because this server cannot) or "". `server_ca`: PEM, as in `ca_file`. `index`: the primary's place, 0 or 1.
    `snapshot`: when the last one was taken (wall time, ISO). `ignored`: configuration without effect here, and why.
    """

    name: str
    state: str
    port: int
    read_port: int
    pid: int | None
    replica_pid: int | None
    version: str
    source: str
    tls: str
    server_ca: str
    ca_file: str
    index: int
    snapshot: str | None
    ignored: dict[str, str]


class RedisPlane:
    """All Redis instances of one state directory `root`; `choice`: system, wheel, None for the best there is.

    `loop` carries the clients' TLS where the server has none; it is the caller's, who closes it.
    """

    def __init__(self, root: Path, loop: ForwardLoop, choice: str | None = None) -> None:
        self._all = Registry(root, choice, loop)

    @property
    def base(self) -> Path:
        """Where all data lies: `root`, or a folder of its own that the servers' account can reach."""
        return self._all.world.base

    def version(self) -> str:
        """What a new instance would run. DataPlaneError: no-binaries."""
        return self._all.engine().label

    # -- life

    def create(self, name: str, wish: Wish, *, tls: bool = False, names: Sequence[str] = ()) -> Description:
        """Makes and starts an instance, with a replica if the wish has one (0.1 s, 0.4 s with a replica).

        `names`: IP addresses and DNS names that its certificate verifies for. Reasons: exists, invalid, disk-full.
        """
        with self._all.lock(name):
            self._all.create(name, wish, tls=tls, names=names)
            return self.describe(name)

    def configure(self, name: str, wish: Wish) -> bool:
        """Makes the instance what the wish says; returns whether its primary had to restart (databases).

        A new AUTH string holds for new connections. Reasons: not-found, not-running, failed.
        """
        with self._all.lock(name):
            instance = self._all.found(name)
            restarted = instance.change(wish, f"configure {name}")
            if wish.replica:
                replica.ensure(instance)
            else:
                replica.drop(instance)
            return restarted

    def delete(self, name: str) -> None:
        """Removes an instance with its data. Reason: not-found."""
        with self._all.lock(name):
            self._all.discard(self._all.found(name))

    def failover(self, name: str, *, force: bool = False) -> float:
        """Promotes the replica on the same port, builds a new one, returns the gap in seconds as clients saw it.

        All connections break. Without `force` no acknowledged write is lost, and it is refused (out-of-range) when
        the replica is 30 MB behind; with it, what the replica has not is lost. Reason: not-running (no replica).
        """
        with self._all.lock(name):
            return replica.failover(self._all.found(name), force=force)

    def stop_all(self) -> None:
        """Stops every server of this state directory, data kept; `adopt` starts them again."""
        self._all.stop_all()

    def purge(self) -> None:
        """Stops everything and removes all data of this state directory."""
        self.stop_all()
        shutil.rmtree(self.base, ignore_errors=True)

    def adopt(self) -> list[Adopted]:
        """Reconciles the disk with the process table after a start of the sandbox: what still runs is kept, what ought
        to run is started on its data (after a crash: of the last snapshot), half-made instances are removed.
        """
        return self._all.adopt()

    # -- data

    def snapshot(self, name: str) -> None:
        """Keeps the data as they are now; a crashed instance comes back with the last snapshot (persistenceConfig)."""
        with self._all.lock(name):
            self._all.found(name).snapshot()

    def export_rdb(self, name: str) -> bytes:
        """All data as an RDB file; clients are served meanwhile. Reasons: not-running, timeout, failed."""
        with self._all.lock(name):
            return self._all.found(name).dump(f"export {name}").read_bytes()

    def import_rdb(self, name: str, data: bytes) -> None:
        """Replaces all data by those of an RDB file; connections break. Reason: invalid (not readable; data stay)."""
        with self._all.lock(name):
            instance = self._all.found(name)
            with tempfile.NamedTemporaryFile(dir=instance.folder, prefix="import-") as file:
                file.write(data)
                file.flush()
                self._all.world.account.own(Path(file.name))
                try:
                    instance.load(Path(file.name))
                finally:
                    with contextlib.suppress(DataPlaneError):
                        self._follow(instance)

    # -- looking

    def names(self) -> list[str]:
        """The names of all instances."""
        return self._all.names()

    def describe(self, name: str) -> Description:
        """One instance as it is now. Reason: not-found."""
        with self._all.lock(name):
            instance = self._all.found(name)
            record = instance.record
            pid = instance.primary.pid()
            return Description(
                name=name,
                state="RUNNING" if pid else "DOWN",
                port=record.port,
                read_port=record.read_port if record.replica else 0,
                pid=pid,
                replica_pid=instance.server(record.replica).pid() if record.replica else None,
                version=instance.engine.label,
                source=record.source,
                tls=("tunnel" if instance.tunnelled else "server") if record.tls else "",
                server_ca=instance.ca_file.read_text(encoding="utf-8"),
                ca_file=str(instance.ca_file),
                index=record.index,
                snapshot=record.snapshot,
                ignored=configuration.ignored(record.wish.configs),
            )

    def place(self, name: str) -> int:
        """Where the primary is, 0 or 1, also while something else is done to the instance. Reason: not-found."""
        return self._all.found(name).record.index

    def log(self, name: str, lines: int = 200) -> list[str]:
        """The last lines of the primary's log."""
        return self._all.found(name).primary.tail(lines)

    def _follow(self, instance: Instance) -> None:
        if instance.record.wish.replica:
            replica.ensure(instance)
