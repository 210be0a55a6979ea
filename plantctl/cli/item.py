"""`plantctl item show|attest|waive|withdraw`: one item's story, and a person's word on it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from plantctl.cli import compose
from plantctl.cli.options import common, noun, verb
from plantctl.cli.output import Common, out, show

app = noun("item", "Look at one item, or put a person's word on record.")

Item = Annotated[str, typer.Argument(metavar="ITEM", help="An item's id.", show_default=False)]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Who, why, where the record is.", show_default=False)]


@verb(app, "show", "plantctl item show database.instance.create")
def show_item(ctx: typer.Context, item: Item) -> None:
    """Show an item's status, evidence and history. Reads the journal only."""
    from plantctl.cli.report import report
    from plantctl.engine.reader import Reader
    from plantctl.engine.status import history
    from plantctl.views.tables import item_document, item_text
    from plantctl.views.text import page_for

    said = common(ctx)
    given = compose.settings(said)
    reader = Reader.open(given.home)
    try:
        (line,) = report(given, reader, only=(item,)).items
        past = history(reader, item)
    finally:
        reader.close()
    show(said, lambda: item_text(line, past, page_for(sys.stdout)), lambda: item_document(line, past))


@verb(app, "attest", "plantctl item attest ITEM --note 'read by Ada, minutes of 2026-11-20'")
def attest_item(
    ctx: typer.Context,
    item: Item,
    note: Note = "",
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help="Who vouches, when it is not you.", show_default=False)
    ] = "",
) -> None:
    """Put on record that a person vouches for an item that only a person can judge. The word expires."""

    def work(catalog: Any, recorder: Any) -> Any:
        from plantctl.engine.attest import attest

        return attest(catalog, recorder, item, note=note, by=by)

    _record(common(ctx), item, work)


@verb(app, "waive", "plantctl item waive ITEM --note 'kept by finance, ticket 4711' --days 90")
def waive_item(
    ctx: typer.Context,
    item: Item,
    note: Note = "",
    days: Annotated[int, typer.Option("--days", min=0, metavar="N", help="How long it holds; 0: until withdrawn.")] = 0,
) -> None:
    """Put on record that an item is left out on purpose; those that need it go on."""

    def work(catalog: Any, recorder: Any) -> Any:
        from plantctl.engine.attest import waive

        return waive(catalog, recorder, item, note=note, valid_days=days)

    _record(common(ctx), item, work)


@verb(app, "withdraw", "plantctl item withdraw ITEM --note 'the ticket was closed'")
def withdraw_item(ctx: typer.Context, item: Item, note: Note = "") -> None:
    """Take back an attestation or a waiver."""

    def work(catalog: Any, recorder: Any) -> Any:
        from plantctl.engine.attest import withdraw

        return withdraw(recorder, item, note=note)

    _record(common(ctx), item, work)


def _record(said: Common, item: str, work: Callable[[Any, Any], Any]) -> None:
    """One entry in the journal. No lock: it writes nothing to the plant, and a run that waits must not forbid it."""
    from plantctl.clock import SystemClock
    from plantctl.engine.catalog import select
    from plantctl.engine.journal import Journal
    from plantctl.engine.recorder import RunRecorder
    from plantctl.engine.stop import Stop

    given = compose.settings(said)
    catalog = compose.catalog(given)
    select(catalog, only=(item,))
    with Journal(given.home) as journal:
        recorder = RunRecorder(
            journal,
            command=compose.command_line(),
            binding=compose.known_binding(given),
            clock=SystemClock(),
            stop=Stop(),
        )
        outcome = "failed"
        try:
            entry = work(catalog, recorder)
            outcome = "succeeded"
        finally:
            recorder.finish(outcome, {})
    words = {"item": entry.item, "status": str(entry.kind), "by": entry.by, "note": entry.note}
    if said.json:
        show(said, str, lambda: {"schema_version": 1, **words, "valid_days": entry.valid_days})
        return
    until = f", for {entry.valid_days} days" if entry.valid_days else ""
    out(f"{entry.item} {entry.kind} by {entry.by}{until}" + (f": {entry.note}" if entry.note else ""))
