"""The generated pages are current, every setting is explained, and the example loads as the default plant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plantctl import settings
from plantctl.model.plant import Plant
from tests import reference


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == reference.pages()[path], "type `make docs`"


def test_every_key_has_a_meaning_and_a_section() -> None:
    assert list(reference.MEANINGS) == list(settings.known_keys())
    assert {key.rpartition(".")[0] for key in settings.known_keys()} == set(reference.SECTIONS)


def test_the_example_sets_every_key_to_its_default(tmp_path: Path) -> None:
    shutil.copy(reference.ROOT / "checklists/plant.example.toml", tmp_path / "plant.toml")
    found = settings.load(env={}, cwd=tmp_path)
    assert (found.plant, found.target) == (Plant(), "sandbox")
    assert set(found.given) == set(settings.known_keys())


def test_a_step_is_told_whole() -> None:
    page = reference.steps_page()
    start = page.index("### database.instance.tier")
    section = page[start : page.index("###", start + 3)]
    for words in (
        "Configure machine type (db-custom-2-8192)",
        "| needs | `database.instance.create` |",
        "| one writer at a time | sql instance |",
        "| writes | `sql.instances.patch` |",
        "| evidence | tier db-custom-2-8192, edition ENTERPRISE, 100 GB |",
        "| plant-postgres is there, but was not made by plantctl | take it over with `--adopt`",
    ):
        assert words in section
    assert "[instance](../../tests/desired/golden/instance.json)" in page
