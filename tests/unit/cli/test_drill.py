"""What a drill prints, and what of a backup belongs to the database alone."""

from __future__ import annotations

import pytest

from plantctl.cli.drill import told
from plantctl.steps.failover import Drill
from tests.unit.cli.conftest import Type


def drilled(*, gap_s: float | None, lost: int | None, note: tuple[str, ...] = ()) -> Drill:
    """A drill that moved the primary from a to b, while 912 writes were acknowledged."""
    zones = ("us-central1-a", "us-central1-b")
    return Drill(execution="x1", gap_s=gap_s, lost=lost, acknowledged=912, before=zones[0], after=zones[1], note=note)


def test_a_drill_is_told_in_one_line() -> None:
    assert told(drilled(gap_s=1.254, lost=2)) == (
        "gap 1.25 s without an acknowledged write, 2 of 912 acknowledged writes lost; primary moved from "
        "us-central1-a to us-central1-b"
    )


def test_lines_that_did_not_come_make_a_note() -> None:
    note = ("execution x1 succeeded; its lines were not in Cloud Logging yet",)
    assert told(drilled(gap_s=None, lost=None, note=note)) == note[0]


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
