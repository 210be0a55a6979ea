"""What the documentation names exists: links, files, item ids, commands with their flags, the version."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from plantctl import __version__
from plantctl.cli.checklists import load
from tests.unit.source_tree import ROOT, docstrings, plant, sources

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```$", flags=re.MULTILINE | re.DOTALL)
OUR_FILE = re.compile(r"(?:plantctl|tests|backend|checklists|docs)/[\w./-]*[\w/]|[\w-]+\.(?:md|toml|lock)|Makefile")
HINT = re.compile(r"\bplantctl(?: (?:--)?[a-z-]+| ITEM)+")
COMMAND = re.compile(r"plantctl [a-z].*")


def pages(root: Path) -> list[Path]:
    """Every page of documentation, the checklist's included."""
    return [*sorted(root.glob("*.md")), *sorted(root.glob("docs/**/*.md")), *sorted(root.glob("checklists/*.md"))]


def link_breaches(root: Path) -> Iterator[str]:
    """Relative links whose file or heading is not there."""
    for page in pages(root):
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            target = (page.parent / path) if path else page
            if "://" in link:
                continue
            if not target.exists():
                yield f"{page.name}: {link} leads nowhere"
            elif anchor and anchor not in _anchors(target):
                yield f"{page.name}: {link} has no such heading"


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def file_breaches(root: Path) -> Iterator[str]:
    """Paths of ours in code type that do not exist; the operator's own plant.toml is not ours."""
    for page in pages(root):
        for word in CODE.findall(page.read_text(encoding="utf-8")):
            if OUR_FILE.fullmatch(word) and word != "plant.toml" and "<" not in word and not _exists(root, page, word):
                yield f"{page.name}: there is no {word}"


def _exists(root: Path, page: Path, word: str) -> bool:
    return any((place / name).exists() for place in (root, page.parent) for name in (word, f"{word}.py"))


def item_breaches(root: Path) -> Iterator[str]:
    """Words shaped like an item's id that no page of the checklist has."""
    checklist = load()
    known = {item.id for item in checklist.items}
    phases = "|".join(phase.id for phase in checklist.phases)
    shape = re.compile(rf"(?<![\w./-])(?:{phases})\.[a-z_]+\.[a-z0-9_]+(?![\w/(])")
    for page in pages(root):
        for word in shape.findall(page.read_text(encoding="utf-8")):
            # `monitoring` begins Google's method ids as well as ours
            if word not in known and not word.startswith(("backend.settings", "monitoring.projects.")):
                yield f"{page.name}: there is no item {word}"


def commands(page: Path) -> Iterator[str]:
    """Every plantctl command line of a page, in fenced blocks and in running text."""
    text = page.read_text(encoding="utf-8")
    lines = [line.strip() for block in FENCE.findall(text) for line in block.splitlines()]
    lines += [" ".join(word.split()) for word in CODE.findall(FENCE.sub("", text))]
    for line in lines:
        if COMMAND.fullmatch(line):
            yield line.split("  #")[0].strip()


def hints(root: Path) -> Iterator[str]:
    """Commands that plantctl's own texts tell an operator to type; what is filled in at run time reads as ITEM."""
    for source in sources(root, "plantctl"):
        parts = {id(part) for node in ast.walk(source.tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        aside = parts | docstrings(source.tree)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in aside:
                yield from HINT.findall(_spoken(node))


def _spoken(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_spoken(part) for part in node.values)
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "ITEM"


@cache
def command_line() -> Any:
    """The click command behind plantctl, as Typer builds it."""
    app = importlib.import_module("plantctl.cli.app").app
    return importlib.import_module("typer.main").get_command(app)


def command_breach(line: str, command: Any, *, prose: bool = False) -> str:
    """Why a command line cannot be typed, or "". Capitals are placeholders; in `prose` other words follow."""
    words = shlex.split(line)[1:]
    while getattr(command, "commands", None) and words:
        word = words.pop(0)
        if word.isupper():
            return ""
        if word.startswith("-"):
            known = {flag for parameter in command.params for flag in parameter.opts} | {"--help"}
            if word not in known:
                return f"{line}: no flag {word}"
        elif word not in command.commands:
            return f"{line}: no command {word}"
        else:
            command = command.commands[word]
    try:
        command.make_context(line, words)
    except Exception as refused:
        kind = type(refused).__name__
        if kind in {"MissingParameter", "NoSuchOption"} or (kind.endswith("Error") and not prose):
            return f"{line}: {refused}"
    return ""


@pytest.mark.parametrize("rule", [link_breaches, file_breaches, item_breaches], ids=lambda rule: rule.__name__)
def test_what_the_pages_name_exists(rule: Any) -> None:
    assert list(rule(ROOT)) == []
    assert len(pages(ROOT)) > 30


def test_every_command_of_the_pages_can_be_typed() -> None:
    lines = {line for page in pages(ROOT) for line in commands(page)}
    assert len(lines) > 25
    assert [breach for line in sorted(lines) if (breach := command_breach(line, command_line()))] == []


def test_every_command_that_a_hint_names_can_be_typed() -> None:
    nouns = set(command_line().commands)
    lines = {line for line in hints(ROOT) if len(line.split()) > 1 and line.split()[1] in nouns}
    assert len(lines) > 3
    assert [breach for line in sorted(lines) if (breach := command_breach(line, command_line(), prose=True))] == []


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(
        r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert versions[0] == __version__


@pytest.mark.parametrize(
    ("rule", "text", "says"),
    [
        (link_breaches, "See [a](b.md).", "b.md leads nowhere"),
        (link_breaches, "# Here\nSee [a](#there).", "#there has no such heading"),
        (file_breaches, "See `plantctl/engine/nothing.py`.", "there is no plantctl/engine/nothing.py"),
        (file_breaches, "See `nothing.md`.", "there is no nothing.md"),
        (item_breaches, "Run `database.instance.nothing`.", "there is no item database.instance.nothing"),
    ],
)
def test_a_planted_breach_is_caught(tmp_path: Path, rule: Any, text: str, says: str) -> None:
    lawful = "# To be there\n[a](#to-be-there) [b](https://example.com/x) `plantctl/a.py` `database.instance.tier`\n"
    plant(tmp_path, {"README.md": lawful, "plantctl/a.py": ""})
    assert list(rule(tmp_path)) == []
    plant(tmp_path, {"docs/a.md": text})
    (breach,) = rule(tmp_path)
    assert says in breach


def test_commands_are_found_and_refused(tmp_path: Path) -> None:
    command = toy_command_line()
    text = "Type `plantctl phase\nrun x`:\n```\nplantctl phase run database --only a.b.c   # now\nls\n```\n"
    plant(tmp_path, {"README.md": text})
    lines = list(commands(tmp_path / "README.md"))
    assert sorted(lines) == ["plantctl phase run database --only a.b.c", "plantctl phase run x"]
    assert [command_breach(line, command) for line in lines] == ["", ""]
    assert command_breach("plantctl NOUN --help", command) == ""
    assert command_breach("plantctl phase run x and so on", command, prose=True) == ""
    assert "no command fase" in command_breach("plantctl fase run", command)
    assert "no command rum" in command_breach("plantctl phase rum", command)
    assert "--olny" in command_breach("plantctl phase run x --olny=y", command)
    assert "name" in command_breach("plantctl phase run", command, prose=True).lower()
    assert "extra" in command_breach("plantctl phase run x y", command)


def test_commands_in_the_code_are_found(tmp_path: Path) -> None:
    text = "f'look, then plantctl phase run --only {x}; so' if x else 'plantctl lock show'"
    code = f"'`plantctl not this`'\nhint = {text}\n"
    plant(tmp_path, {"plantctl/a.py": code})
    assert sorted(hints(tmp_path)) == ["plantctl lock show", "plantctl phase run --only ITEM"]


def toy_command_line() -> Any:
    """`phase run NAME [--only X]` and `phase plan NAME [--only X]`."""
    typer = importlib.import_module("typer")
    phase, app = typer.Typer(), typer.Typer()

    def run(name: str, only: str = "") -> None: ...

    phase.command("run")(run)
    phase.command("plan")(run)
    app.add_typer(phase, name="phase")
    return importlib.import_module("typer.main").get_command(app)
