"""One instance on disk and in the process table: folder, certificates, configuration, its primary's start and stop."""

import secrets
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from plantctl.sandbox.dataplane import pki
from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.binaries import Binaries
from plantctl.sandbox.dataplane.cluster import configuration, flags
from plantctl.sandbox.dataplane.cluster.record import Epoch, Record
from plantctl.sandbox.dataplane.cluster.server import Server
from plantctl.sandbox.dataplane.cluster.session import ADMIN, Session
from plantctl.sandbox.dataplane.cluster.template import free_port
from plantctl.sandbox.dataplane.command import run
from plantctl.sandbox.dataplane.error import DataPlaneError

ALWAYS = ("localhost", "127.0.0.1")
CA_NAME = "Google Cloud SQL Server CA"
END_OF_WAL = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True, kw_only=True)
class World:
    """What all instances of one state directory have in common."""

    base: Path
    account: Account
    password: str


@dataclass(kw_only=True)
class Instance:
    """One instance; `known` are the settings of its PostgreSQL version. Not thread-safe: the registry holds locks."""

    world: World
    record: Record
    binaries: Binaries
    known: flags.Settings
    _servers: dict[str, Server] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The plane's key of it."""
        return self.record.name

    @property
    def folder(self) -> Path:
        """Where all of it lies, backups apart (those may outlive it)."""
        return self.world.base / "instances" / self.name

    @property
    def archive(self) -> Path:
        """The current epoch's WAL archive."""
        return self.archive_of(self.record.epoch.name)

    @property
    def primary(self) -> Server:
        """The server that clients talk to."""
        return self.server(self.record.node)

    def archive_of(self, epoch: str) -> Path:
        """The WAL archive of one epoch."""
        return self.folder / "archive" / epoch

    def node(self, node: str) -> Path:
        """The folder of one node."""
        return self.folder / "nodes" / node

    def server(self, node: str) -> Server:
        """The server on one node; the same object each time, because it holds the child process."""
        if node not in self._servers:
            self._servers[node] = Server(self.node(node), self.binaries.tool("postgres"), self.world.account)
        return self._servers[node]

    def session(self, what: str, database: str = "postgres") -> Session:
        """Superuser SQL on the primary; DataPlaneError (not-running) when it is down."""
        if self.primary.pid() is None:
            raise DataPlaneError(what, f"{self.name} is not running", reason="not-running")
        return Session(port=self.record.port, password=self.world.password, what=what, database=database)

    def tool_environment(self) -> dict[str, str]:
        """The environment by which PostgreSQL's client tools reach the primary as superuser, without TLS."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.record.port),
            "PGUSER": ADMIN,
            "PGSSLMODE": "disable",
            "PGGSSENCMODE": "disable",
            "PGPASSFILE": str(self.world.base / "pgpass"),
        }

    def save(self) -> None:
        """Remembers the record."""
        self.record.save(self.folder, self.world.account)

    def settings(self) -> dict[str, str]:
        """The flags that are settings of PostgreSQL."""
        return flags.sort(self.record.flags, self.known).settings

    # -- making

    def lay_out(self) -> None:
        """Makes the folders, the CA and the server certificate of a new instance."""
        account = self.world.account
        for folder in (self.folder, self.folder / "nodes", self.folder / "archive"):
            account.folder(folder)
        self.save()
        ca = pki.authority(CA_NAME)
        account.write(self.folder / "ca.crt", ca.certificate)
        account.write(self.folder / "ca.key", ca.key)
        account.write(self.folder / "pg_ident.conf", "")
        self.begin_epoch(self.record.epoch)
        self.certify(self.record.names)

    def certificate_authority(self) -> pki.Pair:
        """The instance's own CA."""
        return pki.Pair(
            certificate=(self.folder / "ca.crt").read_text(encoding="utf-8"),
            key=(self.folder / "ca.key").read_text(encoding="utf-8"),
        )

    def certify(self, names: Sequence[str]) -> None:
        """Issues a server certificate for `names` beside localhost; a running server takes it for new connections."""
        pair = pki.server(self.certificate_authority(), self.name, [*names, *ALWAYS])
        self.world.account.write(self.folder / "server.key", pair.key)
        self.world.account.write(self.folder / "server.crt", pair.certificate)
        self.record.names = list(dict.fromkeys(names))
        self.save()

    def new_node(self) -> str:
        """Makes an empty node and returns its name."""
        node = secrets.token_hex(4)
        self.world.account.folder(self.node(node))
        return node

    def drop_node(self, node: str) -> None:
        """Stops what runs on a node, and removes it."""
        self.server(node).stop(f"stop a node of {self.name}", "immediate")
        self._servers.pop(node, None)
        shutil.rmtree(self.node(node), ignore_errors=True)

    def begin_epoch(self, epoch: Epoch) -> None:
        """Makes the WAL archive of an epoch."""
        self.world.account.folder(self.archive_of(epoch.name))

    def copy(self, source: Path, node: str) -> None:
        """Copies a data directory (of the template, or a backup) to a node."""
        argv = ["cp", "-Rp", str(source), str(self.node(node) / "data")]
        run(self.world.account, argv, what=f"copy data for {self.name}", cwd=self.folder, timeout_s=600)

    # -- running

    def write_configuration(self, node: str, port: int) -> None:
        """Writes postgresql.conf of a node and the instance's access rules."""
        text = configuration.postgresql(
            node=self.node(node),
            instance=self.folder,
            archive=self.archive,
            port=port,
            cluster_name=self.name,
            settings=self.settings(),
        )
        self.world.account.write(self.node(node) / "postgresql.conf", text)
        self.world.account.write(self.folder / "pg_hba.conf", configuration.access(self.record.ssl_mode))

    def recover(self, node: str, text: str) -> None:
        """Tells a node to begin with an archive recovery, by `configuration.recovery` text."""
        self.world.account.write(self.node(node) / "recovery.conf", text)
        self.world.account.write(self.node(node) / "data/recovery.signal", "")

    def start(self, what: str) -> None:
        """Starts the primary and returns when clients can connect. Keeps its port, unless another program took it."""
        server = self.primary
        if server.pid() is None and not port_is_free(self.record.port):
            self._take_port()
        for attempt in range(5):
            self.write_configuration(self.record.node, self.record.port)
            try:
                self._start_recovering(what)
                break
            except DataPlaneError as error:
                if error.reason != "port-taken" or attempt == 4:
                    raise
                self._take_port()
        (server.node / "recovery.conf").unlink(missing_ok=True)
        self.record.stopped = None
        self.save()

    def _start_recovering(self, what: str) -> None:
        recovery = self.primary.node / "recovery.conf"
        try:
            self.primary.start(what, ready_s=300 if recovery.exists() else 60)
        except DataPlaneError as error:
            # No commit came after the wanted moment: everything archived has been replayed, which is what was asked.
            if END_OF_WAL not in str(error) or not recovery.exists():
                raise
            lines = recovery.read_text(encoding="utf-8").splitlines(keepends=True)
            rest = "".join(line for line in lines if not line.startswith("recovery_target_time"))
            self.world.account.write(recovery, rest)
            self.primary.start(what, ready_s=300)

    def stop(self, what: str, mode: str = "fast") -> None:
        """Stops the primary, which first sends its standby all it has, then the standby."""
        was_up = self.primary.pid() is not None
        self.primary.stop(what, mode)
        if self.record.standby is not None:
            self.server(self.record.standby).stop(what)
        if was_up:
            self.record.stopped = now()
            self.save()

    def reload(self, what: str) -> None:
        """Has the running primary read its configuration, and returns when new sessions see it."""
        session = self.session(what)
        loaded = session.rows("SELECT pg_conf_load_time() AS at")[0]["at"]
        self.primary.reload()
        deadline = time.monotonic() + 10
        while session.rows("SELECT pg_conf_load_time() AS at")[0]["at"] == loaded:
            if time.monotonic() > deadline:
                raise DataPlaneError(what, "the server did not read its configuration", reason="timeout")
            time.sleep(0.02)

    def reconfigure(self, given: Mapping[str, str] | None, ssl_mode: str | None) -> list[str]:
        """Replaces the flags and the SSL mode where given; returns the settings that forced a restart.

        When the server does not start with them, the old ones are put back and DataPlaneError (invalid) tells why.
        """
        what = f"configure {self.name}"
        old_flags, old_mode, old = self.record.flags, self.record.ssl_mode, self.settings()
        new_flags = old_flags if given is None else dict(given)
        new = flags.sort(new_flags, self.known).settings
        configuration.access(ssl_mode or old_mode)
        self.record.flags, self.record.ssl_mode = new_flags, ssl_mode or old_mode
        self.save()
        if self.primary.pid() is None:
            return []
        restarts = flags.restart_needed(old, new, self.known)
        if not restarts:
            self.write_configuration(self.record.node, self.record.port)
            self.reload(what)
            return []
        self.primary.stop(what)
        try:
            self.start(what)
        except DataPlaneError as error:
            self.record.flags, self.record.ssl_mode = old_flags, old_mode
            self.start(what)
            words = f"it does not start with {', '.join(restarts)} changed, and runs as before"
            raise DataPlaneError(what, words, reason="invalid", log=error.log) from error
        return restarts

    def _take_port(self) -> None:
        self.record.port = free_port()
        self.save()


def new_record(
    name: str, binaries: Binaries, *, flags: Mapping[str, str], ssl_mode: str, names: Sequence[str]
) -> Record:
    """The record of an instance that is about to be made, on a free port."""
    return Record(
        name=name,
        source=binaries.source,
        major=binaries.major,
        port=free_port(),
        ssl_mode=ssl_mode,
        wanted="creating",
        node="",
        flags=dict(flags),
        names=list(names),
        epochs=[Epoch(name=secrets.token_hex(4), started=now())],
    )


def now() -> str:
    """Wall time, which is the time in the WAL: ISO, UTC."""
    return datetime.now(UTC).isoformat()


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
