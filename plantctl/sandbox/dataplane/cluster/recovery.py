"""Restore from a base backup, and clone to a point in time. Each begins a new epoch, with a WAL archive of its own.

Within an epoch history never forks, so that the newest base backup before a moment and the epoch's archive are enough.
"""

import secrets
import shutil
import time
from datetime import UTC, datetime

from plantctl.sandbox.dataplane.cluster import backups, configuration
from plantctl.sandbox.dataplane.cluster.backups import Backup
from plantctl.sandbox.dataplane.cluster.instance import Instance, now
from plantctl.sandbox.dataplane.cluster.record import Epoch
from plantctl.sandbox.dataplane.command import run
from plantctl.sandbox.dataplane.error import DataPlaneError

ARCHIVING_S = 20.0


def anchor(instance: Instance) -> Backup:
    """Takes the base backup with which an epoch's point-in-time recovery begins."""
    return backups.take(instance, f"anchor-{instance.record.epoch.name}", anchor=True)


def restore(instance: Instance, backup: Backup) -> None:
    """Replaces the instance's data by a backup's; port, flags, certificates and access rules stay.

    When the restored data does not start, the old data is put back and started, and DataPlaneError tells why.
    """
    what = f"restore {instance.name} from {backup.id}"
    if backup.major != instance.record.major:
        cause = f"the backup is of PostgreSQL {backup.major}, the instance is {instance.record.major}"
        raise DataPlaneError(what, cause, reason="invalid")
    record = instance.record
    node = instance.new_node()
    try:
        instance.copy(backups.folder_of(instance.world, backup.instance, backup.id) / "data", node)
        instance.recover(node, configuration.recovery(None, immediate=True))
    except DataPlaneError:
        instance.drop_node(node)
        raise
    instance.stop(what)
    old, epoch = record.node, Epoch(name=secrets.token_hex(4), started=now())
    record.epoch.ended = epoch.started
    record.epochs.append(epoch)
    record.node = node
    instance.begin_epoch(epoch)
    instance.save()
    try:
        instance.start(what)
    except DataPlaneError:
        record.epochs.pop()
        record.epoch.ended = None
        record.node = old
        instance.save()
        instance.drop_node(node)
        instance.start(what)
        raise
    instance.drop_node(old)
    anchor(instance)


def fill_clone(source: Instance, target: Instance, point: datetime | None) -> None:
    """Puts the source's data, as of now or as of `point`, into the target's first node, and tells it to recover."""
    what = f"clone {source.name} to {target.name}"
    node = target.record.node
    if point is None:
        if source.primary.pid() is None:
            raise DataPlaneError(what, f"{source.name} is not running", reason="not-running")
        backups.base_backup(source, target.node(node) / "data", what)
        target.recover(node, configuration.recovery(None, immediate=True))
        return
    base = _base_for(source, point.astimezone(UTC), what)
    if base.epoch == source.record.epoch.name and source.primary.pid() is not None:
        archive_now(source, what)
    target.copy(backups.folder_of(source.world, base.instance, base.id) / "data", node)
    target.recover(node, configuration.recovery(source.archive_of(base.epoch), until=point))


def window(instance: Instance) -> tuple[datetime | None, datetime]:
    """The earliest and the latest moment that a clone can be asked for (wall time, UTC); no earliest without a base."""
    earliest = min((base.moment for base in bases(instance)), default=None)
    if instance.primary.pid() is not None:
        return earliest, datetime.now(UTC)
    if instance.record.stopped is not None:
        return earliest, datetime.fromisoformat(instance.record.stopped)
    archived = [file.stat().st_mtime for file in instance.archive.iterdir()]
    return earliest, datetime.fromtimestamp(max(archived, default=0.0), UTC)


def archive_now(instance: Instance, what: str) -> None:
    """Brings everything committed so far into the WAL archive, and one commit more: recovery ends before that one."""
    session = instance.session(what)
    session.rows("SELECT pg_current_xact_id()")
    file = session.rows("SELECT pg_walfile_name(pg_switch_wal()) AS name")[0]["name"]
    deadline = time.monotonic() + ARCHIVING_S
    while not (instance.archive / file).exists():
        if time.monotonic() > deadline:
            state = session.rows("SELECT last_failed_wal, last_failed_time FROM pg_stat_archiver")
            raise DataPlaneError(what, f"WAL file {file} was not archived: {state}", reason="timeout")
        time.sleep(0.02)


def trim(instance: Instance, before: datetime) -> None:
    """Forgets the WAL that only moments before `before` need (transactionLogRetentionDays); backups by id stay."""
    record, limit = instance.record, before.astimezone(UTC)
    known = bases(instance)
    keep = max((base for base in known if base.moment <= limit), key=lambda base: base.moment, default=None)
    for epoch in [one for one in record.epochs if one.ended is not None and datetime.fromisoformat(one.ended) < limit]:
        record.epochs.remove(epoch)
        shutil.rmtree(instance.archive_of(epoch.name), ignore_errors=True)
    instance.save()
    living = {epoch.name for epoch in record.epochs}
    for base in known:
        if base.anchor and (base.epoch not in living or (keep is not None and base.moment < keep.moment)):
            backups.delete(instance.world, instance.name, base.id)
    if keep is not None and keep.epoch in living:
        _clean_archive(instance, keep)


def _clean_archive(instance: Instance, base: Backup) -> None:
    label = backups.folder_of(instance.world, base.instance, base.id) / "data/backup_label"
    first = label.read_text(encoding="utf-8").split("(file ", 1)[1].split(")", 1)[0]
    argv = [instance.binaries.tool("pg_archivecleanup"), str(instance.archive_of(base.epoch)), first]
    what = f"trim the WAL archive of {instance.name}"
    run(instance.world.account, argv, what=what, cwd=instance.folder, timeout_s=60)


def bases(instance: Instance) -> list[Backup]:
    """The base backups that a clone can begin with, oldest first: those of this instance's remembered epochs."""
    epochs = {epoch.name for epoch in instance.record.epochs}
    return [backup for backup in backups.everything(instance.world, instance.name) if backup.epoch in epochs]


def _base_for(source: Instance, point: datetime, what: str) -> Backup:
    earliest, latest = window(source)
    words = f"{point.isoformat()} is outside {earliest and earliest.isoformat()} to {latest.isoformat()}"
    if earliest is None or point < earliest or point > latest:
        raise DataPlaneError(what, words, reason="out-of-range")
    epoch = next((one for one in reversed(source.record.epochs) if datetime.fromisoformat(one.started) <= point), None)
    fits = [base for base in bases(source) if epoch and base.epoch == epoch.name and base.moment <= point]
    if epoch is None or not fits:
        cause = f"{point.isoformat()} lies between a restore and the first backup after it"
        raise DataPlaneError(what, cause, reason="out-of-range")
    return fits[-1]
