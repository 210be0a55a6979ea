"""What every command takes (`--config`, `--format`, ...), the words that several share, and how a verb is declared.

The common options may stand before the noun or after the verb; the later one wins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_params_convertors_ctx_param_name_from_function

from plantctl.cli.output import Common

F = TypeVar("F", bound=Callable[..., Any])
_META = "plantctl.common"


def _common(
    config: Annotated[str, typer.Option(metavar="FILE", help="The plant.toml to use.", show_default=False)] = "",
    home: Annotated[
        str, typer.Option(metavar="FOLDER", help="Journal and local state; else .plantctl.", show_default=False)
    ] = "",
    form: Annotated[
        Literal["human", "json"] | None, typer.Option("--format", help="Output for people or for scripts.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell each request: method, status, time.", show_default=False)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks with errors.", show_default=False)] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)] = False,
) -> None: ...


@functools.cache
def _common_params() -> tuple[Any, ...]:
    return tuple(get_params_convertors_ctx_param_name_from_function(_common)[0])


class Command(TyperCommand):
    """A verb: its own parameters, then the common ones."""

    def __init__(self, *args: Any, **rest: Any) -> None:
        rest["params"] = [*(rest.get("params") or []), *_common_params()]
        super().__init__(*args, **rest)

    def invoke(self, ctx: Any) -> Any:
        """Takes the common options out of the way of the verb's function."""
        _take(ctx)
        return super().invoke(ctx)


class Noun(TyperGroup):
    """A noun and its verbs."""


class Root(TyperGroup):
    """`plantctl` itself, which takes the common options too."""

    def __init__(self, *args: Any, **rest: Any) -> None:
        rest["params"] = [*(rest.get("params") or []), *_common_params()]
        super().__init__(*args, **rest)

    def invoke(self, ctx: Any) -> Any:
        """Takes the common options out of the way of the callback."""
        _take(ctx)
        return super().invoke(ctx)


def _take(ctx: Any) -> None:
    typed = {param.name: ctx.params.pop(param.name) for param in _common_params() if param.name in ctx.params}
    outer: Mapping[str, Any] = ctx.meta.get(_META, {})
    ctx.meta[_META] = {**outer, **{name: value for name, value in typed.items() if value}}


def common(ctx: typer.Context) -> Common:
    """The common options of a command."""
    return Common(**ctx.meta.get(_META, {}))


def noun(name: str, help_text: str) -> typer.Typer:
    """An empty noun: its verbs are added with `verb`."""
    return typer.Typer(
        name=name, help=help_text, cls=Noun, no_args_is_help=True, rich_markup_mode=None, add_completion=False
    )


def verb(app: typer.Typer, name: str, *examples: str) -> Callable[[F], F]:
    """Register a function as a verb. Its docstring is the help; the examples stand below the usage line."""

    def register(function: F) -> F:
        words = " ".join((function.__doc__ or "").split())
        app.command(name, cls=Command, help=with_examples(words, examples))(function)
        return function

    return register


def with_examples(words: str, examples: tuple[str, ...]) -> str:
    """Help text whose lines of examples are not rewrapped."""
    shown = "\n".join(f"  {example}" for example in examples)
    return f"{words}\n\n\b\nExamples:\n{shown}"


Phases = Annotated[list[str] | None, typer.Argument(metavar="[PHASE]...", help="Phases, or `all`.", show_default=False)]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="ITEM", help="Only this item, with what it needs; repeatable.", show_default=False),
]
NoNeeds = Annotated[
    bool, typer.Option("--no-needs", help="Leave out what the selected items need.", show_default=False)
]
Parallel = Annotated[int, typer.Option("--parallel", min=1, max=64, metavar="N", help="Items at once.")]
Adopt = Annotated[
    bool, typer.Option("--adopt", help="Take over resources that somebody else made.", show_default=False)
]
AllowRestart = Annotated[
    bool, typer.Option("--allow-restart", help="Make changes that interrupt service.", show_default=False)
]
Recreate = Annotated[
    list[str] | None,
    typer.Option(
        "--recreate",
        metavar="NAME",
        help="Make this anew and empty, though it held data and is gone; repeatable.",
        show_default=False,
    ),
]
SecretFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--secret-file",
        metavar="SECRET=PATH",
        help="Take a secret's value from a file that only you can read, or from - (standard input).",
        show_default=False,
    ),
]
