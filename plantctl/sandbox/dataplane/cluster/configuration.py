"""The text of postgresql.conf, pg_hba.conf and the recovery part, as pure functions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from plantctl.sandbox.dataplane.cluster.session import ADMIN
from plantctl.sandbox.dataplane.error import DataPlaneError

SSL_MODES = {
    "ALLOW_UNENCRYPTED_AND_ENCRYPTED": "host all all all scram-sha-256",
    "ENCRYPTED_ONLY": "hostssl all all all scram-sha-256",
    "TRUSTED_CLIENT_CERTIFICATE_REQUIRED": "hostssl all all all scram-sha-256 clientcert=verify-ca",
}
ARCHIVE_TIMEOUT_S = 60
BASE: dict[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may have 107 bytes only, and ours follow the state directory
    # A killed process loses nothing that way: the kernel holds what was written. Only a crash of the machine could,
    # and then the sandbox is gone with it.
    "fsync": "off",
    "password_encryption": "scram-sha-256",
    "shared_preload_libraries": "pg_stat_statements",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "wal_keep_size": "32MB",
    "min_wal_size": "8MB",
    "max_wal_size": "512MB",
    "wal_retrieve_retry_interval": "100ms",  # a standby is back at once after its primary's restart, not in 5 s
    # files in the data directory, not in /dev/shm, where those of a killed server would stay for ever
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "32MB",  # several instances and their standbys share a laptop
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p]: [%l-1] db=%d,user=%u ",  # Cloud SQL's own
    "default_text_search_config": "pg_catalog.english",
}


def postgresql(
    *, node: Path, instance: Path, archive: Path, port: int, cluster_name: str, settings: Mapping[str, str]
) -> str:
    """postgresql.conf of one node; `settings` (checked flags) win over our defaults, never over what we rest on."""
    ours = {
        "port": str(port),
        "hba_file": str(instance / "pg_hba.conf"),
        "ident_file": str(instance / "pg_ident.conf"),
        "cluster_name": cluster_name[:63],
        "ssl": "on",
        "ssl_cert_file": str(instance / "server.crt"),
        "ssl_key_file": str(instance / "server.key"),
        "ssl_ca_file": str(instance / "ca.crt"),
        "ssl_min_protocol_version": "TLSv1.2",
        "archive_mode": "on",
        "archive_command": archive_command(archive),
        "archive_timeout": f"{ARCHIVE_TIMEOUT_S}s",
    }
    lines = [f"{name} = {quoted(value)}" for name, value in {**BASE, **ours, **settings}.items()]
    return "\n".join([*lines, f"include_if_exists = {quoted(str(node / 'recovery.conf'))}", ""])


def access(ssl_mode: str) -> str:
    """pg_hba.conf for one of Cloud SQL's sslMode values; DataPlaneError (invalid) for another word."""
    if ssl_mode not in SSL_MODES:
        raise DataPlaneError("set the SSL mode", f"{ssl_mode!r} is none of {', '.join(SSL_MODES)}", reason="invalid")
    lines = [
        f"hostnossl all {ADMIN} 127.0.0.1/32 scram-sha-256",
        f"hostnossl replication {ADMIN} 127.0.0.1/32 scram-sha-256",
        f"host {ADMIN} all all reject",  # customers see Google's own database and may not enter it
        SSL_MODES[ssl_mode],
    ]
    return "\n".join([*lines, ""])


def archive_command(archive: Path) -> str:
    """Copies a finished WAL file to `archive`, under its name only when complete; a second time is no error."""
    target = shell(str(archive)) + "/%f"
    return f"test -f {target} || (cp %p {target}.part && mv {target}.part {target})"


def restore_command(archive: Path) -> str:
    """Fetches a WAL file from `archive`."""
    return f"cp {shell(str(archive))}/%f %p"


def recovery(archive: Path | None, *, until: datetime | None = None, immediate: bool = False) -> str:
    """The recovery part for a copy of a base backup that is to become a primary of its own.

    With `immediate` it ends where the backup is consistent, with `until` after the last commit at or before that
    moment (PostgreSQL's default, inclusive), else at the end of the archived WAL.
    """
    settings = {
        # `false`: nothing beyond what the backup brought along in pg_wal
        "restore_command": "false" if archive is None else restore_command(archive),
        "hot_standby": "off",  # nobody gets in before the recovery is over
        "recovery_target_action": "promote",
    }
    if immediate:
        settings["recovery_target"] = "immediate"
    if until is not None:
        settings["recovery_target_time"] = until.astimezone(UTC).isoformat()
    return "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())


def following(archive: Path, *, port: int, passfile: Path) -> str:
    """The recovery part of a streaming standby of the primary on `port`."""
    primary = f"host=127.0.0.1 port={port} user={ADMIN} sslmode=disable passfile={_conninfo(str(passfile))}"
    settings = {
        "primary_conninfo": primary,
        "restore_command": restore_command(archive),
        # with it off, a standby takes any max_connections, whatever its primary has
        "hot_standby": "off",
    }
    return "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())


def quoted(value: str) -> str:
    """A value for postgresql.conf."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def shell(path: str) -> str:
    """A path for archive_command: quoted for the shell, and percent signs doubled."""
    return "'" + path.replace("'", "'\\''").replace("%", "%%") + "'"


def _conninfo(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
