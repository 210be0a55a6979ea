"""The replica of a highly available instance, and the failover to it. Clients keep their port."""

import time
from typing import Any

from plantctl.sandbox.dataplane.cache.instance import Instance
from plantctl.sandbox.dataplane.cluster.instance import port_is_free
from plantctl.sandbox.dataplane.error import DataPlaneError

IN_SYNC_S = 30.0
CATCH_UP_S = 5.0
LIMIT_BYTES = 30 * 1024 * 1024
"""limited-data-loss is refused from this delta on (manual failover page)."""


def ensure(instance: Instance) -> None:
    """Makes sure a replica follows the running primary: keeps it, or builds it anew."""
    what = f"keep a replica of {instance.name}"
    record = instance.record
    if record.replica is not None:
        if _follows(instance):
            record.read_port = instance.open_door(record.read_port, record.replica_port)
            return
        drop(instance)
    node = instance.new_node()
    try:
        record.read_port = instance.client_port(record.read_port)
        ports = instance.ports(record.read_port)
        instance.configure_node(node, ports, following=record.node_port)
        record.replica, record.replica_port = node, ports.plain
        instance.save()
        instance.server(node).start(what, ports.plain)
        _await_sync(instance, what)
    except DataPlaneError:
        drop(instance)
        raise
    record.read_port = instance.open_door(record.read_port, record.replica_port)
    instance.save()


def drop(instance: Instance) -> None:
    """Ends and removes the replica, if there is one."""
    node = instance.record.replica
    if node is not None:
        instance.record.replica, instance.record.replica_port = None, 0
        instance.save()
        instance.drop_node(node)


def failover(instance: Instance, *, force: bool) -> float:
    """Promotes the replica on the clients' port and builds a new one; gives the gap in seconds, as clients saw it.

    Without `force` it is refused (out-of-range) when the replica is LIMIT_BYTES behind, else the primary takes no
    more writes until the replica has them all. With `force` what the replica has not yet is lost.
    """
    what = f"fail over {instance.name}"
    record = instance.record
    node, old = record.replica, record.node
    if node is None or instance.server(node).pid() is None:
        raise DataPlaneError(what, "there is no replica that runs", reason="not-running")
    if not force:
        behind = lag(instance)
        if behind >= LIMIT_BYTES:
            cause = f"the replica is {behind} bytes behind the primary"
            raise DataPlaneError(what, cause, reason="out-of-range")
    began = time.monotonic()
    if not force:
        _hand_over(instance, what)
    instance.server(old).stop(what, keep=False)
    with instance.server(node).link(record.replica_port, what) as link:
        link.execute_command("REPLICAOF", "NO", "ONE")
        _take_port(instance, link)
    record.node, record.node_port = node, record.replica_port if record.tls else record.port
    record.replica, record.replica_port, record.index = None, 0, 1 - record.index
    record.clean = False
    instance.save()
    record.port = instance.open_door(record.port, record.node_port)
    gap = time.monotonic() - began
    instance.drop_node(old)
    ensure(instance)
    return gap


def lag(instance: Instance) -> int:
    """By how many bytes of the replication stream the replica is behind, as the primary knows it."""
    with instance.link(f"look at {instance.name}") as link:
        found = link.info("replication")
    replica = found.get("slave0")
    return int(found["master_repl_offset"]) - int(replica["offset"]) if replica else int(found["master_repl_offset"])


def _take_port(instance: Instance, link: Any) -> None:
    record = instance.record
    if instance.tunnelled:
        return
    key = "tls-port" if record.tls else "port"
    deadline = time.monotonic() + CATCH_UP_S
    while not port_is_free(record.port) and time.monotonic() < deadline:
        time.sleep(0.002)
    link.execute_command("CONFIG", "SET", key, str(record.port))


def _hand_over(instance: Instance, what: str) -> None:
    """The primary takes no more writes; wait, not for long, until the replica has what it took."""
    assert instance.record.replica is not None
    replica = instance.server(instance.record.replica)
    with instance.link(what) as link:
        link.execute_command("CLIENT", "PAUSE", str(int(CATCH_UP_S * 2000)), "WRITE")
        wanted = int(link.info("replication")["master_repl_offset"])
        deadline = time.monotonic() + CATCH_UP_S
        try:
            with replica.link(instance.record.replica_port, what) as other:
                while int(other.info("replication")["slave_repl_offset"]) < wanted and time.monotonic() < deadline:
                    time.sleep(0.002)
        except DataPlaneError:
            link.execute_command("CLIENT", "UNPAUSE")
            raise


def _follows(instance: Instance) -> bool:
    record = instance.record
    assert record.replica is not None
    server = instance.server(record.replica)
    if not server.answers(record.replica_port):
        return False
    with server.link(record.replica_port, f"look at {instance.name}") as link:
        found = link.info("replication")
    return bool(found["role"] == "slave" and int(found["master_port"]) == record.node_port)


def _await_sync(instance: Instance, what: str) -> None:
    """Returns when the replica has loaded the data (its link is up) and gets what is written (it is online)."""
    record = instance.record
    assert record.replica is not None
    server = instance.server(record.replica)
    deadline = time.monotonic() + IN_SYNC_S
    with instance.link(what) as primary, server.link(record.replica_port, what) as replica:
        while not _in_sync(primary.info("replication"), replica.info("replication")):
            if time.monotonic() > deadline or server.pid() is None:
                raise DataPlaneError(what, "it does not follow", reason="timeout", log=server.tail())
            time.sleep(0.01)


def _in_sync(primary: dict[str, Any], replica: dict[str, Any]) -> bool:
    online = (primary.get("slave0") or {}).get("state") == "online"
    return online and replica.get("master_link_status") == "up"
