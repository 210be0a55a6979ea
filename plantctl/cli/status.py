"""`plantctl status checklist|runs`: what the journal says. Asks Google nothing and starts nothing."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from plantctl.cli import compose
from plantctl.cli.options import Phases, common, noun, verb
from plantctl.cli.output import show

app = noun("status", "What is proved, since when, by what; and which runs there were.")


@verb(
    app,
    "checklist",
    "plantctl status checklist",
    "plantctl status checklist database",
    "plantctl status checklist --format json",
)
def checklist(ctx: typer.Context, phases: Phases = None) -> None:
    """Show every item of the checklist, or of some phases, with its status and evidence. Reads the journal only."""
    from plantctl.cli.report import show_checklist

    said = common(ctx)
    show_checklist(said, compose.settings(said), phases or ())


@verb(app, "runs", "plantctl status runs", "plantctl status runs --limit 5 --format json")
def runs(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many.")] = 20,
) -> None:
    """Show the last runs: when, by whom, how each ended."""
    from plantctl.engine.reader import Reader
    from plantctl.views.tables import runs_document, runs_text
    from plantctl.views.text import page_for

    said = common(ctx)
    reader = Reader.open(compose.settings(said).home)
    try:
        found = reader.runs(limit=limit)
    finally:
        reader.close()
    show(said, lambda: runs_text(found, page_for(sys.stdout)), lambda: runs_document(found))
