"""The PostgreSQL plane as a customer sees it: TLS, access, databases, users, flags, transfer. On both distributions."""

import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from plantctl.sandbox.dataplane import accounts, binaries
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.postgres import PostgresPlane
from tests.sandbox.dataplane.client import context, query, state_folder

pytestmark = pytest.mark.dataplane
NAME = "plant:main"
SECRET = "pä ss'w\"ord"


@pytest.fixture(scope="module", params=["system", "wheel"])
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresPlane]:
    if request.param == "system" and binaries.system(accounts.Account.current()) is None:
        pytest.skip("no PostgreSQL 15 of the system here")
    plane = PostgresPlane(state_folder(tmp_path_factory), request.param)
    try:
        plane.create(NAME, names=["10.20.0.3", "main.plant.sql.goog"])
        plane.create_user(NAME, "owner", password=SECRET)
        yield plane
    finally:
        plane.purge()


def test_tls_verifies_the_ca_and_the_name(plane: PostgresPlane) -> None:
    described = plane.describe(NAME)
    look = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert query(described, "owner", SECRET, look) == [(True, "TLSv1.3")]
    strange = ssl.create_default_context(cadata=plane.client_certificate(NAME, "someone").certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        query(described, "owner", SECRET, look, tls=strange)
    names = _served_names(described.port, context(described))
    assert {"10.20.0.3", "127.0.0.1", "localhost", "main.plant.sql.goog"} <= names
    ca = x509.load_pem_x509_certificate(described.server_ca.encode())
    assert "CN=Google Cloud SQL Server CA" in ca.subject.rfc4514_string()


def test_a_name_can_be_added(plane: PostgresPlane) -> None:
    described = plane.describe(NAME)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for '127\.9\.9\.9'"):
        _served_names(described.port, context(described), name="127.9.9.9")
    plane.add_names(NAME, ["127.9.9.9"])
    assert {"127.9.9.9", "10.20.0.3"} <= _served_names(described.port, context(described), name="127.9.9.9")


def test_plaintext_a_wrong_password_and_the_servers_own_database_are_refused(plane: PostgresPlane) -> None:
    described = plane.describe(NAME)
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no encryption"):
        query(described, "owner", SECRET, "SELECT 1", tls=False)
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(described, "owner", SECRET + "x", "SELECT 1")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="rejects"):
        query(described, "owner", SECRET, "SELECT 1", database="cloudsqladmin")


def test_ssl_modes(plane: PostgresPlane) -> None:
    described = plane.describe(NAME)
    pid = described.pid
    try:
        plane.configure(NAME, ssl_mode="ALLOW_UNENCRYPTED_AND_ENCRYPTED")
        assert query(described, "owner", SECRET, "SELECT 1", tls=False) == [(1,)]
        plane.configure(NAME, ssl_mode="TRUSTED_CLIENT_CERTIFICATE_REQUIRED")
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="certificate"):
            query(described, "owner", SECRET, "SELECT 1")
        pair = plane.client_certificate(NAME, "operator")
        trusted = context(described)
        file = plane.base / "client.pem"
        file.write_text(pair.certificate + pair.key)
        trusted.load_cert_chain(file)
        assert query(described, "owner", SECRET, "SELECT 1", tls=trusted) == [(1,)]
    finally:
        plane.configure(NAME, ssl_mode="ENCRYPTED_ONLY")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no encryption"):
        query(described, "owner", SECRET, "SELECT 1", tls=False)
    with pytest.raises(DataPlaneError, match="none of"):
        plane.configure(NAME, ssl_mode="SOMEHOW")
    assert plane.describe(NAME).pid == pid


def test_an_ephemeral_certificate_is_signed_for_the_callers_key(plane: PostgresPlane) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = plane.sign_client_key(NAME, "sa@plant", public.decode(), timedelta(hours=1))
    certificate = x509.load_pem_x509_certificate(pem.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(plane.describe(NAME).server_ca.encode()))
    assert certificate.public_key() == key.public_key()
    with pytest.raises(DataPlaneError, match="PEM"):
        plane.sign_client_key(NAME, "sa@plant", "nonsense", timedelta(hours=1))


def test_databases(plane: PostgresPlane) -> None:
    made = plane.create_database(NAME, "plant_db")
    assert (made.charset, made.collation) == ("UTF8", "en_US.UTF8")
    assert made.served in ("en_US.UTF8", "C.UTF-8", "C")
    latin = plane.create_database(NAME, "Odd \"one'", charset="LATIN1", collation="C")
    assert (latin.charset, latin.served) == ("LATIN1", "C")
    assert [one.name for one in plane.databases(NAME)] == ["Odd \"one'", "plant_db", "postgres"]
    owner = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'plant_db'"
    assert query(plane.describe(NAME), "owner", SECRET, owner) == [("cloudsqlsuperuser",)]
    with pytest.raises(DataPlaneError, match="already exists") as raised:
        plane.create_database(NAME, "plant_db")
    assert raised.value.reason == "exists"
    with pytest.raises(DataPlaneError, match="character set") as raised:
        plane.create_database(NAME, "other", charset="KLINGON")
    assert raised.value.reason == "invalid"
    plane.drop_database(NAME, "Odd \"one'")
    plane.drop_database(NAME, "plant_db")
    with pytest.raises(DataPlaneError) as raised:
        plane.drop_database(NAME, "plant_db")
    assert raised.value.reason == "not-found"
    assert [one.name for one in plane.databases(NAME)] == ["postgres"]


def test_rights_of_users(plane: PostgresPlane) -> None:
    described = plane.describe(NAME)
    plane.create_database(NAME, "rights")
    query(described, "owner", SECRET, "CREATE ROLE readers", "CREATE TABLE kept (id int)", database="rights")
    made = plane.create_user(NAME, "app", password="one", roles=["readers"])
    assert made.roles == ("readers",)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(described, "app", "one", "CREATE ROLE more")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(described, "app", "one", "CREATE TABLE t (id int)", database="rights")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(described, "owner", SECRET, "SELECT pg_read_file('PG_VERSION')")
    plane.update_user(NAME, "app", password="two")
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(described, "app", "one", "SELECT 1")
    assert plane.update_user(NAME, "app", roles=["pg_monitor"], revoke_existing=True).roles == ("pg_monitor",)
    assert query(described, "app", "two", "SELECT 1") == [(1,)]
    assert [user.name for user in plane.users(NAME)] == ["app", "owner", "postgres"]
    plane.delete_user(NAME, "app")
    with pytest.raises(DataPlaneError) as raised:
        plane.delete_user(NAME, "owner")
    assert raised.value.reason == "in-use"
    for call, reason in (
        (lambda: plane.delete_user(NAME, "app"), "not-found"),
        (lambda: plane.update_user(NAME, "app", password="x"), "not-found"),
        (lambda: plane.create_user(NAME, "owner", password="x"), "exists"),
        (lambda: plane.create_user(NAME, "cloudsqladmin", password="x"), "invalid"),
        (lambda: plane.create_user(NAME, "new", password="x", roles=["nobody_knows"]), "not-found"),
        (lambda: plane.create_user(NAME, "new", password="x", roles=["cloudsqladmin"]), "not-found"),
    ):
        with pytest.raises(DataPlaneError) as raised:
            call()
        assert raised.value.reason == reason
    assert "new" not in [user.name for user in plane.users(NAME)]
    plane.drop_database(NAME, "rights")


def test_flags(plane: PostgresPlane) -> None:
    described = plane.describe(NAME)
    done = plane.configure(NAME, flags={"log_min_duration_statement": "1000", "cloudsql.iam_authentication": "on"})
    assert done.applied == {"log_min_duration_statement": "1000"}
    assert list(done.ignored) == ["cloudsql.iam_authentication"]
    assert done.restarted_for == ()
    assert plane.describe(NAME).pid == described.pid
    assert query(described, "owner", SECRET, "SHOW log_min_duration_statement") == [("1s",)]
    done = plane.configure(NAME, flags={"max_connections": "77", "cloudsql.logical_decoding": "on"})
    assert done.restarted_for == ("max_connections", "wal_level")
    restarted = plane.describe(NAME)
    assert restarted.pid != described.pid
    assert restarted.port == described.port
    assert query(described, "owner", SECRET, "SHOW max_connections") == [("77",)]
    assert query(described, "owner", SECRET, "SHOW wal_level") == [("logical",)]
    assert query(described, "owner", SECRET, "SHOW log_min_duration_statement") == [("-1",)]
    for flag, value, words in (
        ("no_such_flag", "1", "no such setting"),
        ("cloudsql.no_such_flag", "1", "no such setting"),
        ("max_connections", "9999999", "outside"),
        ("max_connections", "64MB", "not a number"),
        ("log_connections", "perhaps", "on or off"),
        ("log_statement", "some", "none of none, ddl, mod, all"),
        ("archive_command", "/bin/true", "does not offer"),
        ("block_size", "8192", "does not offer"),
    ):
        with pytest.raises(DataPlaneError, match=words) as raised:
            plane.configure(NAME, flags={flag: value})
        assert raised.value.reason == "invalid"
        assert flag in str(raised.value)
    plane.configure(NAME, flags={})


def test_a_flag_that_keeps_the_server_down_is_taken_back(plane: PostgresPlane) -> None:
    # max_wal_senders above max_connections is no fault; so much shared memory is one
    with pytest.raises(DataPlaneError, match="runs as before") as raised:
        plane.configure(NAME, flags={"shared_buffers": "1073741823"})
    assert raised.value.reason == "invalid"
    described = plane.describe(NAME)
    assert (described.state, described.flags) == ("RUNNING", {})
    assert query(described, "owner", SECRET, "SHOW shared_buffers") == [("32MB",)]


def test_passwords_show_in_no_log(plane: PostgresPlane) -> None:
    plane.configure(NAME, flags={"log_statement": "all"})
    plane.create_user(NAME, "quiet", password="Verschwiegen-1")
    plane.update_user(NAME, "quiet", password="Verschwiegen-2")
    query(plane.describe(NAME), "quiet", "Verschwiegen-2", "SELECT 41 + 1")
    plane.configure(NAME, flags={})
    plane.delete_user(NAME, "quiet")
    log = "\n".join(plane.log(NAME))
    assert "SELECT 41 + 1" in log
    assert "Verschwiegen" not in log
    assert "SCRAM-SHA-256$" not in log


def test_export_and_import(plane: PostgresPlane, tmp_path: Path) -> None:
    described = plane.describe(NAME)
    for database in ("source", "sink"):
        plane.create_database(NAME, database)
    query(
        described,
        "owner",
        SECRET,
        "CREATE TABLE agents (id int PRIMARY KEY, name text)",
        "INSERT INTO agents SELECT n, 'agent, ' || n FROM generate_series(1, 100) n",
        database="source",
    )
    size = plane.export_csv(NAME, "source", "SELECT * FROM agents ORDER BY id;", tmp_path / "agents.csv")
    lines = (tmp_path / "agents.csv").read_text().splitlines()
    assert (size, len(lines), lines[0]) == ((tmp_path / "agents.csv").stat().st_size, 100, '1,"agent, 1"')
    assert plane.export_sql(NAME, "source", tmp_path / "dump.sql", tables=["agents"]) > 1000
    plane.import_sql(NAME, "sink", tmp_path / "dump.sql", user="owner")
    plane.import_csv(NAME, "sink", _more(tmp_path), "public.agents", ["id", "name"])
    look = (
        "SELECT count(*), max(id), pg_get_userbyid(c.relowner)::text FROM agents, pg_class c WHERE c.relname = 'agents'"
    )
    assert query(described, "owner", SECRET, look + " GROUP BY 3", database="sink") == [(101, 500, "owner")]
    with pytest.raises(DataPlaneError, match="already exists"):
        plane.import_sql(NAME, "sink", tmp_path / "dump.sql", user="owner")
    with pytest.raises(DataPlaneError, match="read-only"):
        plane.export_csv(NAME, "source", "INSERT INTO agents VALUES (0) RETURNING *", tmp_path / "x.csv")
    with pytest.raises(DataPlaneError) as raised:
        plane.export_sql(NAME, "nowhere", tmp_path / "x.sql")
    assert raised.value.reason == "not-found"
    for database in ("source", "sink"):
        plane.drop_database(NAME, database)


def test_life(plane: PostgresPlane) -> None:
    described = plane.create("plant:brief", flags={"max_connections": "30"}, ssl_mode="ENCRYPTED_ONLY")
    assert described.state == "RUNNING"
    assert described.version.startswith("POSTGRES_15_" if described.source == "system" else "POSTGRES_17_")
    assert plane.sql("plant:brief", "postgres", "SELECT $1::int + 1 AS sum", 41) == [{"sum": 42}]
    plane.stop("plant:brief")
    assert plane.describe("plant:brief").state == "STOPPED"
    with pytest.raises(DataPlaneError) as raised:
        plane.sql("plant:brief", "postgres", "SELECT 1")
    assert raised.value.reason == "not-running"
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", described.port))
        thief.listen()
        moved = plane.start("plant:brief")
    assert (moved.state, moved.port == described.port) == ("RUNNING", False)
    assert plane.restart("plant:brief").port == moved.port
    with pytest.raises(DataPlaneError) as raised:
        plane.create("plant:brief")
    assert raised.value.reason == "exists"
    with pytest.raises(DataPlaneError) as raised:
        plane.create("Plant/../brief")
    assert raised.value.reason == "invalid"
    plane.delete("plant:brief")
    assert plane.names() == [NAME]
    with pytest.raises(DataPlaneError) as raised:
        plane.describe("plant:brief")
    assert raised.value.reason == "not-found"


def _more(folder: Path) -> Path:
    path = folder / "more.csv"
    path.write_text('500,"one more"\n')
    return path


def _served_names(port: int, trusted: ssl.SSLContext, name: str = "127.0.0.1") -> set[str]:
    """The names in the certificate that the server presents, after PostgreSQL's own request for TLS."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
        assert plain.recv(1) == b"S"
        with trusted.wrap_socket(plain, server_hostname=name) as tls:
            der = tls.getpeercert(binary_form=True)
    assert der is not None
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(one.value) for one in names}
