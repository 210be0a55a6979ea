"""`plantctl backup create|list`: backups of the database on demand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from plantctl.cli import compose
from plantctl.cli.options import common, noun, verb
from plantctl.cli.output import err, out, show

if TYPE_CHECKING:
    from plantctl.engine.reader import Reader
    from plantctl.steps.backups import Backup

app = noun("backup", "Backups of the database.")
COMMAND = "backup create"


@verb(app, "create", "plantctl backup create", "plantctl backup create --note 'before the tier change'")
def create_backup(
    ctx: typer.Context,
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Goes into the backup's description.", show_default=False)
    ] = "",
) -> None:
    """Make a backup of the Cloud SQL instance now and wait until it is there. It is kept until somebody deletes it."""
    from plantctl.cli.running import stopped_by_signals
    from plantctl.cli.sessions import writing
    from plantctl.engine.stop import Stop
    from plantctl.errors import Interrupted
    from plantctl.steps import backups
    from plantctl.views.text import duration

    said = common(ctx)
    given = compose.settings(said)
    stop = Stop()
    command = f"{COMMAND} --note '{note}'" if note else COMMAND
    with writing(given, said, command=command, stop=stop) as work, stopped_by_signals(stop):
        recorder, outcome = work.recorder, "failed"
        err(f"backing up {given.plant.database.instance}: usually 1 to 10 minutes on Google Cloud")
        try:
            open_runs = unsettled(recorder.journal.reader, but=recorder.run)
            made, new = backups.create(work.session.ctx, run=recorder.run, unsettled=open_runs, note=note)
            outcome = "succeeded"
        except Interrupted:
            outcome = "interrupted"
            raise
        finally:
            writes, requests = recorder.counts()
            recorder.finish(outcome, {"writes": writes, "requests": requests})
    if said.json:
        show(said, str, lambda: {"schema_version": 1, "backup": _row(made), "created": new})
        return
    if not new:
        err("this is the backup that an interrupted command began; no second one was made")
    size = f"{made.size_gb:.3g} GB" if made.size_gb is not None else "size not told"
    took = duration(made.seconds) if made.seconds is not None else "duration not told"
    out(f"backup {made.id} {made.status}: {size}, {took}, in {made.location or 'a location not told'}")


@verb(app, "list", "plantctl backup list", "plantctl backup list --format json")
def list_backups(ctx: typer.Context) -> None:
    """List the instance's backups, newest first."""
    from plantctl.cli.sessions import looking
    from plantctl.engine.stop import Stop
    from plantctl.steps import backups
    from plantctl.views.tables import backups_text, listing_document
    from plantctl.views.text import page_for

    said = common(ctx)
    given = compose.settings(said)
    with looking(given, said, stop=Stop()) as look:
        found = [_row(backup) for backup in backups.listed(look.session.ctx.gcp, given.plant)]
    show(said, lambda: backups_text(found, page_for(sys.stdout)), lambda: listing_document("backups", found))


def unsettled(reader: Reader, *, but: str) -> tuple[str, ...]:
    """Ids of runs of `backup create` since the last that succeeded: what became of their backups nobody knows."""
    found: list[str] = []
    for run in reader.runs(limit=1000):
        if run.command.startswith(COMMAND) and run.id != but:
            if run.outcome == "succeeded":
                break
            found.append(run.id)
    return tuple(found)


def _row(backup: Backup) -> dict[str, object]:
    size = None if backup.size_gb is None else round(backup.size_gb, 3)
    return {**vars(backup), "size_gb": size}
