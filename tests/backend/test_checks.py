"""What the looks say of a healthy database, of a broken one, and of one that cannot be reached."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend.conftest import Plant, facts
from tests.backend.postgres import Server, certificates


def test_connect_tells_who_answers(plant: Plant) -> None:
    seen = facts(plant.good("check", "connect", user="plant_app"))
    assert seen["server_version"]["value"].startswith(str(plant.server.major))
    assert (seen["current_user"]["value"], seen["current_user"]["database"]) == ("plant_app", plant.database)
    assert (seen["server_address"]["value"], seen["max_connections"]["value"]) == ("127.0.0.1", 50)
    assert 0 < seen["latency_ms"]["value"] < 1000
    assert list(seen)[-1] == "verdict"


def test_tls_is_verified_and_plaintext_refused(plant: Plant) -> None:
    seen = facts(plant.good("check", "tls", user="plant_app"))
    assert seen["session"]["version"] in ("TLSv1.2", "TLSv1.3")
    assert seen["session"]["cipher"]
    assert (seen["authority"]["mode"], len(seen["authority"]["sha256"])) == ("verify-ca", 1)
    assert seen["untrusted"]["reason"] == "tls-verify-failed"
    assert "no encryption" in seen["plaintext"]["refusal"]


@pytest.fixture
def plaintext(server: Server) -> Iterator[None]:
    """The server lets sessions in without TLS, for one test."""
    rules = server.folder / "data" / "pg_hba.conf"
    strict = rules.read_text()
    rules.write_text(strict + "hostnossl all all 127.0.0.1/32 scram-sha-256\n")
    server.sql("SELECT pg_reload_conf()")
    time.sleep(0.2)
    yield
    rules.write_text(strict)
    server.sql("SELECT pg_reload_conf()")
    time.sleep(0.2)


@pytest.mark.usefixtures("plaintext")
def test_a_server_that_takes_plaintext_fails_the_look(plant: Plant) -> None:
    code, lines = plant.run("check", "tls", user="plant_app")
    assert (code, facts(lines)["plaintext"]["reason"]) == (1, "plaintext-accepted")
    assert facts(lines)["session"]["ok"] is True
    code, lines = plant.run("check", "tls", user="plant_app", ENVIRONMENT="development", DB_SSLMODE="disable")
    assert (code, facts(lines)["session"]["reason"]) == (1, "plaintext")


def test_a_client_that_verifies_nothing_fails_the_look(shared: Plant) -> None:
    code, lines = shared.run("check", "tls", user="plant_app", ENVIRONMENT="development", DB_SSLMODE="require")
    assert (code, facts(lines)["untrusted"]["reason"]) == (1, "tls-not-verified")
    assert facts(lines)["authority"]["ok"] is False


def test_schema_and_revision(plant: Plant) -> None:
    seen = facts(plant.good("check", "schema", user="plant_app"))
    assert seen["revision"]["current"] == seen["revision"]["head"] == "0010"
    assert seen["tables"]["value"] == 18
    plant.sql("UPDATE plant.alembic_version SET version_num = '0003'")
    code, lines = plant.run("check", "schema", user="plant_app")
    assert (code, facts(lines)["revision"]["reason"]) == (1, "migration-pending")


def test_all_looks_in_order(seeded: Plant) -> None:
    seeded.good("indexes")
    lines = seeded.good("check", "all", user="plant_app")
    assert list(dict.fromkeys(line["check"] for line in lines)) == [
        "connect",
        "tls",
        "schema",
        "rights",
        "indexes",
        "rows",
    ]
    assert all({"severity", "message", "time", "check", "fact", "ok"} <= set(line) for line in lines)
    assert sum(line["fact"] == "verdict" for line in lines) == 6


def test_one_bad_look_makes_all_fail(plant: Plant) -> None:
    code, lines = plant.run("check", "all", user="plant_app")
    assert code == 1
    assert {line["check"]: line["ok"] for line in lines if line["fact"] == "verdict"} == {
        "connect": True,
        "tls": True,
        "schema": True,
        "rights": True,
        "indexes": False,
        "rows": False,
    }


def test_before_the_migration_each_look_says_so(empty: Plant) -> None:
    for look, reason in {"schema": "migration-pending", "rights": "schema-missing", "rows": "schema-missing"}.items():
        code, lines = empty.run("check", look, user="plant_app")
        assert code == 1
        assert reason in {line.get("reason") for line in lines}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("command", [("check", "all"), ("migrate",)])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"DATABASE_PASSWORD": "wrong-but-long-enough-1"}, "auth-failed"),
        ({"DB_NAME": "no_such_db"}, "database-missing"),
        ({"DB_SSLMODE": "verify-full"}, "tls-verify-failed"),
        ({"DB_CA": "another"}, "tls-verify-failed"),
        ({"ENVIRONMENT": "development", "DB_SSLMODE": "disable"}, "tls-required"),
        ({"DB_HOST": "no-such-host.invalid"}, "host-unknown"),
    ],
)
def test_what_cannot_be_reached_is_one_line(
    shared: Plant, command: tuple[str, ...], changes: dict[str, str], reason: str, tmp_path: Path
) -> None:
    if "DB_CA" in changes:
        changes = {"DB_CA": certificates(tmp_path)}
    code, lines = shared.run(*command, **changes)
    assert (code, len(lines)) == (1, 1)
    assert (lines[0]["severity"], lines[0]["ok"], lines[0]["reason"]) == ("ERROR", False, reason)
    assert lines[0]["command"] == command[0]
    assert "Traceback" not in lines[0]["message"]


def test_where_nothing_listens_it_gives_up_in_time(shared: Plant) -> None:
    started = time.monotonic()
    code, lines = shared.run("check", "connect", DB_PORT=str(free_port()), DB_WAIT_S="1")
    assert 0.9 < time.monotonic() - started < 3
    assert (code, [line["reason"] for line in lines]) == (1, ["connect-refused"])


def test_no_waiting_when_told_so(shared: Plant) -> None:
    started = time.monotonic()
    assert shared.run("migrate", DB_PORT=str(free_port()), DB_WAIT_S="0")[0] == 1
    assert time.monotonic() - started < 0.9
