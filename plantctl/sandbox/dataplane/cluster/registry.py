"""All instances of one state directory: found by name, locked by name, made, discarded, and adopted after a restart."""

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plantctl.sandbox.dataplane import accounts, binaries
from plantctl.sandbox.dataplane.binaries import Binaries
from plantctl.sandbox.dataplane.cluster import configuration, flags, recovery, standby, template
from plantctl.sandbox.dataplane.cluster.instance import Instance, World, new_record
from plantctl.sandbox.dataplane.cluster.record import FILE, Record
from plantctl.sandbox.dataplane.cluster.server import Server
from plantctl.sandbox.dataplane.cluster.template import Template
from plantctl.sandbox.dataplane.error import DataPlaneError

NAME = re.compile(r"[a-z0-9][a-z0-9.:_-]{0,150}")


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """What `adopt` found of one instance. `how`: kept (still running), started, stopped, discarded or failed."""

    name: str
    how: str
    words: str = ""


class Registry:
    """The instances below `root`; `choice` of binaries as in `binaries.find`."""

    def __init__(self, root: Path, choice: str | None) -> None:
        account = accounts.Account.current()
        base = accounts.home(root, account)
        for folder in (base / "instances", base / "backups"):
            account.folder(folder)
        self.world = World(base=base, account=account, password=template.password(base, account))
        self._choice = choice
        self._instances: dict[str, Instance] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.RLock()

    @contextlib.contextmanager
    def lock(self, *names: str) -> Iterator[None]:
        """Holds the locks of these instances, always taken in the same order."""
        with contextlib.ExitStack() as stack:
            for name in sorted(set(names)):
                with self._guard:
                    lock = self._locks.setdefault(name, threading.RLock())
                stack.enter_context(lock)
            yield

    def names(self) -> list[str]:
        """The names of all instances."""
        return sorted(file.parent.name for file in (self.world.base / "instances").glob(f"*/{FILE}"))

    def binaries(self) -> Binaries:
        """The PostgreSQL that new instances get."""
        with self._guard:
            return binaries.find(self._choice, self.world.account, self.world.base)

    def template(self, chosen: Binaries) -> Template:
        """The cluster that new instances of these binaries are copies of."""
        with self._guard:
            return template.prepare(self.world.base, chosen, self.world.account)

    def found(self, name: str) -> Instance:
        """One instance; DataPlaneError (not-found, or no-binaries when its version is no longer there)."""
        with self._guard:
            if name not in self._instances:
                record = Record.load(self._folder(name))
                chosen = binaries.find(record.source, self.world.account, self.world.base)
                if chosen.major != record.major:
                    cause = f"its data is of PostgreSQL {record.major}; found is {chosen.version} in {chosen.folder}"
                    raise DataPlaneError(f"use {name}", cause, reason="no-binaries")
                self._instances[name] = self._instance(record, chosen)
            return self._instances[name]

    def new(
        self, name: str, chosen: Binaries, given: Mapping[str, str], ssl_mode: str, names: Sequence[str]
    ) -> Instance:
        """An instance that is not on disk yet, its flags and SSL mode checked. Reasons: exists, invalid."""
        if not NAME.fullmatch(name):
            raise DataPlaneError("create an instance", f"{name!r} is no name for one", reason="invalid")
        if self._folder(name).exists():
            raise DataPlaneError(f"create {name}", "there is an instance of that name", reason="exists")
        instance = self._instance(new_record(name, chosen, flags=given, ssl_mode=ssl_mode, names=names), chosen)
        flags.sort(given, instance.known)
        configuration.access(ssl_mode)
        return instance

    @contextlib.contextmanager
    def making(self, instance: Instance, *, high_availability: bool) -> Iterator[str]:
        """Lays out a new instance and yields its empty node, to be filled with data; then starts it and takes the
        first base backup. What fails on the way leaves nothing behind.
        """
        what = f"create {instance.name}"
        try:
            self.world.account.folder(instance.folder)
            instance.record.node = "first"
            instance.lay_out()
            self.world.account.folder(instance.node("first"))
            yield "first"
            instance.start(what)
            recovery.anchor(instance)
            instance.record.high_availability = high_availability
            if high_availability:
                standby.ensure(instance)
            instance.record.wanted = "running"
            instance.save()
        except BaseException as error:
            with contextlib.suppress(DataPlaneError):
                instance.stop(what, "immediate")
            self.discard(instance)
            if isinstance(error, OSError):
                reason = "disk-full" if error.errno in (28, 122) else "failed"  # ENOSPC, EDQUOT
                raise DataPlaneError(what, f"{error.filename or ''}: {error.strerror}", reason=reason) from error
            raise
        with self._guard:
            self._instances[instance.name] = instance

    def discard(self, instance: Instance) -> None:
        """Forgets an instance whose servers are down, and removes its folder and its own base backups."""
        with self._guard:
            self._instances.pop(instance.name, None)
        (instance.folder / FILE).unlink(missing_ok=True)
        shutil.rmtree(instance.folder, ignore_errors=True)
        for anchor in (self.world.base / "backups" / instance.name).glob("anchor-*"):
            shutil.rmtree(anchor, ignore_errors=True)

    def stop_all(self) -> None:
        """Stops every server below the base, primaries first; DataPlaneError at the end when one could not be."""
        failures = []
        for name in self.names():
            with self.lock(name), contextlib.suppress(DataPlaneError):  # what stays up is met again below
                self.found(name).stop(f"stop {name}")
        # whatever no record names, or whose binaries are gone: a stop needs neither
        for file in (self.world.base / "instances").glob("*/nodes/*/data/postmaster.pid"):
            try:
                Server(file.parent.parent, "postgres", self.world.account).stop(f"stop {file.parent}")
            except DataPlaneError as error:
                failures.append(str(error))
        if failures:
            raise DataPlaneError("stop every instance", "; ".join(failures))

    def adopt(self) -> list[Adopted]:
        """Reconciles every instance on disk with the process table."""
        folders = sorted((self.world.base / "instances").iterdir())
        return [self._adopt(folder) for folder in folders]

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
            try:
                return self._reconcile(instance)
            except DataPlaneError as error:
                return Adopted(name=name, how="failed", words=str(error))

    def _reconcile(self, instance: Instance) -> Adopted:
        name, what, wanted = instance.name, f"adopt {instance.name}", instance.record.wanted
        if wanted == "creating":
            instance.stop(what, "immediate")
            self.discard(instance)
            return Adopted(name=name, how="discarded", words="its making was cut off")
        if wanted == "stopped":
            instance.stop(what)
            return Adopted(name=name, how="stopped")
        how = "kept" if self._answers(instance) else "started"
        if how == "started":
            instance.stop(what, "immediate")
            instance.start(what)
        # a restore or failover that was cut off leaves a node that nothing names
        for node in [path.name for path in (instance.folder / "nodes").iterdir()]:
            if node not in (instance.record.node, instance.record.standby):
                instance.drop_node(node)
        if instance.record.high_availability:
            standby.ensure(instance)
        if not any(base.epoch == instance.record.epoch.name for base in recovery.bases(instance)):
            recovery.anchor(instance)
        return Adopted(name=name, how=how)

    def _answers(self, instance: Instance) -> bool:
        if instance.primary.pid() is None or (instance.primary.node / "recovery.conf").exists():
            return False
        try:
            instance.session("look").rows("SELECT 1 AS yes")
        except DataPlaneError:
            return False
        return True

    def _instance(self, record: Record, chosen: Binaries) -> Instance:
        known = self.template(chosen).settings
        return Instance(world=self.world, record=record, binaries=chosen, known=known)

    def _folder(self, name: str) -> Path:
        return self.world.base / "instances" / name
