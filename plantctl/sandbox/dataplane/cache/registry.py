"""All Redis instances of one state directory: found by name, locked by name, made, watched, adopted after a restart."""

import contextlib
import logging
import re
import secrets
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from plantctl.sandbox.dataplane import accounts
from plantctl.sandbox.dataplane.cache import engine, replica
from plantctl.sandbox.dataplane.cache.engine import Engine
from plantctl.sandbox.dataplane.cache.instance import Instance, World, new_record
from plantctl.sandbox.dataplane.cache.record import FILE, Record, Wish
from plantctl.sandbox.dataplane.cache.server import Server
from plantctl.sandbox.dataplane.cluster.registry import Adopted
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.forward import ForwardLoop

NAME = re.compile(r"[a-z0-9][a-z0-9.:_-]{0,150}")
LOOK_EVERY_S = 0.5
log = logging.getLogger("plantctl.sandbox")


class Registry:
    """The instances below `root`; `choice` of the server as in `engine.find`."""

    def __init__(self, root: Path, choice: str | None, loop: ForwardLoop) -> None:
        account = accounts.Account.current()
        base = accounts.home(root, account)
        account.folder(base / "instances")
        self.world = World(base=base, account=account, password=_password(base, account), loop=loop)
        self._choice = choice
        self._instances: dict[str, Instance] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.RLock()
        self._watch: threading.Thread | None = None
        self._end = threading.Event()

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Holds the lock of this instance."""
        with self._guard:
            lock = self._locks.setdefault(name, threading.RLock())
        with lock:
            yield

    def names(self) -> list[str]:
        """The names of all instances."""
        return sorted(file.parent.name for file in (self.world.base / "instances").glob(f"*/{FILE}"))

    def engine(self) -> Engine:
        """The server that new instances get."""
        with self._guard:
            return engine.find(self._choice, self.world.account, self.world.base)

    def found(self, name: str) -> Instance:
        """One instance; DataPlaneError (not-found, or no-binaries when its server is no longer there)."""
        with self._guard:
            if name not in self._instances:
                record = Record.load(self._folder(name))
                chosen = engine.find(record.source, self.world.account, self.world.base)
                self._instances[name] = Instance(world=self.world, record=record, engine=chosen)
            return self._instances[name]

    def create(self, name: str, wish: Wish, *, tls: bool, names: Sequence[str]) -> Instance:
        """Makes and starts an instance. What fails on the way leaves nothing behind. Reasons: exists, invalid."""
        what = f"create {name}"
        if not NAME.fullmatch(name):
            raise DataPlaneError("create an instance", f"{name!r} is no name for one", reason="invalid")
        if self._folder(name).exists():
            raise DataPlaneError(what, "there is an instance of that name", reason="exists")
        chosen = self.engine()
        record = new_record(name, chosen, wish, tls=tls, names=names)
        instance = Instance(world=self.world, record=record, engine=chosen)
        try:
            instance.lay_out()
            instance.start(what)
            if wish.replica:
                replica.ensure(instance)
            record.wanted = "running"
            instance.save()
        except BaseException as error:
            self.discard(instance)
            if isinstance(error, OSError):
                reason = "disk-full" if error.errno in (28, 122) else "failed"  # ENOSPC, EDQUOT
                raise DataPlaneError(what, f"{error.filename or ''}: {error.strerror}", reason=reason) from error
            raise
        with self._guard:
            self._instances[name] = instance
        self.watch()
        return instance

    def discard(self, instance: Instance) -> None:
        """Ends all servers of an instance, forgets it and removes its folder."""
        with self._guard:
            self._instances.pop(instance.name, None)
        instance.close_doors()
        for node in _nodes(instance.folder):
            instance.server(node.name).stop(f"remove {instance.name}", keep=False)
        (instance.folder / FILE).unlink(missing_ok=True)
        shutil.rmtree(instance.folder, ignore_errors=True)

    def stop_all(self) -> None:
        """Stops every server below the base, data kept; DataPlaneError at the end when one could not be."""
        self._end.set()
        if self._watch is not None:
            self._watch.join(30)
            self._watch = None
        failures = []
        for name in self.names():
            with self.lock(name), contextlib.suppress(DataPlaneError):  # what stays up is met again below
                self.found(name).stop(f"stop {name}")
        # whatever no record names, or whose binary is gone: a stop needs neither
        for folder in (self.world.base / "instances").glob("*"):
            for node in _nodes(folder):
                try:
                    Server(node, Path("redis-server"), self.world.account, "").stop(f"stop {node}", keep=False)
                except DataPlaneError as error:
                    failures.append(str(error))
        if failures:
            raise DataPlaneError("stop every Redis", "; ".join(failures))

    # -- after a start of the sandbox

    def adopt(self) -> list[Adopted]:
        """Reconciles every instance on disk with the process table."""
        found = [self._adopt(folder) for folder in sorted((self.world.base / "instances").iterdir())]
        if found:
            self.watch()
        return found

    def _adopt(self, folder: Path) -> Adopted:
        name = folder.name
        with self.lock(name):
            try:
                instance = self.found(name)
            except DataPlaneError as error:
                if error.reason != "not-found" or (folder / FILE).exists():
                    return Adopted(name=name, how="failed", words=str(error))
                shutil.rmtree(folder, ignore_errors=True)  # killed before its record was written: nothing has started
                return Adopted(name=name, how="discarded", words="its making was cut off")
            if instance.record.wanted == "creating":
                self.discard(instance)
                return Adopted(name=name, how="discarded", words="its making was cut off")
            try:
                return Adopted(name=name, how=self._reconcile(instance))
            except DataPlaneError as error:
                return Adopted(name=name, how="failed", words=str(error))

    def _reconcile(self, instance: Instance) -> str:
        record, what = instance.record, f"adopt {instance.name}"
        how = "kept"
        if not instance.primary.answers(record.node_port):
            how = self._revive(instance, what)
        else:
            instance.start(what)  # it runs: this opens the clients' door
        for node in _nodes(instance.folder):  # an import or failover that was cut off leaves one that nothing names
            if node.name not in (record.node, record.replica):
                instance.drop_node(node.name)
        if record.wish.replica:
            replica.ensure(instance)
        return how

    def _revive(self, instance: Instance, what: str) -> str:
        """The primary is gone: its replica takes over where one runs, else it starts again on its data."""
        record = instance.record
        follower = instance.server(record.replica) if record.replica is not None else None
        if follower is not None and not record.clean and follower.answers(record.replica_port):
            replica.failover(instance, force=True)
            return "promoted"
        instance.primary.stop(what, keep=False)
        instance.start(what)
        return "started"

    # -- while it runs

    def watch(self) -> None:
        """Looks after the servers from now on: one that died comes back, or its replica takes over, as at Google."""
        with self._guard:
            if self._watch is None:
                self._end.clear()
                self._watch = threading.Thread(target=self._look, name="redis-watch", daemon=True)
                self._watch.start()

    def _look(self) -> None:
        while not self._end.wait(LOOK_EVERY_S):
            for name in self.names():
                with self.lock(name):
                    try:
                        if not self._end.is_set():
                            self._mend(name)
                    except DataPlaneError as error:
                        log.warning("%s", error)

    def _mend(self, name: str) -> None:
        if not (self._folder(name) / FILE).exists():
            return
        instance = self.found(name)
        record = instance.record
        if record.wanted != "running":
            return
        if instance.primary.pid() is None:
            log.warning("%s: the primary is gone; %s", name, self._revive(instance, f"mend {name}"))
        if record.wish.replica and (record.replica is None or instance.server(record.replica).pid() is None):
            replica.ensure(instance)

    def _folder(self, name: str) -> Path:
        return self.world.base / "instances" / name


def _nodes(folder: Path) -> list[Path]:
    return [node for node in (folder / "nodes").glob("*") if node.is_dir()]


def _password(base: Path, account: accounts.Account) -> str:
    """The sandbox's own password on every server, made once."""
    file = base / "password"
    if not file.exists():
        account.write(file, secrets.token_urlsafe(24))
    return file.read_text(encoding="utf-8")
