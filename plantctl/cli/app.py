"""The command line as a whole, and the one place that catches: errors become one paragraph and an exit code."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from plantctl import __version__
from plantctl.cli import backup, config, drill, item, journal, lock, phase, rehearse, release, sandbox, status
from plantctl.cli.options import Root, with_examples
from plantctl.cli.output import err, out
from plantctl.errors import PlantctlError, UsageError
from plantctl.views.diagnostics import document, explain
from plantctl.views.text import page_for

HELP = with_examples(
    "Takes an operator through the deployment checklist of the Plant platform on Google Cloud, or rehearses it on a"
    " local sandbox, which is the default target.",
    (
        "plantctl rehearse                  # all of it against the local sandbox",
        "plantctl phase plan database       # what would be done; writes nothing",
        "plantctl phase run database        # do it, with what it needs",
        "plantctl status checklist          # what is proved, since when, by what",
    ),
)

app = typer.Typer(
    name="plantctl",
    cls=Root,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for part in (phase, status, item, release, lock, journal, config, backup, drill, sandbox):
    app.add_typer(part.app)
rehearse.register(app)


def _version(asked: bool) -> None:
    if asked:
        out(f"plantctl {__version__}")
        raise typer.Exit(0)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version.", show_default=False),
    ] = False,
) -> None: ...


def run(argv: Sequence[str], program: typer.Typer = app) -> int:
    """Run a command line and give its exit code; whatever goes wrong is told on stderr (and as JSON on stdout)."""
    try:
        code = program(args=list(argv), prog_name="plantctl", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except PlantctlError as error:
        return _tell(error, argv)
    except KeyboardInterrupt:
        err("interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader at the other end has seen enough
        _close_stdout()
        return 128 + signal.SIGPIPE
    except Exception as error:
        if hasattr(error, "format_message"):  # Typer's own usage errors; it keeps their classes private
            return _usage(error, argv)
        return _tell(_bug(error), argv, error)


def _usage(error: Any, argv: Sequence[str]) -> int:
    ctx: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        out(ctx.get_help())
        return 0 if ctx.parent is None else UsageError.exit_code
    path = ctx.command_path if ctx else "plantctl"
    return _tell(UsageError(_lowered(error.format_message()), hint=f"{path} --help"), argv)


def _lowered(message: str) -> str:
    """Typer's sentence as plantctl words it: no capital, no full stop."""
    words = " ".join(message.split())
    return (words[:1].lower() + words[1:]).rstrip(".")


def _bug(error: Exception) -> PlantctlError:
    words = f": {error}" if str(error) else ""
    return PlantctlError(
        f"this is a bug in plantctl: {type(error).__name__}{words}",
        cause="an error that nobody foresaw; the journal is whole, and running again is safe",
        hint="run it again with --debug for the traceback, and report it",
        reference="bug",
    )


def _tell(error: PlantctlError, argv: Sequence[str], crash: BaseException | None = None) -> int:
    if "--debug" in argv:
        import traceback

        err("".join(traceback.format_exception(crash or error)).rstrip())
    err(explain(error, page_for(sys.stderr)))
    if _wants_json(argv):
        try:
            out(json.dumps(document(error), ensure_ascii=False))
        except BrokenPipeError:
            _close_stdout()
    return error.exit_code


def _wants_json(argv: Sequence[str]) -> bool:
    return "--format=json" in argv or any(pair == ("--format", "json") for pair in itertools.pairwise(argv))


def _close_stdout() -> None:
    """Point stdout at nothing, so that Python's own flush at exit says nothing either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
