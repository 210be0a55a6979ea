"""Settings: who wins, what is refused and how it is said, and that a command without settings stays quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plantctl import settings
from plantctl.errors import ConfigError
from plantctl.model.plant import Plant


def load(tmp_path: Path, text: str = "", env: dict[str, str] | None = None, **flags: object) -> settings.Settings:
    if text:
        (tmp_path / "plant.toml").write_text(text)
    return settings.load(
        flags={key.replace("__", "."): value for key, value in flags.items()}, env=env or {}, cwd=tmp_path
    )


def test_nothing_given_is_the_default_plant_without_pydantic(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.plant == Plant()
    assert (found.target, found.home, found.config) == ("sandbox", tmp_path / ".plantctl", None)
    code = "import sys; from plantctl import settings; settings.load(env={}); print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_default_passes_its_own_rule(tmp_path: Path) -> None:
    for key, value in settings.known_keys().items():
        if key != "target":
            settings.load(flags={key: value}, env={}, cwd=tmp_path)
    assert set(settings.RULES) <= set(settings.known_keys())


def test_flags_beat_variables_beat_the_file_beats_defaults(tmp_path: Path) -> None:
    text = 'region = "europe-west1"\n[database]\ntier = "db-custom-4-16384"\nbackup_hour = 4\n'
    env = {"PLANTCTL_REGION": "europe-west3", "PLANTCTL_DATABASE_BACKUP_HOUR": "5"}
    found = load(tmp_path, text, env, database__backup_hour=6, region=None)
    assert found.plant.region == "europe-west3"
    assert found.plant.database.tier == "db-custom-4-16384"
    assert found.plant.database.backup_hour == 6
    sources = [(given.value, given.source) for given in found.explain("database.backup_hour")]
    path = str(tmp_path / "plant.toml")
    assert sources == [(6, "flag"), (5, "PLANTCTL_DATABASE_BACKUP_HOUR"), (4, path), (3, "default")]
    assert [given.source for given in found.explain("project.id")] == ["default"]
    with pytest.raises(ConfigError, match="unknown key"):
        found.explain("database.teir")


def test_home_lies_beside_the_file_unless_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.toml").write_text('environment = "staging"\n')
    found = settings.load(env={}, config="sub/mine.toml", cwd=tmp_path)
    assert found.home == tmp_path / "sub" / ".plantctl"
    assert found.plant.environment == "staging"
    assert (
        settings.load(env={"PLANTCTL_CONFIG": "sub/mine.toml"}, cwd=tmp_path).config == tmp_path / "sub" / "mine.toml"
    )
    assert load(tmp_path, env={"PLANTCTL_HOME": "elsewhere"}).home == tmp_path / "elsewhere"
    with pytest.raises(ConfigError, match="there is no file"):
        settings.load(env={}, config="none.toml", cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[database]\nteir = 1", "unknown key database.teir", "did you mean database.tier?"),
        ("[qqq]\nx = 1", "unknown key qqq.x", "allowed: target, "),
        ('regoin = "x"', "unknown key regoin", "did you mean region?"),
        ('[database]\navailability = "REGIONL"', "cannot be 'REGIONL'", "did you mean REGIONAL?"),
        ('[database]\nbackup_hour = "3"', "database.backup_hour cannot be '3'", "valid integer"),
        ("[database]\nbackup_hour = 24", "database.backup_hour cannot be 24", "less than or equal to 23"),
        ("[database]\nbackup_hour = true", "cannot be True", "valid integer"),
        ("[database]\ndr_replica = 1", "cannot be 1", "valid boolean"),
        ("region = 5", "region cannot be 5", "valid string"),
        ('[project]\nid = "UPPER"', "project.id cannot be 'UPPER'", "match"),
        ('[project]\nid = "ok-id\\nx"', "project.id cannot be", "match"),
        ('[network]\nsubnet_cidr = "10.10.0.1/24"', "network.subnet_cidr cannot be", ""),
        ('[network]\nconnector_cidr = "10.8.0.0/27"', "no /28", "exactly a /28"),
        ('[network]\nconnector_cidr = "10.10.0.16/28"', "overlaps", "outside the subnet"),
        ('[database]\ntier = "db-custom-3-8192"', "database.tier cannot be", "db-custom-2-8192"),
        ('[database]\ntier = "db-custom-2-1024"', "database.tier cannot be", "db-custom-2-8192"),
        ('[database]\ntier = "db-f1-micro"', "database.tier cannot be", "db-custom-2-8192"),
        ("[database]\nstorage_limit_gb = 50", "below", "no limit"),
        ('[database]\napp = "plant_owner"', "one role", "own tables"),
        ('target = "aws"', "target cannot be 'aws'", "sandbox, gcp"),
        ('target = "gcp"', "project.id is not set", "PLANTCTL_PROJECT_ID"),
        ("not toml at all", "cannot be read as TOML", ""),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_can(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_value_whose_step_does_not_exist_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, '[database]\nconnection = "proxy"')
    assert "has no step yet" in caught.value.cause


def test_variables_are_words_and_misspelt_ones_are_refused(tmp_path: Path) -> None:
    env = {"PLANTCTL_DATABASE_DR_REPLICA": "true", "PLANTCTL_DATABASE_STORAGE_GB": "200", "PLANTCTL_POSTGRES": "wheel"}
    found = load(tmp_path, env=env)
    assert (found.plant.database.dr_replica, found.plant.database.storage_gb) == (True, 200)
    for wrong in ("PLANTCTL_DATABASE_TEIR", "PLANTCTL_REGIN"):
        with pytest.raises(ConfigError, match=wrong) as caught:
            load(tmp_path, env={wrong: "x"})
        assert "did you mean PLANTCTL_" in caught.value.hint


def test_the_project_of_the_cloud_has_to_be_given_by_somebody(tmp_path: Path) -> None:
    found = load(tmp_path, 'target = "gcp"', env={"PLANTCTL_PROJECT_ID": "my-plant-1"}, impersonate="a@b.example")
    assert (found.target, found.plant.project.id, found.impersonate) == ("gcp", "my-plant-1", "a@b.example")
