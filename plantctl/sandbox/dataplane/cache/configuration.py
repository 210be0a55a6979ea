"""redis.conf of one node, the access rules of an instance's clients, and what of `redisConfigs` has an effect here."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plantctl.sandbox.dataplane.cache.record import Wish

ADMIN = "sandbox"
DEFAULTS = {
    "maxmemory-policy": "volatile-lru",
    "notify-keyspace-events": "",
    "databases": "16",
    "lfu-decay-time": "1",
    "lfu-log-factor": "10",
    "stream-node-max-bytes": "4096",
    "stream-node-max-entries": "100",
    "lazyfree-lazy-eviction": "no",
    "lazyfree-lazy-expire": "no",
    "lazyfree-lazy-user-del": "no",
    "lazyfree-lazy-user-flush": "no",
}
"""Memorystore's, where nothing is asked for (supported Redis configurations page)."""
RESTARTS = frozenset({"databases"})
"""A server reads these at its start alone."""
WITHOUT_EFFECT = {"activedefrag": "needs a server that was built with Redis's own jemalloc"}

# Product constraints page, "Blocked Redis commands". CLIENT is there too and stays open here: see docs/sandbox.md
BLOCKED = (
    *("acl", "bgrewriteaof", "bgsave", "cluster", "command", "config", "debug", "lastsave", "migrate", "monitor"),
    *("object", "shutdown", "replicaof", "save"),
)
# not on the page, and of no use to a client of a managed server (unverified)
INTERNAL = ("failover", "module", "psync", "replconf", "slaveof", "sync")


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where a node listens: `plain` always, `tls` only where the server has TLS itself (0: nowhere)."""

    plain: int
    tls: int = 0


def settings(wish: Wish) -> dict[str, str]:
    """Redis's own settings for a wish; every one but RESTARTS can be set while the server runs."""
    limit = float(wish.configs.get("maxmemory-gb", wish.memory_gb))
    known = {k: v for k, v in wish.configs.items() if k != "maxmemory-gb" and k not in WITHOUT_EFFECT}
    return {**DEFAULTS, **known, "maxmemory": str(int(limit * 1024**3))}


def ignored(configs: Mapping[str, str]) -> dict[str, str]:
    """What of the configuration has no effect here, with the reason."""
    return {key: reason for key, reason in WITHOUT_EFFECT.items() if key in configs}


def client_rules(auth: str) -> list[str]:
    """ACL rules of the user that every client is."""
    door = ["resetpass", f"#{_digest(auth)}"] if auth else ["nopass"]
    return ["on", *door, "~*", "&*", "+@all", *(f"-{name}" for name in (*BLOCKED, *INTERNAL))]


def text(*, node: Path, certificates: Path, ports: Ports, wish: Wish, password: str) -> str:
    """The file of a node that is to be a primary; `password` is the sandbox's own on every node."""
    lines = {
        "bind": "127.0.0.1",
        "port": str(ports.plain),
        "protected-mode": "no",
        "daemonize": "no",
        "dir": f'"{node}"',
        "pidfile": f'"{node}/pid"',
        "logfile": '""',
        "set-proc-title": "no",  # the command line names the node's folder, by which its process is known
        "save": '""',
        "shutdown-on-sigterm": "save",
        "appendonly": "no",
        "repl-diskless-sync": "yes",
        "repl-diskless-sync-delay": "0",  # sandbox section 5: the default of 5 s is all the time a replica takes
        "repl-ping-replica-period": "1",
        "repl-backlog-size": "32mb",
        "client-output-buffer-limit": "replica 256mb 128mb 60",
        "masteruser": ADMIN,
        "masterauth": password,
        **{key: value or '""' for key, value in settings(wish).items()},
    }
    if ports.tls:
        lines |= {
            "tls-port": str(ports.tls),
            "tls-cert-file": f'"{certificates}/server.crt"',
            "tls-key-file": f'"{certificates}/server.key"',
            "tls-ca-cert-file": f'"{certificates}/ca.crt"',
            "tls-auth-clients": "no",
            "tls-protocols": '"TLSv1.2 TLSv1.3"',  # gcp-foundation section 3: TLS from 1.2 on
        }
    users = [f"user default {' '.join(client_rules(wish.auth))}"]
    users.append(f"user {ADMIN} on resetpass #{_digest(password)} ~* &* +@all")
    return "\n".join([*(f"{key} {value}" for key, value in lines.items()), *users]) + "\n"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
