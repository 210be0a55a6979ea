"""Commands that only read: checklist, runs, items, settings, journal, lock. They start nothing and make no file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plantctl.cli.report import quick
from plantctl.engine.lock import hold
from tests.unit.cli.conftest import Type

WAIVED = "cache.instance.create"


def test_the_checklist_of_an_empty_home(plantctl: Type, folder: Path) -> None:
    said = plantctl("status", "checklist", "--format", "json")
    assert said.code == 0
    report = said.json
    assert list(report) == ["schema_version", "environment", "target", "summary", "items"]
    assert (report["environment"], report["target"], report["schema_version"]) == ("production", "sandbox", 1)
    assert report["summary"]["total"] == 104
    assert report["summary"]["pending"] == 104
    assert report["summary"]["added"]["total"] == len(report["items"]) - 104
    wanted = {"id", "title", "phase", "group", "added", "status", "since", "by", "evidence", "needs"}
    assert all(wanted <= set(item) for item in report["items"])
    assert list(folder.iterdir()) == []


def test_the_checklist_of_one_phase_as_text(plantctl: Type) -> None:
    said = plantctl("status", "checklist", "database")
    assert "database.instance.create" in said.out
    assert "cache." not in said.out
    assert all(len(line) <= 100 for line in said.out.splitlines())
    assert "\033" not in said.out


@pytest.mark.parametrize("words", [[], ["database"], ["--format", "json"], ["--format=json", "--home", "h", "cache"]])
def test_the_quick_way_says_the_same(plantctl: Type, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    usual = plantctl("status", "checklist", *words)
    assert quick(["status", "checklist", *words])
    assert capsys.readouterr().out == usual.out


@pytest.mark.parametrize(
    "typed",
    [
        "phase list",
        "status runs",
        "status checklist -h",
        "status checklist --format",
        "status checklist databse",
        "status checklist --format yaml",
        "status checklist --config nothing.toml",
    ],
)
def test_the_quick_way_leaves_everything_else_to_the_usual_one(
    folder: Path, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    assert not quick(typed.split())
    assert capsys.readouterr() == ("", "")


def test_phases_with_their_steps(plantctl: Type) -> None:
    phases = {phase["id"]: phase for phase in plantctl("phase", "list", "--format", "json").json["phases"]}
    assert list(phases)[:3] == ["predeploy", "database", "cache"]
    assert phases["predeploy"]["steps"] == len(phases["predeploy"]["items"])
    assert phases["success"]["steps"] == 0
    assert "predeploy" in plantctl("phase", "list").out


def test_a_waiver_is_shown_expires_and_is_withdrawn(plantctl: Type, folder: Path) -> None:
    said = plantctl("item", "waive", WAIVED, "--note", "kept by the cache team", "--days", "3")
    assert (said.code, "for 3 days: kept by the cache team" in said.out) == (0, True)
    shown = plantctl("item", "show", WAIVED, "--format", "json").json
    assert (shown["item"]["status"], shown["item"]["note"]) == ("waived", "kept by the cache team")
    assert [line["kind"] for line in shown["history"]] == ["waived"]
    assert "kept by the cache team" in plantctl("item", "show", WAIVED).out
    assert "[-] cache.instance.create" in plantctl("status", "checklist", "cache").out
    assert plantctl("item", "withdraw", WAIVED, "--format", "json").json["status"] == "withdrawn"
    assert plantctl("item", "show", WAIVED, "--format", "json").json["item"]["status"] == "pending"
    runs = plantctl("status", "runs", "--format", "json").json["runs"]
    assert [run["outcome"] for run in runs] == ["succeeded", "succeeded"]
    assert runs[1]["command"] == f"item waive {WAIVED} --note kept by the cache team --days 3"
    assert sorted(path.name for path in folder.iterdir()) == [".plantctl"]
    assert not (folder / ".plantctl" / "sandbox").exists()


def test_a_word_needs_a_note_and_the_right_item(plantctl: Type) -> None:
    missing = plantctl("item", "waive", WAIVED)
    assert (missing.code, "a note is needed" in missing.err) == (2, True)
    checked = plantctl("item", "attest", "database.instance.create", "--note", "I saw it")
    assert (checked.code, "plantctl phase run --only database.instance.create" in checked.err) == (2, True)
    assert plantctl("item", "waive", "database.instance.creat", "--note", "x").code == 2


def test_the_journal_is_verified_and_exported(plantctl: Type, folder: Path) -> None:
    assert plantctl("journal", "verify").out == "0 entries, 0 writes in 0 runs: sound\n"
    assert list(folder.iterdir()) == []
    plantctl("item", "waive", WAIVED, "--note", "later")
    found = plantctl("journal", "verify", "--format", "json")
    assert (found.code, found.json["entries"], found.json["problems"]) == (0, 1, [])
    exported = plantctl("journal", "export").json
    assert [entry["note"] for entry in exported["entries"]] == ["later"]
    assert exported["bindings"][0]["project"] == "waooaw-prod"


def test_a_damaged_journal_is_told(plantctl: Type, folder: Path) -> None:
    home = folder / ".plantctl"
    home.mkdir()
    (home / "journal.sqlite").write_bytes(b"no database at all" * 100)
    for words in (["journal", "verify"], ["status", "checklist"], ["item", "waive", WAIVED, "--note", "x"]):
        said = plantctl(*words)
        assert (said.code, "[journal-unusable]" in said.err, "Traceback" in said.err) == (1, True, False)


def test_the_lock_is_shown_and_never_taken_from_a_live_process(plantctl: Type, folder: Path) -> None:
    home = folder / ".plantctl"
    assert plantctl("lock", "show").out == "free\n"
    assert list(folder.iterdir()) == []
    with hold(home, what="phase run all", since="2026-11-23T10:11:12Z"):
        shown = plantctl("lock", "show", "--format", "json").json["lock"]
        assert (shown["held"], shown["what"], shown["since"]) == (True, "phase run all", "2026-11-23T10:11:12Z")
        for words in (["lock", "release"], ["phase", "run", "database"], ["phase", "verify", "database"]):
            said = plantctl(*words)
            assert said.code == 5
            assert "since 2026-11-23T10:11:12Z: phase run all" in " ".join(said.err.split())
        assert plantctl("backup", "create").code == 5
        assert plantctl("status", "checklist").code == 0
        assert not (home / "sandbox").exists(), "a command that cannot write starts nothing"
    assert plantctl("lock", "release").out == "the lock is free\n"


def test_configuration_is_explained(plantctl: Type, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plantctl("config", "explain", "database.tier").out == "database.tier = db-custom-2-8192\n  from default\n"
    (folder / "plant.toml").write_text('region = "europe-west1"\n[database]\ndr_replica = true\n')
    monkeypatch.setenv("PLANTCTL_REGION", "us-east1")
    assert plantctl("config", "explain", "region").out.splitlines() == [
        "region = us-east1",
        "  from PLANTCTL_REGION",
        f"  over europe-west1 from {folder / 'plant.toml'}",
        "  over us-central1 from default",
    ]
    found = plantctl("config", "explain", "database.dr_replica", "--format", "json").json
    assert (found["value"], found["overrides"]) == (True, [{"value": False, "source": "default"}])
    listed = {row["key"]: row for row in plantctl("config", "list", "--format", "json").json["settings"]}
    assert listed["region"]["source"] == "PLANTCTL_REGION"
    assert listed == {row["key"]: row for row in plantctl("config", "explain", "--format", "json").json["settings"]}
    assert "database.tier" in plantctl("config", "list").out


def test_the_configuration_switches_items_off(plantctl: Type, folder: Path) -> None:
    item = "database.instance.dr_replica"
    assert plantctl("item", "show", item, "--format", "json").json["item"]["status"] == "not-applicable"
    (folder / "plant.toml").write_text("[database]\ndr_replica = true\n")
    assert plantctl("item", "show", item, "--format", "json").json["item"]["status"] == "pending"


def test_another_home_and_another_file(plantctl: Type, folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "plant.toml").write_text('environment = "staging"\n')
    plantctl("item", "waive", WAIVED, "--note", "x", "--home", "h")
    assert sorted(path.name for path in folder.iterdir()) == ["h", "other"]
    told = json.loads(plantctl("status", "checklist", "--config", "other/plant.toml", "--format", "json").out)
    assert (told["environment"], told["summary"]["waived"]) == ("staging", 0)
    assert plantctl("status", "checklist", "--home", "h", "--format", "json").json["summary"]["waived"] == 1


def test_looking_at_a_sandbox_that_does_not_run_starts_none(plantctl: Type, folder: Path) -> None:
    keys = ["rest", "grpc", "proxy", "edge", "ca", "speed", "pid", "dataplane"]
    said = plantctl("sandbox", "status", "--format", "json")
    assert (said.code, list(said.json), set(said.json.values())) == (1, keys, {None})
    assert "plantctl sandbox up" in plantctl("sandbox", "status").out
    for words in (["env"], ["faults"], ["reset", "--yes"]):
        refused = plantctl("sandbox", *words)
        assert (refused.code, refused.out, "[sandbox-down]" in refused.err) == (1, "", True)
    assert plantctl("sandbox", "down").out == "none was running\n"
    assert list(folder.iterdir()) == []
