"""`plantctl journal verify|export`: is the record whole, and all of it as JSON."""

from __future__ import annotations

import json

import typer

from plantctl.cli import compose
from plantctl.cli.options import common, noun, verb
from plantctl.cli.output import out, show

app = noun("journal", "The record of what was done and proved.")


@verb(app, "verify", "plantctl journal verify")
def verify_journal(ctx: typer.Context) -> None:
    """Read the whole journal: is the file sound, is history unedited, is every write accounted for. Exit 1 when not."""
    from plantctl.engine.audit import audit
    from plantctl.engine.reader import Reader

    said = common(ctx)
    home = compose.settings(said).home
    reader = Reader.open(home)
    try:
        found = audit(reader)
    finally:
        reader.close()

    def text() -> str:
        head = f"{found.entries} entries, {found.attempts} writes in {found.runs} runs: "
        lines = [head + ("sound" if not found.problems else f"{len(found.problems)} problems"), *found.problems]
        if found.unanswered:
            lines += ["without an answer (the next run settles them):", *(f"  {line}" for line in found.unanswered)]
        return "\n".join(lines)

    show(said, text, lambda: {"schema_version": 1, **vars(found)})
    raise typer.Exit(1 if found.problems else 0)


@verb(app, "export", "plantctl journal export > journal.json")
def export_journal(ctx: typer.Context) -> None:
    """Print the whole journal as one JSON document. No secret is in it: bodies are kept as digests only."""
    from plantctl.engine.journal import export
    from plantctl.engine.reader import Reader

    reader = Reader.open(compose.settings(common(ctx)).home)
    try:
        out(json.dumps(export(reader), ensure_ascii=False, indent=2, default=str))
    finally:
        reader.close()
