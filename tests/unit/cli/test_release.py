"""`release`: wrong words do nothing; what a person and a script are told of a release that was carried out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plantctl.cli.output import Common
from plantctl.cli.release import tell
from plantctl.steps.release import Released
from tests.unit.cli.conftest import Type

DONE = Released(revision="r-2", digest="sha256:d1", version="v1.1.0", percent=100, changed=True, words=("all is well",))


@pytest.mark.parametrize(
    "words",
    [("promote", "--percent", "0"), ("promote", "--percent", "101"), ("promote", "--watch", "0"), ("rollback", "v1")],
)
def test_wrong_words_are_refused_before_anything_begins(plantctl: Type, folder: Path, words: tuple[str, ...]) -> None:
    said = plantctl("release", *words)
    assert said.code == 2
    assert list(folder.iterdir()) == []


def test_a_version_that_is_no_tag_is_refused_by_its_setting(plantctl: Type, folder: Path) -> None:
    said = plantctl("release", "deploy", "--version", "no tag")
    assert said.code == 2
    assert "backend.version" in said.err
    assert list(folder.iterdir()) == []


def test_a_release_is_told_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Common(), DONE, "r-2 has 100 % of traffic", hint="plantctl release rollback")
    caught = capsys.readouterr()
    assert caught.out == "r-2 has 100 % of traffic\n"
    assert caught.err == "all is well\nnext: plantctl release rollback\n"
    tell(Common(), Released(revision="r-2", digest="d"), "r-2 has 100 % of traffic", hint="x")
    assert capsys.readouterr() == ("r-2 has 100 % of traffic; nothing had to be changed\n", "")


def test_a_release_is_told_to_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Common(form="json"), DONE, "words", hint="x")
    found = json.loads(capsys.readouterr().out)
    assert found["schema_version"] == 1
    assert found["release"] == {
        "revision": "r-2",
        "digest": "sha256:d1",
        "version": "v1.1.0",
        "tag": "",
        "uri": "",
        "percent": 100,
        "changed": True,
        "words": ["all is well"],
    }
