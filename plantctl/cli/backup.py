"""`plantctl backup create|list`: backups of the database, and exports of the cache, on demand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from plantctl.cli import compose
from plantctl.cli.options import common, noun, verb
from plantctl.cli.output import Common, err, out, show
from plantctl.errors import UsageError

if TYPE_CHECKING:
    from plantctl.engine.reader import Reader
    from plantctl.settings import Settings
    from plantctl.steps.backups import Backup

app = noun("backup", "Backups of database and cache.")
COMMAND = "backup create"
What = Annotated[Literal["database", "cache"], typer.Argument(metavar="[database|cache]", help="What is backed up.")]


@verb(
    app, "create", "plantctl backup create", "plantctl backup create --note 'before the tier change'",
    "plantctl backup create cache",
)  # fmt: skip
def create_backup(
    ctx: typer.Context,
    what: What = "database",
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Goes into the backup's description.", show_default=False)
    ] = "",
) -> None:
    """Back the Cloud SQL instance up now, or export Redis to Cloud Storage, and wait until it is there.

    A backup of the database is kept until somebody deletes it; of the exports the bucket keeps 30 days.
    """
    said = common(ctx)
    given = compose.settings(said)
    if what == "cache":
        if note:
            raise UsageError("an export has no description to put a note into", hint="plantctl backup create cache")
        _export(given, said)
    else:
        _back_up(given, said, note)


def _export(given: Settings, said: Common) -> None:
    from plantctl.cli.recorded import recorded
    from plantctl.steps import exports

    err(f"exporting {given.plant.cache.instance}: usually 1 to 5 minutes on Google Cloud")
    made = recorded(given, said, f"{COMMAND} cache", lambda work: exports.create(work.session.ctx))
    text = f"export {made.uri}: {made.size_bytes} bytes, of {made.created[:19]}"
    show(said, lambda: text, lambda: {"schema_version": 1, "export": vars(made)})


def _back_up(given: Settings, said: Common, note: str) -> None:
    from plantctl.cli.recorded import recorded
    from plantctl.cli.sessions import Writing
    from plantctl.steps import backups
    from plantctl.views.text import duration

    def work(writing: Writing) -> tuple[Backup, bool]:
        recorder = writing.recorder
        err(f"backing up {given.plant.database.instance}: usually 1 to 10 minutes on Google Cloud")
        open_runs = unsettled(recorder.journal.reader, but=recorder.run)
        return backups.create(writing.session.ctx, run=recorder.run, unsettled=open_runs, note=note)

    made, new = recorded(given, said, f"{COMMAND} --note '{note}'" if note else COMMAND, work)
    if said.json:
        show(said, str, lambda: {"schema_version": 1, "backup": _row(made), "created": new})
        return
    if not new:
        err("this is the backup that an interrupted command began; no second one was made")
    size = f"{made.size_gb:.3g} GB" if made.size_gb is not None else "size not told"
    took = duration(made.seconds) if made.seconds is not None else "duration not told"
    out(f"backup {made.id} {made.status}: {size}, {took}, in {made.location or 'a location not told'}")


@verb(app, "list", "plantctl backup list", "plantctl backup list --format json", "plantctl backup list cache")
def list_backups(ctx: typer.Context, what: What = "database") -> None:
    """List the instance's backups, or the exports of Redis that the bucket keeps, newest first."""
    from plantctl.cli.sessions import looking
    from plantctl.engine.stop import Stop
    from plantctl.steps import backups, exports
    from plantctl.views.tables import backups_text, listing_document, listing_text
    from plantctl.views.text import page_for

    said = common(ctx)
    given = compose.settings(said)
    page = page_for(sys.stdout)
    with looking(given, said, stop=Stop()) as look:
        gcp = look.session.ctx.gcp
        if what == "database":
            found = [_row(backup) for backup in backups.listed(gcp, given.plant)]
        else:
            found = [vars(export) for export in exports.listed(gcp, given.plant)]
    if what == "database":
        show(said, lambda: backups_text(found, page), lambda: listing_document("backups", found))
    else:
        keys = ("created", "size_bytes", "current", "uri")
        show(
            said,
            lambda: listing_text(found, keys, page, none="no export yet"),
            lambda: listing_document("exports", found),
        )


def unsettled(reader: Reader, *, but: str) -> tuple[str, ...]:
    """Ids of runs of `backup create` since the last that succeeded: what became of their backups nobody knows."""
    found: list[str] = []
    for run in reader.runs(limit=1000):
        if run.command.startswith(COMMAND) and run.command != f"{COMMAND} cache" and run.id != but:
            if run.outcome == "succeeded":
                break
            found.append(run.id)
    return tuple(found)


def _row(backup: Backup) -> dict[str, object]:
    size = None if backup.size_gb is None else round(backup.size_gb, 3)
    return {**vars(backup), "size_gb": size}
