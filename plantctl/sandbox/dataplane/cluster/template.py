"""The cluster that every new instance is a copy of: initdb once per version, with Google's roles and databases in it.

Copies share its system identifier; nothing here compares those across instances.
"""

import json
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.binaries import Binaries
from plantctl.sandbox.dataplane.cluster import configuration
from plantctl.sandbox.dataplane.cluster.server import Server
from plantctl.sandbox.dataplane.cluster.session import ADMIN, Session
from plantctl.sandbox.dataplane.command import run
from plantctl.sandbox.dataplane.error import DataPlaneError

SUPERUSER = "cloudsqlsuperuser"
IMPORT_EXPORT = "cloudsqlimportexport"
# attributes and memberships as \du shows them on Cloud SQL (docs: "About PostgreSQL users and roles")
ROLES = (
    f"CREATE ROLE {SUPERUSER} CREATEDB CREATEROLE LOGIN",
    f"GRANT pg_monitor, pg_signal_backend TO {SUPERUSER}",
    f"CREATE ROLE {IMPORT_EXPORT} CREATEDB CREATEROLE",
    f"GRANT pg_read_all_data, pg_write_all_data, {SUPERUSER} TO {IMPORT_EXPORT}",
    "CREATE ROLE cloudsqlagent CREATEDB CREATEROLE",
    "CREATE ROLE cloudsqlreplica REPLICATION",
    "CREATE ROLE cloudsqliamuser",
    "CREATE ROLE cloudsqliamserviceaccount",
    "CREATE ROLE postgres CREATEDB CREATEROLE LOGIN",
    f"GRANT {SUPERUSER} TO postgres",
    f"ALTER DATABASE postgres OWNER TO {SUPERUSER}",
    f"CREATE DATABASE {ADMIN} OWNER {ADMIN}",
)
# the API's name is en_US.UTF8; where the machine lacks that locale, one that is UTF-8 all the same, else bytes
LOCALES = ("en_US.UTF-8", "C.UTF-8", "C")
CATALOG = "SELECT name, context, vartype, enumvals, min_val, max_val FROM pg_settings"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A stopped cluster to copy (`data`), and what `pg_settings` of its version says."""

    data: Path
    settings: dict[str, dict[str, Any]]


def password(base: Path, account: Account) -> str:
    """The superuser's random password, one for all instances, so that clones and restores keep it; made once."""
    path = base / "pgpass"
    if not path.exists():
        account.write(path, f"*:*:*:{ADMIN}:{secrets.token_urlsafe(24)}\n")
    return path.read_text(encoding="utf-8").strip().rsplit(":", 1)[1]


def prepare(base: Path, binaries: Binaries, account: Account) -> Template:
    """The template for these binaries, made when it is not there yet (about 0.7 s)."""
    folder = base / f"template-{binaries.version}"
    if not (folder / "settings.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        account.folder(folder)
        try:
            _initdb(base, folder, binaries, account)
            catalog = _bootstrap(base, folder, binaries, account)
        except DataPlaneError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        account.write(folder / "settings.json", json.dumps(catalog))
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return Template(data=folder / "data", settings=settings)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _initdb(base: Path, folder: Path, binaries: Binaries, account: Account) -> None:
    account.write(folder / "pw", password(base, account))
    argv = [binaries.tool("initdb"), "-D", str(folder / "data"), "-U", ADMIN, "-E", "UTF8", "-A", "scram-sha-256"]
    # WAL files of 1 MB, where the default is 16: archives and backups stay small, and a copy is made in 50 ms
    argv += ["--pwfile", str(folder / "pw"), "--data-checksums", "--wal-segsize=1", "--no-sync", "--no-instructions"]
    for locale in LOCALES:
        try:
            run(account, [*argv, f"--locale={locale}"], what="run initdb", cwd=folder, timeout_s=60)
            break
        except DataPlaneError as error:
            if locale == LOCALES[-1] or "invalid locale name" not in str(error):
                raise
    (folder / "pw").unlink()


def _bootstrap(base: Path, folder: Path, binaries: Binaries, account: Account) -> dict[str, Any]:
    port = free_port()
    settings = {**configuration.BASE, "port": str(port)}
    lines = [f"{name} = {configuration.quoted(value)}" for name, value in settings.items()]
    account.write(folder / "postgresql.conf", "\n".join([*lines, ""]))
    account.write(folder / "data/pg_hba.conf", configuration.access("ALLOW_UNENCRYPTED_AND_ENCRYPTED"))
    what = "prepare the template cluster"
    server = Server(folder, binaries.tool("postgres"), account)
    server.start(what)
    try:
        session = Session(port=port, password=password(base, account), what=what)
        session.execute(*ROLES)
        admin = Session(port=port, password=password(base, account), what=what, database=ADMIN)
        admin.execute("CREATE EXTENSION pg_stat_statements")
        return {row.pop("name"): row for row in session.rows(CATALOG)}
    finally:
        server.stop(what)
