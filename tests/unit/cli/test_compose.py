"""Secrets by file, names for --recreate, the question before a write, exports for others, a rehearsal's verdict."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plantctl.cli import compose
from plantctl.cli.rehearse import waits_only
from plantctl.cli.sandbox import exports
from plantctl.engine.runner import RunResult
from plantctl.errors import PlantctlError, StepBlocked, UsageError
from plantctl.gcp.identity import account_of
from plantctl.gcp.target import google_target
from plantctl.model.plant import Plant
from plantctl.model.step import Outcome
from tests.unit.cli.conftest import Type


def test_a_secret_comes_from_a_private_file_or_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("of a file\n")
    path.chmod(0o600)
    found = compose.given_secrets([f"API_KEYS={path}", "JWT_SECRET_KEY=-"], stdin=lambda: "typed\n")
    assert {name: secret.reveal() for name, secret in found.items()} == {
        "API_KEYS": "of a file",
        "JWT_SECRET_KEY": "typed",
    }
    assert "of a file" not in repr(found)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="can be read by others") as refused:
        compose.given_secrets([f"API_KEYS={path}"])
    assert refused.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("API_KEYS", "takes SECRET=PATH"),
        ("API_KEYS=", "takes SECRET=PATH"),
        ("KEYS=x", "there is no secret"),
        ("API_KEYS=/no/such/file", "cannot be read: No such file"),
        ("API_KEYS=-", "is empty"),
    ],
)
def test_a_secret_that_cannot_be_taken(word: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        compose.given_secrets([word], stdin=lambda: "\n")


def test_only_what_holds_data_is_recreated() -> None:
    plant = Plant()
    names = ["plant_db", "plant-postgres", "plant-redis", "API_KEYS", plant.bucket("backup")]
    assert compose.recreated(plant, names) == set(names)
    assert compose.recreated(plant, []) == set()
    with pytest.raises(UsageError, match="plant-network"):
        compose.recreated(plant, ["plant-network"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_question_is_answered_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\nno\n\n"))
    compose.ask("Go on?", flag="--yes")
    for _ in range(3):
        with pytest.raises(UsageError, match="the answer was no"):
            compose.ask("Go on?", flag="--yes")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError) as refused:
        compose.ask("Go on?", flag="--yes")
    assert "--yes" in refused.value.hint


KEY = json.dumps(
    {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c", "account": "ada@x.org"}
)


def test_credentials_for_another_project_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "adc.json"
    path.write_text(KEY)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "another")
    target = google_target(project="mine-123", region="us-central1")
    with pytest.raises(PlantctlError, match="set up for project another") as refused:
        account_of(target)
    assert refused.value.reference == "wrong-project"
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine-123")
    assert account_of(target) == "ada@x.org"
    deputy = google_target(project="mine-123", region="us-central1", impersonate="sa@mine-123.example.com")
    assert account_of(deputy) == "sa@mine-123.example.com"


def test_google_cloud_is_not_written_to_without_a_word(
    plantctl: Type, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Account and project are shown, and without a terminal nothing is asked and nothing is sent."""
    (folder / "adc.json").write_text(KEY)
    (folder / "plant.toml").write_text('target = "gcp"\n[project]\nid = "mine-123"\n')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "adc.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine-123")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    said = plantctl("phase", "run", "database")
    assert said.code == 2
    assert "mine-123" in said.err
    assert "ada@x.org" in said.err
    assert "--yes" in said.err
    assert not (folder / ".plantctl" / "journal.sqlite").exists()
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert plantctl("backup", "create").code == 2


def test_exports_survive_a_shell(tmp_path: Path) -> None:
    home = tmp_path / "it's a home; $(touch x)"
    home.mkdir()
    found: dict[str, Any] = {"proxy": "http://127.0.0.1:4711", "ca": str(home / "ca.pem")}
    values = exports(found, home, "my-project")
    lines = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())
    script = f'{lines}\nprintf "%s\\n" "$CLOUDSDK_CONFIG" "$CLOUDSDK_PROXY_PORT" "$NO_PROXY"; cat "$TOKEN"'
    script = script.replace("$TOKEN", "$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE")
    told = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert told.splitlines()[:3] == [str(home / "sandbox" / "gcloud"), "4711", "127.0.0.1,localhost"]
    assert told.splitlines()[3]
    assert [path.name for path in tmp_path.iterdir()] == [home.name]
    wanted = {"CLOUDSDK_PROXY_TYPE", "CLOUDSDK_PROXY_ADDRESS", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"}
    wanted |= {"CLOUDSDK_CORE_PROJECT", "CLOUDSDK_CORE_DISABLE_PROMPTS", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE"}
    assert wanted <= set(values)


def blocked(reference: str) -> PlantctlError:
    return StepBlocked("x", reference=reference)


def test_a_rehearsal_is_good_when_only_people_are_waited_for() -> None:
    outcomes = {"a": Outcome.CHANGED, "b": Outcome.WAITING, "c": Outcome.BLOCKED, "d": Outcome.FAILED}
    outcomes |= {"e": Outcome.BLOCKED, "f": Outcome.BLOCKED, "g": Outcome.BLOCKED}
    needs = {"a": [], "b": [], "c": ["a", "b"], "d": [], "e": ["d"], "f": [], "g": ["c"], "h": []}
    errors = {name: blocked("needs-not-in-place") for name in "ceg"} | {"f": blocked("no-step-yet")}
    result = RunResult(outcomes=outcomes, errors=errors, finished=None, critical_path=(), exit_code=1)  # type: ignore[arg-type]
    assert {item for item in needs if waits_only(item, result, needs)} == {"a", "b", "c", "g"}
