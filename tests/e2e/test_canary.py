"""No secret value anywhere but in Secret Manager and in the processes that need it; with positive controls."""

from __future__ import annotations

import base64
import gzip
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.canary import Scanner, Watch, files_under, forms
from tests.e2e.conftest import Finished
from tests.e2e.operator import PROJECT, Operator

SECRETS = ("DATABASE_PASSWORD", "DATABASE_OWNER_PASSWORD", "JWT_SECRET_KEY", "API_KEYS")
STORES = ("sandbox/store", "sandbox/dataplane/postgres/")
"""Where the local Google Cloud keeps what it is given: Secret Manager's payloads, and PostgreSQL's own tables."""
NEEDS_IT = (" -m backend ", "launcher.py ")
"""The container of a job, and the process that starts it: their environment is what the job's template says."""


@pytest.fixture(scope="module")
def secrets(finished: Finished) -> dict[str, str]:
    """Every secret value of the plant, read as its owner."""
    operator = finished.restore()
    found = {}
    for name in SECRETS:
        path = f"secretmanager/v1/projects/{PROJECT}/secrets/{name}/versions/1:access"
        found[name] = base64.b64decode(operator.call("GET", path)["payload"]["data"]).decode()
    assert found["JWT_SECRET_KEY"] == finished.jwt
    return found


@pytest.fixture(scope="module")
def scanner(secrets: dict[str, str]) -> Scanner:
    """Looks for all of them, in all their forms."""
    return Scanner(secrets)


def test_no_output_holds_a_secret(finished: Finished, scanner: Scanner) -> None:
    said = f"{finished.run.out}\n{finished.run.err}"
    assert "/secretmanager/v1/" in said, "this was a verbose run"
    assert scanner.hits(said.encode()) == set()


def test_no_report_or_list_holds_a_secret(still: Operator, scanner: Scanner) -> None:
    commands = (
        "phase verify database --only database.proxy.connect --verbose",
        "status checklist --format json",
        "status runs",
        "item show predeploy.secret.database_password",
        "journal export",
        "config list",
        "phase plan predeploy database --verbose",
        "backup list",
        "sandbox status --format json",
        "sandbox logs --lines 5000",
    )
    for command in commands:
        done = still.do(*command.split())
        assert done.code == 0, f"{command}: {done.err}"
        assert done.out, command
        assert scanner.hits(f"{done.out}\n{done.err}".encode()) == set(), command


def test_no_file_holds_a_secret(still: Operator, scanner: Scanner) -> None:
    still.down()
    files = files_under(still.home, without=STORES)
    names = {path.name for path in files}
    assert {"journal.sqlite", "wire.jsonl", "sandbox.log"} <= names
    assert scanner.hits_in(files) == {}
    # and that the scanner sees the values where they must be
    stores = [path for path in files_under(still.home) if path not in files]
    assert any("store" in path for path in scanner.hits_in(stores))
    still.up()


def test_no_log_entry_holds_a_secret(still: Operator, scanner: Scanner) -> None:
    body = {"resourceNames": [f"projects/{PROJECT}"], "pageSize": 1000}
    entries = still.call("POST", "logging/v2/entries:list", body)
    assert len(entries["entries"]) > 20
    assert scanner.hits(str(entries).encode()) == set()


def test_no_other_process_shows_a_secret(finished: Finished, scanner: Scanner) -> None:
    watch = finished.watch
    assert watch.looks > 20
    assert any(b"plantctl" in argv for argv in watch.argv)
    assert {name for argv in watch.argv for name in scanner.hits(argv)} == set()
    shown = {command: hits for environ, command in watch.environ.items() if (hits := scanner.hits(environ))}
    others = {command: hits for command, hits in shown.items() if not any(word in command for word in NEEDS_IT)}
    assert others == {}
    # and that the watch sees environments: jobs were given their password
    assert any("DATABASE_PASSWORD" in hit for hits in shown.values() for hit in hits)


@pytest.mark.parametrize("form", sorted(forms("0123456789abcdef-/é")))
def test_the_scanner_finds_each_form(tmp_path: Path, secrets: dict[str, str], scanner: Scanner, form: str) -> None:
    value = secrets["DATABASE_PASSWORD"]
    for number, needle in enumerate(forms(value)[form]):
        (tmp_path / f"raw-{number}").write_bytes(b"before " + needle + b" after")
        (tmp_path / f"packed-{number}").write_bytes(b"head" + gzip.compress(b"x" * 100 + needle))
        broken = needle[:10] + b"\r\n  " + needle[10:]
        (tmp_path / f"broken-{number}").write_bytes(broken)
    found = scanner.hits_in(files_under(tmp_path))
    assert set(found) == {str(path) for path in tmp_path.iterdir()}
    assert all(hit.startswith("DATABASE_PASSWORD") for hits in found.values() for hit in hits)


def test_the_watch_finds_a_secret_in_argv_and_environ(secrets: dict[str, str], scanner: Scanner) -> None:
    value = secrets["API_KEYS"]
    wait = "import sys; sys.stdin.read()"
    with Watch() as watch:
        careless = subprocess.Popen(
            [sys.executable, "-c", wait, value], env={"KEYS": value}, stdin=subprocess.PIPE, text=True
        )
        for _ in range(3):
            before = watch.looks
            while watch.looks == before:
                time.sleep(0.01)
        careless.communicate("")
    assert {hit for argv in watch.argv for hit in scanner.hits(argv)} >= {"API_KEYS: raw"}
    assert {hit for environ in watch.environ for hit in scanner.hits(environ)} >= {"API_KEYS: raw"}
