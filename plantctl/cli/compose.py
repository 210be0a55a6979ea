"""The composition root, light half: settings, the checklist joined with its steps, what records are bound to.

`sessions.py` is the other half, with target, journal and the Google side; nothing heavy is imported here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plantctl import settings as resolving
from plantctl.cli import autostart
from plantctl.cli.output import Common
from plantctl.errors import UsageError
from plantctl.settings import Settings

if TYPE_CHECKING:
    from plantctl.engine.catalog import Catalog
    from plantctl.engine.records import Binding
    from plantctl.model.plant import Plant
    from plantctl.model.secret import Secret
    from plantctl.model.step import Attestation, Step
    from plantctl.steps.context import Context


def steps() -> tuple[Step[Context] | Attestation, ...]:
    """The checklist as code."""
    from plantctl.steps import STEPS

    return STEPS


def settings(common: Common, *, target: str = "", version: str = "") -> Settings:
    """What the flags, variables and the file say. `target`: one that the command itself demands; `version`: of the
    backend, as typed."""
    env = dict(os.environ)
    if common.home:
        env["PLANTCTL_HOME"] = str(Path(common.home).absolute())
    return resolving.load(
        flags={"target": target or None, "backend.version": version or None}, env=env, config=common.config or None
    )


def catalog(given: Settings) -> Catalog[Context]:
    """The checklist joined with its steps."""
    from plantctl.cli.checklists import load
    from plantctl.engine.catalog import Catalog
    from plantctl.steps import not_applicable

    return Catalog(load().items, steps(), not_applicable=not_applicable(given.plant))


def known_binding(given: Settings) -> Binding:
    """What records have to be bound to in order to count now; starts nothing and asks Google nothing."""
    from plantctl.engine.records import Binding

    incarnation = autostart.incarnation(given.home) if given.target == "sandbox" else ""
    return Binding(target=given.target, project=given.plant.project.id, incarnation=incarnation)


def recreated(plant: Plant, names: Sequence[str]) -> frozenset[str]:
    """The names after `--recreate`; UsageError, with those that hold data, for another word."""
    if not names:
        return frozenset()
    from plantctl.desired.secrets import SECRETS

    known = [plant.database.name, plant.database.instance, plant.cache.instance, *SECRETS]
    known += [plant.bucket(purpose) for purpose in ("source", "backup", "portal")]
    for name in names:
        if name not in known:
            raise UsageError(f"nothing that holds data is called {name!r}", hint=near(name, known))
    return frozenset(names)


def given_secrets(words: Sequence[str], *, stdin: Callable[[], str] | None = None) -> dict[str, Secret]:
    """Values for `--secret-file SECRET=PATH`; UsageError for an unknown secret or a file that others can read."""
    if not words:
        return {}
    from plantctl.desired.secrets import SECRETS
    from plantctl.model.secret import Secret

    found: dict[str, Secret] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not path:
            raise UsageError("--secret-file takes SECRET=PATH", hint="--secret-file API_KEYS=api-keys.json")
        if name not in SECRETS:
            raise UsageError(f"there is no secret {name!r}", hint=near(name, tuple(SECRETS)))
        value = (stdin or sys.stdin.read)() if path == "-" else _private_text(Path(path))
        if not value.strip():
            raise UsageError(f"the value for {name} is empty")
        found[name] = Secret(value.rstrip("\r\n"))
    return found


def _private_text(path: Path) -> str:
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise UsageError(f"{path} can be read by others (mode {mode:04o})", hint=f"chmod 600 {path}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", "") or "it is no UTF-8 text"
        raise UsageError(f"{path} cannot be read: {words}") from None


def command_line() -> str:
    """The words that were typed, for lock and journal; no option takes a secret's value."""
    return " ".join(sys.argv[1:])


def ask(question: str, *, flag: str) -> None:
    """y or N on a terminal. UsageError when the answer is no, and off a terminal, where it names the flag."""
    if not sys.stdin.isatty():
        raise UsageError("this needs a person's word, and no terminal is there to ask", hint=f"add {flag}")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not done: the answer was no")


def near(word: str, known: Sequence[str]) -> str:
    """`did you mean x? allowed: ...`."""
    import difflib

    found = difflib.get_close_matches(word, known, n=2)
    allowed = f"allowed: {', '.join(known)}"
    return f"did you mean {' or '.join(found)}? {allowed}" if found else allowed
