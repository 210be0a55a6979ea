"""Picks the view of a run for people: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

from plantctl.views.json_lines import JsonLinesView
from plantctl.views.lines import LinesView
from plantctl.views.live import LiveView
from plantctl.views.protocol import RunView
from plantctl.views.text import page_for


def run_view(form: str, *, out: TextIO, err: TextIO, env: Mapping[str, str] | None = None) -> RunView:
    """The view of a run. `form`: `human` or `json`. No animation off a terminal, nor with TERM=dumb or CI set."""
    if form == "json":
        return JsonLinesView(out)
    env = os.environ if env is None else env
    pages = {"err_page": page_for(err, env), "out_page": page_for(out, env)}
    if err.isatty() and env.get("TERM") != "dumb" and not env.get("CI"):
        return LiveView(err=err, out=out, **pages)
    return LinesView(err=err, out=out, **pages)
