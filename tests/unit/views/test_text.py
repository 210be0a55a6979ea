"""The words of every view at 80 and 120 columns, against pages kept in snapshots/; and what never shows."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plantctl.errors import LockHeld
from plantctl.views import diagnostics, lines, tables
from plantctl.views.plan import counts, plan_text
from plantctl.views.text import Page, columns, duration, page_for, shorten
from tests.unit.views import samples

SNAPSHOTS = Path(__file__).parent / "snapshots"


def run_text(page: Page) -> str:
    """Both streams of a run as plain lines."""
    out, err = io.StringIO(), io.StringIO()
    view = lines.LinesView(err=err, out=out, err_page=page, out_page=page)
    for event in samples.run():
        view(event)
    view.close()
    return f"{err.getvalue()}---- stdout\n{out.getvalue()}".rstrip("\n")


VIEWS: dict[str, Callable[[Page], str]] = {
    "plan": lambda page: plan_text(samples.plan(), page),
    "plan_verbose": lambda page: plan_text(samples.plan(), page, verbose=True),
    "status": lambda page: tables.status_text(samples.report(), page),
    "item": lambda page: tables.item_text(samples.report().items[1], samples.history(), page),
    "runs": lambda page: tables.runs_text(samples.runs(), page),
    "run": run_text,
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_reads_as_its_snapshot(name: str, width: int) -> None:
    assert VIEWS[name](Page(width=width)) + "\n" == (SNAPSHOTS / f"{name}_{width}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", VIEWS)
def test_no_line_is_wider_than_the_page_but_commands(name: str, width: int) -> None:
    wide = [line for line in VIEWS[name](Page(width=width)).splitlines() if len(line) > width]
    assert [line for line in wide if "to do:   plantctl " not in line] == []


@pytest.mark.parametrize("name", VIEWS)
def test_sensitive_values_are_never_shown(name: str) -> None:
    assert samples.HIDDEN not in VIEWS[name](Page(width=200))


@pytest.mark.parametrize("name", VIEWS)
def test_colour_changes_no_word(name: str) -> None:
    painted = VIEWS[name](Page(width=80, colour=True))
    assert "\033[" in painted
    assert re.sub(r"\033\[\d*m", "", painted) == VIEWS[name](Page(width=80))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it() -> None:
    assert page_for(Terminal(), {}).colour
    assert not page_for(Terminal(), {"NO_COLOR": "1"}).colour
    assert not page_for(Terminal(), {"TERM": "dumb"}).colour
    assert not page_for(io.StringIO(), {}).colour


def test_an_error_is_one_paragraph() -> None:
    error = LockHeld("another plantctl writes to this plant", cause="it holds a lock", hint="plantctl lock show")
    assert diagnostics.explain(error, Page()).splitlines() == [
        "error: another plantctl writes to this plant [lock-held]",
        "  because: it holds a lock",
        "  to do:   plantctl lock show",
    ]
    body = diagnostics.document(error)["error"]
    assert isinstance(body, dict)
    assert (body["reference"], body["exit_code"]) == ("lock-held", 5)


def test_a_long_command_is_not_broken() -> None:
    command = "plantctl item attest x --note '" + "word " * 30 + "'"
    assert diagnostics.explain(LockHeld("x", hint=command), Page()).splitlines()[-1] == f"  to do:   {command}"


def test_lock_and_lists() -> None:
    assert tables.lock_text(samples.lock(True)).startswith("held by ada@h, pid 7")
    assert tables.lock_text(samples.lock(False)).startswith("free; ada@h")
    assert tables.runs_text((), Page()) == "no run is in the journal"
    assert tables.backups_text((), Page()) == "no backup yet"
    rows = [{"id": "1732300000000", "type": "AUTOMATED", "status": "SUCCESSFUL", "started": samples.AT, "size_gb": 3}]
    assert tables.backups_text(rows, Page(width=120)).splitlines()[1].split()[:3] == [
        "1732300000000", "AUTOMATED", "SUCCESSFUL",
    ]  # fmt: skip
    assert "type: AUTOMATED" in tables.backups_text(rows, Page(width=60))


def test_counts_of_a_plan_add_up() -> None:
    found = counts(samples.plan())
    assert found.pop("total") == sum(found.values()) == 10


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (5400, "1 h 30 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_columns_and_shortening() -> None:
    assert columns([("a", "bb", "c"), ("aaa", "b", "x" * 40)], width=20) == ["a    bb  c", "aaa  b   xxxxxxxxxx…"]
    assert shorten("one\n two  three", 9) == "one two …"
    assert columns([], width=80) == []


def test_status_and_json_need_no_rich() -> None:
    code = "import sys; import plantctl.views.tables, plantctl.views.human; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
