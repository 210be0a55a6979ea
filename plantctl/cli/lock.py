"""`plantctl lock show|release`: who writes to this plant."""

from __future__ import annotations

import typer

from plantctl.cli import compose
from plantctl.cli.options import common, noun, verb
from plantctl.cli.output import out, show

app = noun("lock", "Who writes to this plant.")


@verb(app, "show", "plantctl lock show")
def show_lock(ctx: typer.Context) -> None:
    """Show who holds the lock: person, host, process, since when, which command."""
    from plantctl.engine import lock
    from plantctl.views.tables import lock_document, lock_text

    said = common(ctx)
    state = lock.show(compose.settings(said).home)
    show(said, lambda: lock_text(state), lambda: lock_document(state))


@verb(app, "release", "plantctl lock release")
def release_lock(ctx: typer.Context) -> None:
    """Clear what a process that is gone left behind. The kernel frees the lock itself, so there is no stale one."""
    from plantctl.engine import lock

    said = common(ctx)
    words = lock.release(compose.settings(said).home)
    if said.json:
        show(said, str, lambda: {"schema_version": 1, "message": words})
    else:
        out(words)
