"""The streaming standby of a highly available instance, and the failover to it. Clients keep their port.

Nothing acknowledged is lost: an orderly stop sends the standby all WAL, and for a primary that died its last WAL
files are still on disk, as they are on Cloud SQL's regional disk (docs: "High availability").
"""

import re
import time

from plantctl.sandbox.dataplane.cluster import backups, configuration
from plantctl.sandbox.dataplane.cluster.instance import Instance
from plantctl.sandbox.dataplane.cluster.template import free_port
from plantctl.sandbox.dataplane.command import run
from plantctl.sandbox.dataplane.error import DataPlaneError

STREAMING_S = 20.0
SEGMENT = re.compile(r"[0-9A-F]{24}")


def ensure(instance: Instance) -> None:
    """Makes sure a standby streams from the running primary: keeps it, restarts it, or builds it anew (about 0.5 s)."""
    what = f"keep a standby of {instance.name}"
    if instance.record.standby is not None:
        try:
            _follow(instance, what)
            return
        except DataPlaneError:
            drop(instance)
    node = instance.new_node()
    try:
        backups.base_backup(instance, instance.node(node) / "data", what)
        instance.record.standby = node
        instance.save()
        _follow(instance, what)
    except DataPlaneError:
        instance.record.standby = None
        instance.save()
        instance.drop_node(node)
        raise


def drop(instance: Instance) -> None:
    """Stops and removes the standby, if there is one."""
    node = instance.record.standby
    if node is not None:
        instance.record.standby = None
        instance.record.standby_port = None
        instance.save()
        instance.drop_node(node)


def failover(instance: Instance) -> float:
    """Promotes the standby on the primary's port and builds a new one; returns the gap in seconds, as clients saw it.

    A standby is made first where there is none; DataPlaneError (not-running) when the primary is down, so that
    none can be made.
    """
    what = f"fail over {instance.name}"
    record = instance.record
    alive = instance.primary.pid() is not None
    if alive:
        ensure(instance)
    node, old = record.standby, record.node
    if node is None:
        raise DataPlaneError(what, "the primary is down and there is no standby", reason="not-running")
    began = time.monotonic()
    instance.stop(what)
    if not alive:
        _rescue_wal(instance, what)
    (instance.node(node) / "data/standby.signal").unlink(missing_ok=True)
    instance.recover(node, configuration.recovery(instance.archive))
    record.node, record.standby, record.standby_port = node, None, None
    instance.save()
    try:
        instance.start(what)
    except DataPlaneError:
        record.node = old
        instance.save()
        instance.drop_node(node)
        instance.start(what)
        raise
    gap = time.monotonic() - began
    instance.drop_node(old)
    if record.high_availability:
        ensure(instance)
    return gap


def _follow(instance: Instance, what: str) -> None:
    record, account = instance.record, instance.world.account
    node = record.standby
    assert node is not None
    server = instance.server(node)
    text = configuration.following(instance.archive, port=record.port, passfile=instance.world.base / "pgpass")
    file = instance.node(node) / "recovery.conf"
    if server.pid() is not None and (not file.exists() or file.read_text(encoding="utf-8") != text):
        server.stop(what)
    if server.pid() is None:
        record.standby_port = free_port()
        instance.save()
        instance.write_configuration(node, record.standby_port)
        account.write(file, text)
        account.write(instance.node(node) / "data/standby.signal", "")
        server.start(what, wait=False)
    session = instance.session(what)
    deadline = time.monotonic() + STREAMING_S
    while not session.rows("SELECT 1 AS yes FROM pg_stat_replication WHERE state = 'streaming'"):
        if time.monotonic() > deadline or server.pid() is None:
            raise DataPlaneError(what, "it does not stream", log=server.tail())
        time.sleep(0.03)


def _rescue_wal(instance: Instance, what: str) -> None:
    """Copies what the dead primary wrote and did not archive to where the standby looks for it."""
    for file in sorted((instance.primary.data / "pg_wal").iterdir()):
        target = instance.archive / file.name
        if SEGMENT.fullmatch(file.name) and not target.exists():
            argv = ["cp", str(file), str(target)]
            run(instance.world.account, argv, what=what, cwd=instance.folder, timeout_s=60)
