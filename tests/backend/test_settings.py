"""The environment makes a configuration, or a list of problems that quotes no value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend import cli
from backend.settings import ConfigurationError, Settings, load
from tests.backend.postgres import certificates

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A good production environment, set; tests change it."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    good = {"DB_HOST": "10.20.0.3", "DATABASE_PASSWORD": SECRET, "DB_CA": certificates(tmp_path)}
    for name, value in good.items():
        monkeypatch.setenv(name, value)
    return good


def test_defaults_are_those_of_the_plant(environment: dict[str, str]) -> None:
    settings = load()
    assert (settings.db_name, settings.db_user, settings.db_port) == ("plant_db", "plant_app", 5432)
    assert (settings.db_sslmode, settings.environment, settings.port) == ("verify-ca", "production", 8000)
    assert settings.database_password.get_secret_value() == SECRET
    assert SECRET not in repr(settings)


def test_the_seeds_url_fills_the_parts(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DB_HOST")
    monkeypatch.delenv("DATABASE_PASSWORD")
    url = "postgresql+asyncpg://plant%5Fapp:p%40ss-word-of-length@10.1.2.3:6543/other?sslmode=verify-full"
    monkeypatch.setenv("DATABASE_URL", url)
    settings = load()
    assert (settings.db_host, settings.db_port, settings.db_name) == ("10.1.2.3", 6543, "other")
    assert settings.db_user == "plant_app"
    assert settings.database_password.get_secret_value() == "p@ss-word-of-length"
    assert settings.db_sslmode == "verify-full"


def test_a_part_of_its_own_beats_the_url(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://u:other-password-entirely@10.1.2.3/db")
    settings = load()
    assert settings.db_host == "10.20.0.3"
    assert settings.database_password.get_secret_value() == SECRET
    assert settings.db_user == "u"


def test_the_ca_may_come_from_a_file(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DB_CA")
    (tmp_path / "ca.pem").write_text(environment["DB_CA"])
    monkeypatch.setenv("DB_CA_FILE", str(tmp_path / "ca.pem"))
    assert load().ca_pem() == environment["DB_CA"]


def test_a_pem_with_escaped_newlines_is_read(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_CA", environment["DB_CA"].replace("\n", "\\n"))
    assert load().ca_pem() == environment["DB_CA"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"DATABASE_PASSWORD": "short-9x7"}, "DATABASE_PASSWORD"),
        ({"DATABASE_PASSWORD": "postgres-2024-0000"}, "DATABASE_PASSWORD"),
        ({"DATABASE_PASSWORD": "abababababababababab"}, "DATABASE_PASSWORD"),
        ({"DATABASE_PASSWORD": ""}, "DATABASE_PASSWORD"),
        ({"DB_HOST": ""}, "DB_HOST"),
        ({"DB_SSLMODE": "disable"}, "DB_SSLMODE"),
        ({"DB_SSLMODE": "require"}, "DB_SSLMODE"),
        ({"DB_SSLMODE": "prefer-9x7"}, "DB_SSLMODE"),
        ({"DB_CA": ""}, "DB_CA"),
        ({"DB_CA": "nonsense-9x7"}, "DB_CA"),
        ({"DB_CA": "", "DB_CA_FILE": "/nowhere-9x7/ca.pem"}, "DB_CA_FILE"),
        ({"DB_PORT": "nan-9x7"}, "DB_PORT"),
        ({"PORT": "0"}, "PORT"),
        ({"DATABASE_URL": "mysql://u:nonsense-9x7@h/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:p@h:nonsense-9x7/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:p@h/d?password=nonsense-9x7"}, "DATABASE_URL"),
    ],
)
def test_a_bad_environment_is_told_by_field_and_never_by_value(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    field: str,
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert [problem.split(":")[0] for problem in caught.value.problems] == [field]
    assert cli.main(["check-config"]) == 3
    captured = capsys.readouterr()
    assert "9x7" not in captured.out + captured.err
    assert SECRET not in captured.out + captured.err
    line = json.loads(captured.out)
    assert (line["severity"], line["reason"], line["ok"]) == ("ERROR", "configuration", False)


def test_outside_production_plain_and_short_are_allowed(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ENVIRONMENT": "development", "DB_SSLMODE": "disable", "DATABASE_PASSWORD": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DB_CA")
    assert load().db_sslmode == "disable"


def test_check_config_names_what_was_given(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-config"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["given"] == ["DATABASE_PASSWORD", "DB_CA", "DB_HOST"]


def test_usage_errors_exit_with_2(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", "weather"])
    assert caught.value.code == 2
    assert "weather" in capsys.readouterr().err


def test_log_level_in_the_seeds_lower_case(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "info")
    assert load().log_level == "INFO"
