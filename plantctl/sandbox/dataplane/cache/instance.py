"""One Redis instance on disk and in the process table: folder, certificates, its servers, the clients' two doors."""

import os
import shutil
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from plantctl.sandbox.dataplane import pki
from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.cache import configuration
from plantctl.sandbox.dataplane.cache.configuration import Ports
from plantctl.sandbox.dataplane.cache.engine import Engine
from plantctl.sandbox.dataplane.cache.record import Record, Wish
from plantctl.sandbox.dataplane.cache.server import Server
from plantctl.sandbox.dataplane.cluster.instance import ALWAYS, now, port_is_free
from plantctl.sandbox.dataplane.cluster.template import free_port
from plantctl.sandbox.dataplane.command import run
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.forward import Forwarder, ForwardLoop, listen

CA_NAME = "Google Memorystore Redis Server CA"
SNAPSHOT_S = 120.0
ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class World:
    """What all instances of one state directory have in common; `password` is the sandbox's own on every server."""

    base: Path
    account: Account
    password: str
    loop: ForwardLoop


@dataclass(kw_only=True)
class Instance:
    """One instance. Not thread-safe: the registry holds locks."""

    world: World
    record: Record
    engine: Engine
    _servers: dict[str, Server] = field(default_factory=dict)
    _doors: dict[int, Forwarder] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The plane's key of it."""
        return self.record.name

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self.world.base / "instances" / self.name

    @property
    def snapshot_file(self) -> Path:
        """The last snapshot, by which a crashed instance comes back."""
        return self.folder / "snapshot.rdb"

    @property
    def ca_file(self) -> Path:
        """The instance's own CA, PEM."""
        return self.folder / "ca.crt"

    @property
    def tunnelled(self) -> bool:
        """Whether the plane ends TLS itself, because the server cannot."""
        return self.record.tls and not self.engine.tls

    @property
    def primary(self) -> Server:
        """The server that clients write to."""
        return self.server(self.record.node)

    def server(self, node: str) -> Server:
        """The server on one node; the same object each time, because it holds the child process."""
        if node not in self._servers:
            executable, account = self.engine.executable, self.world.account
            self._servers[node] = Server(self.node(node), executable, account, self.world.password)
        return self._servers[node]

    def node(self, node: str) -> Path:
        """The folder of one node."""
        return self.folder / "nodes" / node

    @contextmanager
    def link(self, what: str) -> Iterator[Any]:
        """A connection with every right to the primary; DataPlaneError (not-running) when it is down."""
        if self.primary.pid() is None:
            raise DataPlaneError(what, f"{self.name} is not running", reason="not-running")
        with self.primary.link(self.record.node_port, what) as link:
            yield link

    def save(self) -> None:
        """Remembers the record."""
        self.record.save(self.folder, self.world.account)

    # -- making

    def lay_out(self) -> None:
        """Makes the folders, the CA and the server certificate of a new instance."""
        account = self.world.account
        for folder in (self.folder, self.folder / "nodes", self.node(self.record.node)):
            account.folder(folder)
        self.save()
        ca = pki.authority(CA_NAME)
        account.write(self.ca_file, ca.certificate)
        account.write(self.folder / "ca.key", ca.key)
        pair = pki.server(ca, self.name, [*self.record.names, *ALWAYS])
        account.write(self.folder / "server.key", pair.key)
        account.write(self.folder / "server.crt", pair.certificate)

    def new_node(self) -> str:
        """Makes an empty node and returns its name."""
        node = token_hex(4)
        self.world.account.folder(self.node(node))
        return node

    def drop_node(self, node: str) -> None:
        """Ends what runs on a node, and removes it."""
        self.server(node).stop(f"stop a node of {self.name}", keep=False)
        self._servers.pop(node, None)
        shutil.rmtree(self.node(node), ignore_errors=True)

    # -- running

    def client_port(self, wanted: int) -> int:
        """The wanted port where clients can go on using it, else a free one."""
        return wanted if wanted in self._doors or (wanted and port_is_free(wanted)) else free_port()

    def ports(self, client_port: int) -> Ports:
        """Where a server has to listen so that clients find it, by a tunnel or not, on `client_port`."""
        if not self.record.tls:
            return Ports(plain=client_port)
        return Ports(plain=free_port(), tls=0 if self.tunnelled else client_port)

    def configure_node(self, node: str, ports: Ports, following: int = 0) -> None:
        """Writes redis.conf of a node; `following`: the port of the primary that it is to be a replica of."""
        text = configuration.text(
            node=self.node(node),
            certificates=self.folder,
            ports=ports,
            wish=self.record.wish,
            password=self.world.password,
        )
        if following:
            text += f"replicaof 127.0.0.1 {following}\n"
        self.world.account.write(self.node(node) / "redis.conf", text)

    def start(self, what: str) -> None:
        """Starts the primary on its data and returns when clients can connect. Keeps its port, unless it was taken."""
        server, record = self.primary, self.record
        if server.pid() is None:
            if not record.clean:
                self._recall()
            for attempt in range(ATTEMPTS):
                record.port = self.client_port(0 if attempt else record.port)
                ports = self.ports(record.port)
                record.node_port = ports.plain
                self.configure_node(record.node, ports)
                self.save()
                try:
                    server.start(what, record.node_port)
                    break
                except DataPlaneError as error:
                    if error.reason != "port-taken" or attempt == ATTEMPTS - 1:
                        raise
            record.clean = False
            self.save()
        record.port = self.open_door(record.port, record.node_port)
        self.save()

    def stop(self, what: str) -> None:
        """Stops the replica and the primary, which writes its data first; closes the doors."""
        was_up = self.primary.pid() is not None
        self.close_doors()
        self.end_replica(what)
        self.primary.stop(what)
        if was_up:
            self.record.clean = self.primary.data.exists()
            self.save()

    def end_replica(self, what: str) -> None:
        """Ends the replica; a primary that stops in order would wait for it."""
        if self.record.replica is not None:
            self.server(self.record.replica).stop(what, keep=False)

    def _recall(self) -> None:
        """After a crash: the data are those of the last snapshot; without one, none (persistenceConfig, discovery)."""
        self.primary.data.unlink(missing_ok=True)
        if self.record.wish.persistent and self.snapshot_file.exists():
            self._copy(self.snapshot_file, self.primary.data)

    # -- the clients' doors, where the server has no TLS

    def open_door(self, port: int, target: int) -> int:
        """A TLS listener on `port` that leads to a server's plain port; gives the port, another where it was taken.

        The listener stays when it is there already: new connections go to `target`. Without a tunnel nothing is done.
        """
        if not self.tunnelled:
            return port
        if port in self._doors:
            self._doors[port].target = ("127.0.0.1", target)
            return port
        listener = listen("127.0.0.1", port) or listen("127.0.0.1", 0)
        if listener is None:
            raise DataPlaneError(f"open a port for {self.name}", "no free port on loopback", reason="port-taken")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.folder / "server.crt", self.folder / "server.key")
        opened: int = listener.getsockname()[1]
        self._doors[opened] = Forwarder(self.world.loop, listener, ("127.0.0.1", target), tls=context)
        return opened

    def close_doors(self) -> None:
        """Cuts every connection that goes through a tunnel."""
        while self._doors:
            self._doors.popitem()[1].close()

    # -- changing

    def change(self, wish: Wish, what: str) -> bool:
        """Replaces the wish on the running servers; returns whether the primary had to restart for it."""
        old, self.record.wish = self.record.wish, wish
        before, after = configuration.settings(old), configuration.settings(wish)
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        restart = bool(configuration.RESTARTS & changed.keys())
        try:
            if not restart:
                self._tell(changed, what, auth=wish.auth != old.auth)
        except DataPlaneError:
            self.record.wish = old
            raise
        self.save()
        if not wish.persistent:
            self.snapshot_file.unlink(missing_ok=True)  # discovery, persistenceMode DISABLED
        if restart:
            self.end_replica(what)
            self.primary.stop(what)
            self.record.clean = True
            self.start(what)
        return restart

    def _tell(self, changed: dict[str, str], what: str, *, auth: bool) -> None:
        record = self.record
        nodes = [(record.node, record.node_port)]
        if record.replica is not None:
            nodes.append((record.replica, record.replica_port))
        for node, port in nodes:
            with self.server(node).link(port, what) as link:
                for key, value in changed.items():
                    link.execute_command("CONFIG", "SET", key, value)
                if auth:
                    rules = configuration.client_rules(record.wish.auth)
                    link.execute_command("ACL", "SETUSER", "default", "reset", *rules)

    # -- data

    def dump(self, what: str) -> Path:
        """Has the primary write all its data to its dump.rdb, and returns the file."""
        with self.link(what) as link:
            deadline = time.monotonic() + SNAPSHOT_S
            self.primary.data.unlink(missing_ok=True)
            link.execute_command("BGSAVE", "SCHEDULE")
            while not self.primary.data.exists() or link.info("persistence")["rdb_bgsave_in_progress"]:
                if link.info("persistence")["rdb_last_bgsave_status"] != "ok":
                    raise DataPlaneError(what, "the server could not write its data", log=self.primary.tail())
                if time.monotonic() > deadline:
                    raise DataPlaneError(what, "the data were not written in time", reason="timeout")
                time.sleep(0.01)
        return self.primary.data

    def snapshot(self) -> None:
        """Keeps the data as they are now for a start after a crash."""
        written = self.dump(f"take a snapshot of {self.name}")
        part = self.snapshot_file.with_suffix(".part")
        part.unlink(missing_ok=True)
        os.link(written, part)  # the server replaces dump.rdb, it never writes into it
        part.replace(self.snapshot_file)
        self.record.snapshot = now()
        self.save()

    def load(self, source: Path) -> None:
        """Replaces all data by those of an RDB file; when the server cannot read it, the old ones are put back."""
        what = f"import into {self.name}"
        data, kept = self.primary.data, self.folder / "before-import.rdb"
        self.close_doors()
        self.end_replica(what)
        self.primary.stop(what)
        with suppress(FileNotFoundError):
            data.replace(kept)
        self._copy(source, data)
        self.record.clean = True
        try:
            self.start(what)
        except DataPlaneError as error:
            self.primary.stop(what, keep=False)
            data.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                kept.replace(data)
            self.record.clean = True
            self.start(what)
            words = "the file is no RDB that this server can read"
            raise DataPlaneError(what, words, reason="invalid", log=error.log) from error
        kept.unlink(missing_ok=True)

    def _copy(self, source: Path, target: Path) -> None:
        argv = ["cp", str(source), str(target)]
        run(self.world.account, argv, what=f"copy data of {self.name}", cwd=self.folder, timeout_s=600)


def new_record(name: str, engine: Engine, wish: Wish, *, tls: bool, names: Sequence[str]) -> Record:
    """The record of an instance that is about to be made, on free ports."""
    return Record(
        name=name,
        source=engine.source,
        tls=tls,
        names=list(dict.fromkeys(names)),
        wish=wish,
        wanted="creating",
        port=free_port(),
        read_port=free_port(),
        node="first",
    )
