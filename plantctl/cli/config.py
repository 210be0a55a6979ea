"""`plantctl config list|explain`: every setting, and who gave the value that wins."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from plantctl import settings as resolving
from plantctl.cli import compose
from plantctl.cli.options import common, noun, verb
from plantctl.cli.output import Common, show

app = noun("config", "Settings: flags, then PLANTCTL_* variables, then plant.toml, then defaults.")


@verb(app, "list", "plantctl config list", "plantctl config list --format json")
def list_config(ctx: typer.Context) -> None:
    """List every key with its value and where that comes from."""
    _all(common(ctx))


@verb(app, "explain", "plantctl config explain database.tier", "plantctl config explain")
def explain_config(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="A key.", show_default=False)] = None,
) -> None:
    """Name the value of a key that wins, who gave it, and what it overrides."""
    said = common(ctx)
    if key is None:
        _all(said)
        return
    won, *rest = compose.settings(said).explain(key)

    def text() -> str:
        lines = [f"{key} = {_shown(won.value)}", f"  from {won.source}"]
        lines += [f"  over {_shown(other.value)} from {other.source}" for other in rest]
        return "\n".join(lines)

    values = [{"value": one.value, "source": one.source} for one in (won, *rest)]
    show(said, text, lambda: {"schema_version": 1, "key": key, **values[0], "overrides": values[1:]})


def _all(said: Common) -> None:
    from plantctl.views.tables import listing_document, listing_text
    from plantctl.views.text import page_for

    given = compose.settings(said)
    rows = []
    for key in resolving.known_keys():
        won = given.explain(key)[0]
        rows.append({"key": key, "value": won.value, "source": won.source})
    told = [{**row, "value": _shown(row["value"])} for row in rows]
    show(
        said,
        lambda: listing_text(told, ("key", "value", "source"), page_for(sys.stdout)),
        lambda: listing_document("settings", rows),
    )


def _shown(value: object) -> str:
    return '""' if value == "" else str(value).lower() if isinstance(value, bool) else str(value)
