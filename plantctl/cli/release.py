"""`plantctl release build|deploy|promote|rollback|list`: which code the service runs, and who is served by it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from plantctl.cli import compose
from plantctl.cli.options import Parallel, common, noun, verb
from plantctl.cli.output import Common, err, out, show

if TYPE_CHECKING:
    from plantctl.settings import Settings
    from plantctl.steps.context import Context
    from plantctl.steps.release import Released

app = noun("release", "Versions of the backend: build, try, give traffic, take it back.")
SCAN = "backend.image.scan"
Version = Annotated[
    str, typer.Option("--version", metavar="TAG", help="Instead of backend.version.", show_default=False)
]


@verb(app, "build", "plantctl release build --version v1.1.0")
def build_release(ctx: typer.Context, version: Version = "", parallel: Parallel = 10) -> None:
    """Build, push and scan the image of a version. Exit 6 for a critical vulnerability that has a fix."""
    from plantctl.cli.phase import carry_out
    from plantctl.engine.item import RunOptions
    from plantctl.steps.context import Options

    said = common(ctx)
    carry_out(
        said,
        compose.settings(said, version=version),
        (),
        only=(SCAN,),
        with_needs=True,
        parallel=parallel,
        run_options=RunOptions(),
        step_options=Options(),
        secrets={},
    )


@verb(app, "deploy", "plantctl release deploy --version v1.1.0", "plantctl release deploy && plantctl release promote")
def deploy_release(ctx: typer.Context, version: Version = "") -> None:
    """Start a version beside what serves, without traffic, and try it at an address of its own."""
    from plantctl.steps import release

    said = common(ctx)
    given = compose.settings(said, version=version)
    err(f"starting {given.plant.backend.version} beside what serves: usually 30 to 90 s on Google Cloud")
    done = _change(said, given, f"release deploy --version {given.plant.backend.version}", release.deploy)
    words = (
        "has all traffic already" if done.percent == 100 else f"waits at {done.uri} with {done.percent} % of traffic"
    )
    tell(said, done, f"{done.version} as {done.revision} {words}", hint="plantctl release promote")


@verb(
    app,
    "promote",
    "plantctl release promote                  # all traffic, by 10 and 50 %",
    "plantctl release promote --percent 10     # and no further",
)
def promote_release(
    ctx: typer.Context,
    percent: Annotated[int, typer.Option("--percent", min=1, max=100, metavar="N", help="Part of the traffic.")] = 100,
    watch: Annotated[
        float, typer.Option("--watch", min=1, max=3600, metavar="SECONDS", help="How long each step is watched.")
    ] = 10.0,
) -> None:
    """Give the newest revision traffic in steps. An error takes all of it back to where it was, with exit 6."""
    from plantctl.steps import promotion

    said = common(ctx)
    given = compose.settings(said)
    command = f"release promote --percent {percent}"
    done = _change(said, given, command, lambda work: promotion.promote(work, percent, watch_s=watch))
    tell(said, done, f"{done.revision} has {done.percent} % of traffic", hint="plantctl release rollback takes it back")


@verb(app, "rollback", "plantctl release rollback", "plantctl release rollback --to v1.0.0")
def rollback_release(
    ctx: typer.Context,
    to: Annotated[
        str, typer.Option("--to", metavar="REVISION", help="A revision or version instead.", show_default=False)
    ] = "",
) -> None:
    """Give all traffic back to what served before, at once. Nothing is built or started anew."""
    from plantctl.steps import promotion

    said = common(ctx)
    given = compose.settings(said)
    command = f"release rollback --to {to}" if to else "release rollback"
    done = _change(said, given, command, lambda work: promotion.rollback(work, to))
    tell(said, done, f"{done.revision} has all traffic", hint="plantctl release promote goes forward again")


@verb(app, "list", "plantctl release list", "plantctl release list --format json")
def list_releases(ctx: typer.Context) -> None:
    """List the service's revisions, newest first: version, digest, part of the traffic."""
    from plantctl.cli.sessions import looking
    from plantctl.engine.stop import Stop
    from plantctl.steps import release
    from plantctl.views.tables import listing_document, listing_text
    from plantctl.views.text import page_for

    said = common(ctx)
    with looking(compose.settings(said), said, stop=Stop()) as look:
        rows = release.listed(look.session.ctx)
    keys = ("revision", "version", "percent", "state", "tag", "created", "digest")
    show(said, lambda: listing_text(rows, keys, page_for(sys.stdout)), lambda: listing_document("revisions", rows))


def _change(said: Common, given: Settings, command: str, work: Callable[[Context], Released]) -> Released:
    """Carry out a release command under the lock, as a run in the journal."""
    from plantctl.cli.running import stopped_by_signals
    from plantctl.cli.sessions import writing
    from plantctl.engine.stop import Stop
    from plantctl.errors import Interrupted

    stop = Stop()
    with writing(given, said, command=command, stop=stop) as held, stopped_by_signals(stop):
        outcome = "failed"
        try:
            done = work(held.session.ctx)
            outcome = "succeeded"
        except Interrupted:
            outcome = "interrupted"
            raise
        finally:
            writes, requests = held.recorder.counts()
            held.recorder.finish(outcome, {"writes": writes, "requests": requests})
    return done


def tell(said: Common, done: Released, sentence: str, *, hint: str) -> None:
    """What came of a release: one sentence with what was seen before it, or one document."""
    if said.json:
        show(said, str, lambda: {"schema_version": 1, "release": {**vars(done), "words": list(done.words)}})
        return
    for words in done.words:
        err(words)
    out(f"{sentence}{'' if done.changed else '; nothing had to be changed'}")
    if done.changed:
        err(f"next: {hint}")
