"""The checklist as the journal knows it, printed; also the quick way there, which imports no Typer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from plantctl.cli import compose
from plantctl.cli.output import Common, out, show
from plantctl.clock import SystemClock
from plantctl.engine.catalog import select
from plantctl.engine.reader import Reader
from plantctl.engine.status import status
from plantctl.errors import PlantctlError
from plantctl.model.status import StatusReport
from plantctl.settings import Settings
from plantctl.views.tables import status_document, status_text
from plantctl.views.text import page_for

_VALUES = {"--format": "form", "--config": "config", "--home": "home"}


def report(given: Settings, reader: Reader, phases: Sequence[str] = (), *, only: Sequence[str] = ()) -> StatusReport:
    """Where the items of these phases, or these items, stand now. Starts nothing and asks Google nothing."""
    catalog = compose.catalog(given)
    items = select(catalog, phases, only=only, with_needs=False).items
    return status(
        catalog,
        reader,
        binding=compose.known_binding(given),
        now=SystemClock().now(),
        environment=given.plant.environment,
        items=items,
    )


def show_checklist(common: Common, given: Settings, phases: Sequence[str] = (), *, after_run: bool = False) -> None:
    """Print it; after a run as one more line of JSON, or after an empty line."""
    reader = Reader.open(given.home)
    try:
        found = report(given, reader, phases)
    finally:
        reader.close()
    if after_run and common.json:
        out(json.dumps(status_document(found), ensure_ascii=False))
        return
    if after_run:
        out("")
    show(common, lambda: status_text(found, page_for(sys.stdout)), lambda: status_document(found))


def quick(argv: Sequence[str]) -> bool:
    """Answer `status checklist` with plain options at once; False for anything else, and for whatever goes wrong: the
    usual way then says what."""
    typed = _typed(argv)
    if typed is None:
        return False
    common, phases = typed
    try:
        show_checklist(common, compose.settings(common), phases)
    except (PlantctlError, OSError):
        return False
    return True


def _typed(argv: Sequence[str]) -> tuple[Common, list[str]] | None:
    """The options and phases of a plain `status checklist`, or None."""
    if list(argv[:2]) != ["status", "checklist"]:
        return None
    values: dict[str, str] = {}
    phases: list[str] = []
    rest = list(argv[2:])
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if flag in _VALUES and (equals or rest):
            values[_VALUES[flag]] = value if equals else rest.pop(0)
        elif word.startswith("-"):
            return None
        else:
            phases.append(word)
    if values.get("form", "human") not in ("human", "json"):
        return None
    return Common(**values), phases  # type: ignore[arg-type]
