"""`plantctl phase list|plan|run|verify`: what there is to do, what would be done, doing it, looking again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from plantctl.cli import compose
from plantctl.cli.options import (
    Adopt,
    AllowRestart,
    NoNeeds,
    Only,
    Parallel,
    Phases,
    Recreate,
    SecretFiles,
    common,
    noun,
    verb,
)
from plantctl.cli.output import Common, show
from plantctl.errors import UsageError

if TYPE_CHECKING:
    from plantctl.engine.item import RunOptions
    from plantctl.model.secret import Secret
    from plantctl.settings import Settings
    from plantctl.steps.context import Options

app = noun("phase", "Plan, run and verify the phases of the checklist.")


@verb(app, "list", "plantctl phase list", "plantctl phase list --format json")
def list_phases(ctx: typer.Context) -> None:
    """List the phases with the number of their items, and of those that have a step."""
    from plantctl.cli.checklists import load
    from plantctl.views.tables import phases_document, phases_text
    from plantctl.views.text import page_for

    checklist = load()
    with_step = frozenset(entry.id for entry in compose.steps())
    show(
        common(ctx),
        lambda: phases_text(checklist, page_for(sys.stdout), with_step=with_step),
        lambda: phases_document(checklist, with_step=with_step),
    )


@verb(
    app,
    "plan",
    "plantctl phase plan database",
    "plantctl phase plan all --detailed-exitcode    # exit 3 when something is to be done",
    "plantctl phase plan --only database.instance.tier",
)
def plan_phases(
    ctx: typer.Context,
    phases: Phases = None,
    only: Only = None,
    no_needs: NoNeeds = False,
    parallel: Parallel = 10,
    recreate: Recreate = None,
    detailed: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 3 when changes are pending.", show_default=False)
    ] = False,
) -> None:
    """Show what a run would do and how long it usually takes. Writes nothing, takes no lock."""
    from plantctl.cli.running import stopped_by_signals
    from plantctl.cli.sessions import looking
    from plantctl.engine.catalog import select
    from plantctl.engine.planner import plan
    from plantctl.engine.stop import Stop
    from plantctl.steps.context import Options
    from plantctl.views.plan import plan_document, plan_text
    from plantctl.views.text import page_for

    said = common(ctx)
    given = compose.settings(said)
    selection = select(
        compose.catalog(given), _asked(phases, only, "plan"), only=tuple(only or ()), with_needs=not no_needs
    )
    options = Options(recreate=compose.recreated(given.plant, recreate or ()))
    stop = Stop()
    with looking(given, said, parallel=parallel, options=options, stop=stop) as look, stopped_by_signals(stop):
        found = plan(look.session, selection, reader=look.reader, scope=look.scope, recorder=look.recorder)
    page = page_for(sys.stdout)
    show(said, lambda: plan_text(found, page, verbose=said.verbose), lambda: plan_document(found))
    raise typer.Exit(found.exit_code(detailed=detailed))


@verb(
    app,
    "run",
    "plantctl phase run predeploy database",
    "plantctl phase run --only database.instance.tier --allow-restart",
    "plantctl phase run all --yes --format json",
)
def run_phases(
    ctx: typer.Context,
    phases: Phases = None,
    only: Only = None,
    no_needs: NoNeeds = False,
    parallel: Parallel = 10,
    allow_restart: AllowRestart = False,
    adopt: Adopt = False,
    recreate: Recreate = None,
    secret_file: SecretFiles = None,
) -> None:
    """Bring the items of these phases into place, with what they need, and record proof. Running it again writes
    nothing."""
    from plantctl.engine.item import RunOptions
    from plantctl.steps.context import Options

    said = common(ctx)
    given = compose.settings(said)
    names = compose.recreated(given.plant, recreate or ())
    carry_out(
        said,
        given,
        _asked(phases, only, "run"),
        only=tuple(only or ()),
        with_needs=not no_needs,
        parallel=parallel,
        run_options=RunOptions(allow_restart=allow_restart, adopt=adopt),
        step_options=Options(adopt=adopt, allow_restart=allow_restart, recreate=names),
        secrets=compose.given_secrets(secret_file or ()),
    )


@verb(app, "verify", "plantctl phase verify database", "plantctl phase verify --only database.proxy.tls")
def verify_phases(ctx: typer.Context, phases: Phases = None, only: Only = None, parallel: Parallel = 10) -> None:
    """Look at everything anew and renew the evidence; what has drifted is said and left as it is."""
    from plantctl.engine.item import RunOptions
    from plantctl.steps.context import Options

    said = common(ctx)
    carry_out(
        said,
        compose.settings(said),
        _asked(phases, only, "verify"),
        only=tuple(only or ()),
        with_needs=False,
        parallel=parallel,
        run_options=RunOptions(renew=True),
        step_options=Options(),
        secrets={},
    )


def carry_out(
    said: Common,
    given: Settings,
    phases: Sequence[str],
    *,
    only: Sequence[str],
    with_needs: bool,
    parallel: int,
    run_options: RunOptions,
    step_options: Options,
    secrets: dict[str, Secret],
) -> None:
    """A run of these phases and items, told as it goes; ends the command with the run's exit code."""
    from plantctl.cli.running import Screen, perform, stopped_by_signals
    from plantctl.cli.sessions import writing
    from plantctl.engine.catalog import select
    from plantctl.engine.stop import Stop

    selection = select(compose.catalog(given), phases, only=only, with_needs=with_needs)
    screen, stop = Screen(said), Stop()
    with (
        writing(
            given,
            said,
            command=compose.command_line(),
            stop=stop,
            listeners=(screen,),
            parallel=parallel,
            options=step_options,
            secrets=secrets,
        ) as work,
        stopped_by_signals(stop, screen),
    ):
        result = perform(work, selection, run_options, common=said, screen=screen)
    raise typer.Exit(result.exit_code)


def _asked(phases: list[str] | None, only: list[str] | None, word: str) -> tuple[str, ...]:
    if not phases and not only:
        from plantctl.cli.checklists import load

        known = ", ".join(phase.id for phase in load().phases)
        raise UsageError("which phase?", hint=f"plantctl phase {word} all, or one of: {known}")
    return tuple(phases or ())
