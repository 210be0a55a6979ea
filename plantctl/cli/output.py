"""The common options as typed, and the two ways out: results on stdout, remarks on stderr. No Typer here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Common:
    """The common options as typed. `form` is `human` or `json`; empty `config` and `home` mean the usual places."""

    config: str = ""
    home: str = ""
    form: str = "human"
    verbose: bool = False
    debug: bool = False
    yes: bool = False

    @property
    def json(self) -> bool:
        """True when a script reads the output."""
        return self.form == "json"


def out(text: str) -> None:
    """The result of a command, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def err(text: str) -> None:
    """Progress and remarks, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show(common: Common, text: Callable[[], str], document: Callable[[], Mapping[str, object]]) -> None:
    """The result as text or as one JSON document."""
    if not common.json:
        out(text())
        return
    import json

    out(json.dumps(document(), ensure_ascii=False, indent=2))
