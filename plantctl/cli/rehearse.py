"""`plantctl rehearse`: the whole checklist, as far as it has steps, against the local sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from plantctl.cli import autostart, compose
from plantctl.cli.options import Command, Parallel, common, with_examples
from plantctl.cli.output import err
from plantctl.cli.sandbox import Speed, checked_speed
from plantctl.model.step import Outcome

if TYPE_CHECKING:
    from plantctl.engine.runner import RunResult

HELP = with_examples(
    "Start the local sandbox, run every item that has a step, and show the checklist. The sandbox is left running, to"
    " look around in. Works on the sandbox whatever the target in plant.toml is.",
    ("plantctl rehearse", "plantctl rehearse --speed max"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rehearse", cls=Command, help=HELP)(rehearse)


def rehearse(ctx: typer.Context, speed: Speed = autostart.START_SPEED, parallel: Parallel = 10) -> None:
    """Exit 0 when every item that has a step is in place, or waits for a person only."""
    from plantctl.cli.report import show_checklist
    from plantctl.cli.running import Screen, perform, stopped_by_signals
    from plantctl.cli.sessions import writing
    from plantctl.engine.catalog import select
    from plantctl.engine.item import RunOptions
    from plantctl.engine.stop import Stop

    said = common(ctx)
    given = compose.settings(said, target="sandbox")
    catalog = compose.catalog(given)
    selection = select(catalog, with_step_only=True)
    told = autostart.ensure(given.home, speed=checked_speed(speed))
    if str(told["speed"]) not in (speed, f"{speed}.0"):
        wanted = speed if speed == "max" else float(speed)
        autostart.control(str(told["rest"]), "PUT", "clock", {"speed": wanted})
    screen, stop = Screen(said), Stop()
    with (
        writing(given, said, command=compose.command_line(), stop=stop, listeners=(screen,), parallel=parallel) as work,
        stopped_by_signals(stop, screen),
    ):
        result = perform(work, selection, RunOptions(), common=said, screen=screen)
    if result.finished.outcome == "interrupted":
        err("plantctl rehearse goes on from here; plantctl sandbox down stops the sandbox")
        raise typer.Exit(result.exit_code)
    show_checklist(said, given, after_run=True)
    needs = {item: catalog.needs(item) for item in catalog.items}
    with_step = [item for item in catalog.entries if item in result.outcomes]
    good = all(waits_only(item, result, needs) for item in with_step)
    err(_words(str(told["rest"]), good))
    raise typer.Exit(0 if good else result.exit_code or 1)


def waits_only(item: str, result: RunResult, needs: Mapping[str, Sequence[str]]) -> bool:
    """True when an item is in place, waits for a person, or is held up by nothing but such a wait."""
    outcome = result.outcomes.get(item)
    if outcome in (Outcome.CHANGED, Outcome.UNCHANGED, Outcome.WAITING):
        return True
    error = result.errors.get(item)
    if outcome is not Outcome.BLOCKED or error is None or error.reference != "needs-not-in-place":
        return False
    return all(waits_only(need, result, needs) for need in needs[item])


def _words(rest: str, good: bool) -> str:
    head = "the rehearsal is through" if good else "the rehearsal did not come through: see above what failed"
    return f"""
{head}
the sandbox goes on at {rest}
  plantctl item show database.instance.create    what was proved of an item
  plantctl status runs                           what was run
  eval "$(plantctl sandbox env)"                 gcloud sees this plant then
  plantctl rehearse                              again: nothing is written
  plantctl sandbox down                          stop it (--purge: data too)"""
