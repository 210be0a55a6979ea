"""The real PostgreSQL behind Cloud SQL instances: one plane for a state directory, one method for each verb.

Synchronous; calls for different instances run side by side, calls for one instance one after the other. A `name` is
the plane's key of an instance, for example "project:instance", and the common name of its server certificate.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from plantctl.sandbox.dataplane import pki
from plantctl.sandbox.dataplane.cluster import backups, catalog, flags, recovery, standby, transfer
from plantctl.sandbox.dataplane.cluster.backups import Backup
from plantctl.sandbox.dataplane.cluster.catalog import Database, User
from plantctl.sandbox.dataplane.cluster.instance import Instance
from plantctl.sandbox.dataplane.cluster.registry import Adopted, Registry
from plantctl.sandbox.dataplane.cluster.session import Row
from plantctl.sandbox.dataplane.cluster.transfer import Csv


@dataclass(frozen=True, kw_only=True)
class Description:
    """One instance as it is. `state`: RUNNING, STOPPED (on purpose) or DOWN (it ought to run). `version` as Cloud SQL
    writes it (POSTGRES_15_18). `ignored`: flags without effect here, each with the reason. `server_ca`: PEM.
    """

    name: str
    state: str
    port: int
    pid: int | None
    version: str
    source: str
    size_bytes: int
    server_ca: str
    ssl_mode: str
    flags: dict[str, str]
    ignored: dict[str, str]
    names: tuple[str, ...]
    high_availability: bool
    standby_pid: int | None


@dataclass(frozen=True, kw_only=True)
class Configured:
    """What `configure` did: flags in force, flags without effect here (with the reason), what made it restart."""

    applied: dict[str, str]
    ignored: dict[str, str]
    restarted_for: tuple[str, ...]


class PostgresPlane:
    """All PostgreSQL instances of one state directory `root`; `choice`: system, wheel, None for the best there is."""

    def __init__(self, root: Path, choice: str | None = None) -> None:
        self._all = Registry(root, choice)

    @property
    def base(self) -> Path:
        """Where all data lies: `root`, or a folder of its own that the servers' account can reach."""
        return self._all.world.base

    def version(self) -> str:
        """What a new instance would run, as Cloud SQL writes it (POSTGRES_15_18). Makes its template: a warm-up."""
        chosen = self._all.binaries()
        self._all.template(chosen)
        return chosen.label

    # -- life

    def create(
        self,
        name: str,
        *,
        flags: Mapping[str, str] | None = None,
        ssl_mode: str = "ENCRYPTED_ONLY",
        names: Sequence[str] = (),
        high_availability: bool = False,
    ) -> Description:
        """Makes and starts an instance, with WAL archiving, a first base backup and, if asked, a standby (about 0.6 s).

        `names`: IP addresses and DNS names that its certificate verifies for. Reasons: exists, invalid, disk-full.
        """
        with self._all.lock(name):
            chosen = self._all.binaries()
            instance = self._all.new(name, chosen, flags or {}, ssl_mode, names)
            with self._all.making(instance, high_availability=high_availability) as node:
                instance.copy(self._all.template(chosen).data, node)
            return self.describe(name)

    def clone(
        self,
        source: str,
        target: str,
        *,
        point_in_time: datetime | None = None,
        flags: Mapping[str, str] | None = None,
        ssl_mode: str | None = None,
        names: Sequence[str] = (),
        high_availability: bool = False,
    ) -> Description:
        """Makes `target` from `source` as it is now, or as of a wall-clock moment: all that was committed up to it.

        Flags and SSL mode are the source's where none are given. Reasons: not-found, exists, out-of-range, not-running.
        """
        with self._all.lock(source, target):
            origin = self._all.found(source)
            given = origin.record.flags if flags is None else flags
            instance = self._all.new(target, origin.binaries, given, ssl_mode or origin.record.ssl_mode, names)
            instance.record.collations = dict(origin.record.collations)
            with self._all.making(instance, high_availability=high_availability):
                recovery.fill_clone(origin, instance, point_in_time)
            return self.describe(target)

    def configure(
        self,
        name: str,
        *,
        flags: Mapping[str, str] | None = None,
        ssl_mode: str | None = None,
        high_availability: bool | None = None,
    ) -> Configured:
        """Sets the whole list of flags, the SSL mode and the standby; what is None stays. Restarts only when a changed
        setting needs it; when the server does not start so, the old configuration is put back. Reason: invalid.
        """
        with self._all.lock(name):
            instance = self._all.found(name)
            restarted = instance.reconfigure(flags, ssl_mode)
            if high_availability is not None:
                instance.record.high_availability = high_availability
                instance.save()
                if not high_availability:
                    standby.drop(instance)
                elif instance.primary.pid() is not None:
                    standby.ensure(instance)
            ignored = _ignored(instance)
            applied = {flag: value for flag, value in instance.record.flags.items() if flag not in ignored}
            return Configured(applied=applied, ignored=ignored, restarted_for=tuple(restarted))

    def start(self, name: str) -> Description:
        """Starts a stopped instance, on its old port where that is free."""
        with self._all.lock(name):
            instance = self._all.found(name)
            instance.record.wanted = "running"
            instance.start(f"start {name}")
            if instance.record.high_availability:
                standby.ensure(instance)
            return self.describe(name)

    def stop(self, name: str, mode: str = "fast") -> None:
        """Stops an instance on purpose; `mode` is PostgreSQL's: smart, fast, immediate (or kill)."""
        with self._all.lock(name):
            instance = self._all.found(name)
            instance.record.wanted = "stopped"
            instance.save()
            instance.stop(f"stop {name}", mode)

    def restart(self, name: str) -> Description:
        """Stops and starts an instance."""
        with self._all.lock(name):
            self._all.found(name).stop(f"restart {name}")
            return self.start(name)

    def delete(self, name: str, *, keep_backups: bool = False) -> None:
        """Removes an instance and its WAL archive, and its backups unless they are to be kept. Reason: not-found."""
        with self._all.lock(name):
            instance = self._all.found(name)
            instance.stop(f"delete {name}", "immediate")
            self._all.discard(instance)
            if not keep_backups:
                for backup in self.backups(name):
                    backups.delete(self._all.world, name, backup.id)

    def stop_all(self) -> None:
        """Stops every server of this state directory, whichever process started it; `adopt` starts them again.

        All are tried; DataPlaneError at the end when one could not be stopped.
        """
        self._all.stop_all()

    def clear(self) -> None:
        """Removes every instance and backup; what makes the next `create` quick stays."""
        for name in self.names():
            self.delete(name)
        shutil.rmtree(self._all.world.base / "backups", ignore_errors=True)
        self._all.world.account.folder(self._all.world.base / "backups")

    def purge(self) -> None:
        """Stops everything and removes all data of this state directory."""
        self.stop_all()
        shutil.rmtree(self.base, ignore_errors=True)

    def adopt(self) -> list[Adopted]:
        """Reconciles the disk with the process table after a start of the sandbox: servers that still run are kept,
        those that ought to run are started, half-made instances and backups are removed.
        """
        backups.sweep(self._all.world)
        return self._all.adopt()

    def failover(self, name: str) -> float:
        """Promotes the standby (made first where there is none) on the same port; returns the gap in seconds."""
        with self._all.lock(name):
            return standby.failover(self._all.found(name))

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
                state="RUNNING" if pid else "STOPPED" if record.wanted == "stopped" else "DOWN",
                port=record.port,
                pid=pid,
                version=instance.binaries.label,
                source=record.source,
                size_bytes=backups.size(instance.primary.data),
                server_ca=instance.certificate_authority().certificate,
                ssl_mode=record.ssl_mode,
                flags=dict(record.flags),
                ignored=_ignored(instance),
                names=tuple(record.names),
                high_availability=record.high_availability,
                standby_pid=instance.server(record.standby).pid() if record.standby else None,
            )

    def log(self, name: str, lines: int = 200) -> list[str]:
        """The last lines of the primary's log (at most 64 KiB)."""
        return self._all.found(name).primary.tail(lines)

    def sql(self, name: str, database: str, statement: str, *args: object) -> list[Row]:
        """Runs one statement as superuser, for the service's own needs; `$1` stands for the first of `args`."""
        return self._all.found(name).session(f"run SQL on {name}", database).rows(statement, *args)

    # -- certificates

    def add_names(self, name: str, names: Sequence[str]) -> None:
        """Adds IP addresses or DNS names to the server certificate; new connections see it at once."""
        with self._all.lock(name):
            instance = self._all.found(name)
            instance.certify([*instance.record.names, *names])
            if instance.primary.pid() is not None:
                instance.reload(f"renew the certificate of {name}")

    def client_certificate(self, name: str, common_name: str) -> pki.Pair:
        """A client certificate of the instance's CA with a new key, ten years (sql.sslCerts.insert)."""
        return pki.client(self._all.found(name).certificate_authority(), common_name)

    def sign_client_key(self, name: str, common_name: str, public_key: str, lifetime: timedelta) -> str:
        """A client certificate (PEM) for the caller's PEM public key (sql.connect.generateEphemeral)."""
        return pki.sign(self._all.found(name).certificate_authority(), common_name, public_key, lifetime)

    # -- databases and users

    def create_database(
        self, name: str, database: str, *, charset: str = "UTF8", collation: str = "en_US.UTF8"
    ) -> Database:
        """Creates a database owned by cloudsqlsuperuser; `served` tells when the collation had to be another one.

        Reasons: exists, invalid, not-running.
        """
        with self._all.lock(name):
            return catalog.create_database(self._all.found(name), database, charset, collation)

    def drop_database(self, name: str, database: str) -> None:
        """Drops a database. Reasons: not-found, in-use (a session is connected), invalid."""
        with self._all.lock(name):
            catalog.drop_database(self._all.found(name), database)

    def databases(self, name: str) -> list[Database]:
        """The databases that the API lists."""
        return catalog.databases(self._all.found(name))

    def create_user(
        self, name: str, user: str, *, password: str | None = None, roles: Sequence[str] | None = None
    ) -> User:
        """Creates a login: with `roles` None a member of cloudsqlsuperuser with CREATEDB and CREATEROLE, else of these
        roles only. Reasons: exists, not-found (a role), invalid (a reserved name), not-running.
        """
        with self._all.lock(name):
            return catalog.create_user(self._all.found(name), user, password, roles)

    def update_user(
        self,
        name: str,
        user: str,
        *,
        password: str | None = None,
        roles: Sequence[str] | None = None,
        revoke_existing: bool = False,
    ) -> User:
        """Changes a password and/or grants roles, after taking the others away with `revoke_existing`."""
        with self._all.lock(name):
            instance = self._all.found(name)
            return catalog.update_user(instance, user, password, roles, revoke_existing=revoke_existing)

    def delete_user(self, name: str, user: str) -> None:
        """Drops a role. Reasons: not-found, in-use (it owns objects)."""
        with self._all.lock(name):
            catalog.delete_user(self._all.found(name), user)

    def users(self, name: str) -> list[User]:
        """The logins that the API lists."""
        return catalog.users(self._all.found(name))

    # -- backups and recovery

    def backup(self, name: str, backup_id: str) -> Backup:
        """Takes a base backup. Reasons: exists, not-running, invalid, disk-full."""
        with self._all.lock(name):
            return backups.take(self._all.found(name), backup_id)

    def backups(self, name: str) -> list[Backup]:
        """The backups of an instance name, oldest first; also those kept after its deletion."""
        return [one for one in backups.everything(self._all.world, name) if not one.anchor]

    def delete_backup(self, name: str, backup_id: str) -> None:
        """Removes one backup. Reason: not-found."""
        with self._all.lock(name):
            backups.delete(self._all.world, name, backup_id)

    def restore(self, name: str, backup_id: str, *, source: str | None = None) -> None:
        """Replaces all data of an instance by a backup of it, or of `source`; port, flags and certificates stay."""
        with self._all.lock(name):
            instance = self._all.found(name)
            origin = source or name
            recovery.restore(instance, backups.find(self._all.world, origin, backup_id))
            if instance.record.high_availability:
                standby.ensure(instance)

    def recovery_window(self, name: str) -> tuple[datetime | None, datetime]:
        """The earliest (None: there is no base backup) and the latest moment that `clone` takes; wall time, UTC."""
        return recovery.window(self._all.found(name))

    def trim(self, name: str, before: datetime) -> None:
        """Forgets the WAL that only moments before `before` need; backups stay."""
        with self._all.lock(name):
            recovery.trim(self._all.found(name), before)

    # -- export and import

    def export_sql(
        self, name: str, database: str, target: Path, *, tables: Sequence[str] = (), schema_only: bool = False
    ) -> int:
        """Writes a plain SQL dump without owners to `target`; returns its bytes."""
        return transfer.export_sql(self._all.found(name), database, target, tables, schema_only=schema_only)

    def export_csv(self, name: str, database: str, query: str, target: Path, csv: Csv | None = None) -> int:
        """Writes the rows of a query as CSV without a header to `target`; returns its bytes."""
        return transfer.export_csv(self._all.found(name), database, query, target, csv or Csv())

    def import_sql(self, name: str, database: str, source: Path, *, user: str | None = None) -> None:
        """Runs a plain SQL dump as `user` (default cloudsqlsuperuser); stops at the first error."""
        transfer.import_sql(self._all.found(name), database, source, user)

    def import_csv(
        self, name: str, database: str, source: Path, table: str, columns: Sequence[str] = (), csv: Csv | None = None
    ) -> None:
        """Adds the rows of a CSV file to a table; all or none."""
        transfer.import_csv(self._all.found(name), database, source, table, columns, csv or Csv())


def _ignored(instance: Instance) -> dict[str, str]:
    return flags.sort(instance.record.flags, instance.known).ignored
