"""Help, typing mistakes, common options, and errors as one paragraph with an exit code."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from plantctl import __version__
from plantctl.cli.app import app
from plantctl.cli.options import Root, common, noun, verb
from plantctl.errors import GateFailed, UsageError
from tests.unit.cli.conftest import Type


def command_paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every noun and verb, as the words that lead to it."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from command_paths(inner, (*path, name))


PATHS = list(command_paths(importlib.import_module("typer.main").get_command(app)))


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_shows_and_executes_nothing(folder: Path, path: tuple[str, ...]) -> None:
    for flag in ("--help", "-h"):
        answer = CliRunner().invoke(app, [*path, flag])
        assert answer.exit_code == 0
        assert answer.output.startswith(f"Usage: plantctl {' '.join(path)}".rstrip())
        verb = len(path) == 2 or path in ((), ("rehearse",))
        assert ("Examples:\n    " in answer.output) is verb
    assert list(folder.iterdir()) == []


def test_the_promised_commands_are_there() -> None:
    promised = "phase list|plan|run|verify;status checklist|runs;item show|attest|waive;lock show|release"
    promised += ";journal verify|export;config list|explain;backup create|list;drill failover"
    promised += ";sandbox up|down|status|env|logs|faults|reset"
    for line in promised.split(";"):
        name, verbs = line.split()
        assert {(name, word) for word in verbs.split("|")} <= set(PATHS)
    assert ("rehearse",) in PATHS


def test_no_words_show_help_and_a_noun_alone_is_a_usage_error(plantctl: Type) -> None:
    assert plantctl().out.startswith("Usage: plantctl [OPTIONS] COMMAND")
    assert plantctl().code == 0
    alone = plantctl("phase")
    assert (alone.code, alone.out.startswith("Usage: plantctl phase")) == (2, True)


def test_the_version(plantctl: Type) -> None:
    assert plantctl("--version").out == f"plantctl {__version__}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fase"], "no such command 'fase'. Did you mean 'phase'?"),
        (["phase", "rnu"], "Did you mean 'run'?"),
        (["phase", "run", "--olny", "x"], "no such option: --olny"),
        (["phase", "run"], "which phase?"),
        (["phase", "run", "databse"], "did you mean database?"),
        (["phase", "plan", "--only", "database.instance.teir"], "did you mean database.instance.tier"),
        (["phase", "run", "cache", "--only", "database.instance.tier"], "is not in the phases cache"),
        (["phase", "run", "all", "--parallel", "0"], "invalid value for '--parallel'"),
        (["phase", "run", "all", "--recreate", "plnt_db"], "did you mean plant_db?"),
        (["phase", "run", "all", "--secret-file", "API_KEY=x"], "did you mean API_KEYS?"),
        (["status", "checklist", "--format", "yaml"], "is not one of 'human', 'json'"),
        (["status", "checklist", "databse"], "did you mean database?"),
        (["item", "show", "database.instance.creat"], "did you mean database.instance.create"),
        (["config", "explain", "database.teir"], "did you mean database.tier?"),
        (["sandbox", "up", "--speed", "fast"], "a number above 0, or max"),
        (["sandbox", "up", "--port", "99999"], "invalid value for '--port'"),
        (["sandbox", "logs"], "there is no log"),
        (["rehearse", "--speed", "-3"], "--speed cannot be '-3'"),
        (["--config", "nothing.toml", "config", "list"], "there is no file"),
    ],
)
def test_a_wrong_word_is_told_with_what_is_allowed_and_starts_nothing(
    plantctl: Type, folder: Path, words: list[str], says: str
) -> None:
    said = plantctl(*words)
    assert said.code == 2
    assert says in " ".join(said.err.split())
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert said.out == ""
    assert list(folder.iterdir()) == []


def test_a_wrong_variable_and_a_wrong_file_are_told(
    plantctl: Type, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "plant.toml").write_text('[database]\navailability = "regional"\n')
    assert "allowed: one of REGIONAL, ZONAL" in plantctl("status", "checklist").err
    (folder / "plant.toml").write_text("x = [\n")
    assert "cannot be read as TOML" in " ".join(plantctl("phase", "plan", "all").err.split())
    (folder / "plant.toml").unlink()
    monkeypatch.setenv("PLANTCTL_DATABASE_TEIR", "x")
    said = plantctl("config", "list")
    assert (said.code, "did you mean PLANTCTL_DATABASE_TIER?" in said.err) == (2, True)


def test_errors_are_json_on_stdout_when_json_is_asked_for(plantctl: Type) -> None:
    for words in (["fase", "--format", "json"], ["phase", "run", "--format=json"]):
        said = plantctl(*words)
        assert said.json["error"]["exit_code"] == 2
        assert said.json["error"]["reference"] == "usage"
        assert said.err.startswith("error: ")


def toys(seen: list[object]) -> typer.Typer:
    """A program with commands that fail in every way."""
    program = typer.Typer(cls=Root, rich_markup_mode=None)
    toy = noun("toy", "Toys.")

    @verb(toy, "tell", "plantctl toy tell")
    def tell(ctx: typer.Context, size: int = 1) -> None:
        """Tell the options."""
        seen.append((common(ctx), size))

    @verb(toy, "fail", "plantctl toy fail")
    def fail(how: str) -> None:
        """Fail."""
        errors: dict[str, BaseException] = {
            "gate": GateFailed("two findings are critical", cause="the scan", hint="plantctl toy tell"),
            "usage": UsageError("no such toy"),
            "crash": KeyError("wheel"),
            "keyboard": KeyboardInterrupt(),
        }
        raise errors[how]

    program.add_typer(toy)

    @program.callback()
    def root() -> None: ...

    return program


def test_common_options_stand_before_the_noun_or_after_the_verb(plantctl: Type) -> None:
    seen: list[Any] = []
    program = toys(seen)
    plantctl("--format", "json", "--home", "a", "-v", "toy", "tell", "--size", "3", program=program)
    plantctl("toy", "tell", "--format=json", "--home", "a", "--verbose", program=program)
    plantctl(
        "--format", "json", "--home", "a", "toy", "tell", "--home", "b", "--format", "human", "-y", program=program
    )
    (first, size), (second, _), (third, _) = seen
    assert size == 3
    assert first == second
    assert (first.form, first.json, first.home, first.verbose, first.yes) == ("json", True, "a", True, False)
    assert (third.form, third.home, third.yes, third.debug) == ("human", "b", True, False)


def test_an_error_is_one_paragraph_with_its_exit_code(plantctl: Type) -> None:
    said = plantctl("toy", "fail", "gate", program=toys([]))
    assert said.code == 6
    expected = ["error: two findings are critical [gate-failed]", "  because: the scan", "  to do:   plantctl toy tell"]
    assert said.err.splitlines() == expected
    assert plantctl("toy", "fail", "usage", program=toys([])).code == 2


def test_what_nobody_foresaw_says_that_it_is_a_bug(plantctl: Type) -> None:
    said = plantctl("toy", "fail", "crash", program=toys([]))
    assert said.code == 1
    assert "this is a bug in plantctl: KeyError: 'wheel' [bug]" in said.err
    assert "--debug" in said.err
    assert "Traceback" not in said.err
    told = plantctl("toy", "fail", "crash", "--debug", program=toys([]))
    assert "raise errors[how]" in told.err


def test_ctrl_c_outside_of_a_run_is_130(plantctl: Type) -> None:
    said = plantctl("toy", "fail", "keyboard", program=toys([]))
    assert (said.code, "Traceback" in said.err) == (130, False)
