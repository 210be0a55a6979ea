"""The live view on a terminal: what is drawn, that it is taken away, and when it is not used at all."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from plantctl.views.human import run_view
from plantctl.views.lines import LinesView
from plantctl.views.live import LiveView, bar, progress
from plantctl.views.text import Page
from tests.unit.views import samples


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def plain(text: str) -> str:
    return re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize("width", [80, 120])
def test_running_items_are_drawn_and_finished_ones_scroll_by(width: int) -> None:
    err, out = Terminal(), io.StringIO()
    page = Page(width=width)
    view = LiveView(err=err, out=out, err_page=page, out_page=page)
    try:
        for event in samples.run()[:9]:
            view(event)
        shown = io.StringIO()
        Console(file=shown, width=width, no_color=True).print(view._table())
        drawn = shown.getvalue()
        assert f"{samples.SQL} ╺" in drawn
        assert "of ~14 min 00 s" in drawn
        assert "1 of 6 items" in drawn
        assert samples.PASSWORD not in drawn
        for event in samples.run()[9:]:
            view(event)
    finally:
        view.close()
    told = plain(err.getvalue())
    assert f"changed    {samples.SQL}" in told
    assert f"failed     {samples.TIER}" in told
    assert max(map(len, told.replace("\r", "\n").splitlines())) <= width
    assert out.getvalue().rstrip().endswith("critical path 13 min 17 s")
    assert err.getvalue().rindex("\033[?25h") > err.getvalue().rindex("\033[?25l")  # the cursor is back


def test_no_animation_off_a_terminal() -> None:
    off = [(io.StringIO(), {}), (Terminal(), {"TERM": "dumb"}), (Terminal(), {"CI": "true"})]
    for err, env in off:
        assert isinstance(run_view("human", out=io.StringIO(), err=err, env=env), LinesView)
    view = run_view("human", out=io.StringIO(), err=Terminal(), env={})
    assert isinstance(view, LiveView)
    view.close()
    view.close()


def test_the_bar_never_claims_to_be_done() -> None:
    assert bar(0, 0).strip() == ""
    assert bar(50, 100) == "━━━━━━╺─────"
    assert bar(500, 100) == "━━━━━━━━━━━╺"
    assert progress(42, 600) == "42 s of ~10 min 00 s"
    assert progress(42, 0) == "42 s"
