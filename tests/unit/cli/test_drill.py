"""What a drill prints, and what of a backup belongs to the database alone."""

from __future__ import annotations

import pytest

from plantctl.cli.drill import told
from plantctl.steps.failover import Drill
from tests.unit.cli.conftest import Type

MOVED = {"execution": "x1", "before": "us-central1-a", "after": "us-central1-b"}


def test_a_drill_is_told_in_one_line() -> None:
    drill = Drill(gap_s=1.254, lost=2, acknowledged=912, **MOVED)
    assert told(drill) == (
        "gap 1.25 s without an acknowledged write, 2 of 912 acknowledged writes lost; primary moved from "
        "us-central1-a to us-central1-b"
    )


def test_lines_that_did_not_come_make_a_note() -> None:
    note = ("execution x1 succeeded; its lines were not in Cloud Logging yet",)
    drill = Drill(gap_s=None, lost=None, acknowledged=None, note=note, **MOVED)
    assert told(drill) == note[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("drill", "failover"), "missing argument"),
        (("drill", "failover", "postgres"), "'postgres' is not one of 'redis'"),
        (("backup", "create", "cache", "--note", "x"), "an export has no description"),
    ],
)
def test_words_that_make_no_sense_are_refused_before_anything_is_looked_at(
    plantctl: Type, words: tuple[str, ...], says: str
) -> None:
    done = plantctl(*words)
    assert done.code == 2
    assert says in done.err
