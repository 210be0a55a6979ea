"""`plantctl drill failover`: an outage on purpose, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from plantctl.cli import compose
from plantctl.cli.options import common, noun, verb
from plantctl.cli.output import err, show

if TYPE_CHECKING:
    from plantctl.steps.failover import Drill

app = noun("drill", "Outages on purpose, measured.")


@verb(app, "failover", "plantctl drill failover redis", "plantctl drill failover redis --yes --format json")
def fail_over(
    ctx: typer.Context,
    target: Annotated[Literal["redis"], typer.Argument(help="What is failed over.", show_default=False)],
) -> None:
    """Promote the standby while a probe inside the network writes, and print the gap in seconds and the writes lost.

    Writes fail for some seconds, on a live system too. What was acknowledged and not replicated yet may be lost.
    """
    from plantctl.cli.recorded import recorded
    from plantctl.steps import failover

    said = common(ctx)
    given = compose.settings(said)
    err(f"failing {given.plant.cache.instance} over: writes stop for some seconds, and up to a minute on Google Cloud")
    done = recorded(given, said, f"drill failover {target}", lambda work: failover.on_request(work.session.ctx))
    show(said, lambda: told(done), lambda: {"schema_version": 1, "drill": {"target": target, **vars(done)}})


def told(done: Drill) -> str:
    """The result in one line; a note where the probe's lines were not there."""
    if done.gap_s is None or done.lost is None:
        return "\n".join(done.note)
    return (
        f"gap {done.gap_s:.2f} s without an acknowledged write, {done.lost} of {done.acknowledged} acknowledged "
        f"writes lost; primary moved from {done.before} to {done.after}"
    )
