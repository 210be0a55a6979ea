"""House rules on size, docstrings, clocks, printing and loose ends; each catches a breach that is planted for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.source_tree import ROOT, Source, plant, sources

PACKAGES = ("plantctl", "backend", "tests")
MAX_FILE, MAX_FUNCTION = 400, 60
CLOCKS = ("plantctl/clock.py", "plantctl/sandbox/clock.py", "plantctl/sandbox/dataplane/", "backend/", "tests/")
"""The last three mean real time: processes that start and stop, requests that are served."""
PRINTERS = ("plantctl/views/", "plantctl/cli/", "tests/")
CLOCK_CALLS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
CLOCK_CALLS |= {("time", "time"), ("time", "time_ns"), ("time", "sleep")}
LOOSE_END = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X{3})\b")
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:work|home|Users|opt/(?:pypi|wheels)|tmp/plan)(?:/[\w.-]+|\b(?=[\"'`\s]))")
REGISTRY = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|golang\.org/)")
INDEX_OPTION = re.compile(r"--(?:extra-)?index-url|--find-links")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".json", ".ini", ".lock", ".sql", ".txt", ""}
TEXT_PLACES = ("plantctl", "backend", "tests", "docs", "checklists", ".ci")
NOT_OURS = {"__pycache__", ".venv", ".git", ".plantctl", "build", "dist"}


def size_breaches(root: Path) -> Iterator[str]:
    """Files over 400 lines and functions over 60."""
    for source in sources(root, *PACKAGES):
        lines = source.text.count("\n")
        if lines > MAX_FILE:
            yield f"{source.name}: {lines} lines"
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION:
                    yield f"{source.name}:{node.lineno}: {node.name} has {length} lines"


def docstring_breaches(root: Path) -> Iterator[str]:
    """Modules that do not begin with a docstring."""
    for source in sources(root, *PACKAGES):
        if source.text.strip() and not ast.get_docstring(source.tree):
            yield f"{source.name}: no module docstring"


def print_breaches(root: Path) -> Iterator[str]:
    """`print` outside views, cli and the entry points of processes."""
    for source in sources(root, *PACKAGES):
        if source.name.startswith(PRINTERS) or _is_entry_point(source):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield f"{source.name}:{node.lineno}: print"


def _is_entry_point(source: Source) -> bool:
    guarded = any(isinstance(node, ast.If) and "__main__" in ast.dump(node.test) for node in source.tree.body)
    return guarded or source.path.name == "__main__.py"


def clock_breaches(root: Path) -> Iterator[str]:
    """The machine's clock read, or slept on, outside the clock modules."""
    for source in sources(root, *PACKAGES):
        if source.name.startswith(CLOCKS):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and (_tail(node.value), node.attr) in CLOCK_CALLS:
                yield f"{source.name}:{node.lineno}: {_tail(node.value)}.{node.attr}"
        for line, name in source.imports():
            if name in {"time.sleep", "time.time", "time.time_ns"}:
                yield f"{source.name}:{line}: {name}"


def _tail(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def text_breaches(root: Path) -> Iterator[str]:
    """Loose ends, paths of one machine and package registries, in any text of the tree."""
    everywhere = {"a loose end": LOOSE_END, "a path of one machine": MACHINE_PATH, "a registry": REGISTRY}
    for path in _texts(root):
        set_up = path.parent in {root, root / ".ci"}
        rules = everywhere | ({"a choice of index": INDEX_OPTION} if set_up else {})
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            for what, pattern in rules.items():
                if (found := pattern.search(line)) and not _planted(path, root):
                    yield f"{path.relative_to(root).as_posix()}:{number}: {what}: {found[0]}"


def _texts(root: Path) -> Iterator[Path]:
    tops = [path for path in sorted(root.iterdir()) if path.is_file()]
    below = [path for place in TEXT_PLACES for path in sorted((root / place).rglob("*"))]
    for path in tops + below:
        ours = not NOT_OURS.intersection(path.relative_to(root).parts)
        if ours and path.is_file() and path.suffix in TEXT_SUFFIXES:
            yield path


def _planted(path: Path, root: Path) -> bool:
    """This file writes breaches down in order to plant them."""
    return path == root / "tests/unit/test_style.py"


RULES = [size_breaches, docstring_breaches, print_breaches, clock_breaches, text_breaches]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Callable[[Path], Iterator[str]]) -> None:
    assert list(rule(ROOT)) == []


def test_the_walk_sees_the_tree() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in _texts(ROOT)}
    assert {"README.md", "Makefile", ".ci/run", "docs/index.md", "checklists/1-database.md"} <= names
    assert "plantctl/model/step.py" in {source.name for source in sources(ROOT, *PACKAGES)}


DOC = '"""What lives here."""\n'


@pytest.mark.parametrize(
    ("rule", "file", "text", "says"),
    [
        (size_breaches, "plantctl/a.py", DOC + "x = 1\n" * 400, "401 lines"),
        (size_breaches, "backend/a.py", DOC + "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
        (docstring_breaches, "plantctl/a.py", "x = 1\n", "no module docstring"),
        (print_breaches, "plantctl/gcp/a.py", DOC + "print(1)\n", "a.py:2: print"),
        (clock_breaches, "plantctl/a.py", DOC + "import datetime\nx = datetime.datetime.now()\n", "datetime.now"),
        (clock_breaches, "plantctl/a.py", DOC + "from datetime import datetime\nx = datetime.now\n", "datetime.now"),
        (clock_breaches, "plantctl/sandbox/a.py", DOC + "import time\ntime.sleep(1)\n", "time.sleep"),
        (clock_breaches, "plantctl/sandbox/a.py", DOC + "from time import sleep\n", "time.sleep"),
        (text_breaches, "plantctl/a.py", DOC + "# TO" + "DO later\n", "a loose end"),
        (text_breaches, "docs/a.md", "See `/home/me/x`.\n", "a path of one machine: /home/me"),
        (text_breaches, "Makefile", "\tcd /work/main\n", "a path of one machine"),
        (text_breaches, ".ci/run", "pip install --index-url x\n", "a choice of index"),
        (text_breaches, "README.md", "From pypi.org.\n", "a registry: pypi.org"),
    ],
)
def test_a_planted_breach_is_caught(
    tmp_path: Path, rule: Callable[[Path], Iterator[str]], file: str, text: str, says: str
) -> None:
    lawful = {
        "plantctl/__init__.py": "",
        "plantctl/clock.py": DOC + "import time\nnow = time.time\n",
        "plantctl/views/human.py": DOC + "print('in the house of /v1/projects/work/x')\n",
        "plantctl/sandbox/__main__.py": DOC + "import time\nprint(time.monotonic())\n",
        "backend/serve.py": DOC + "if __name__ == '__main__':\n    print(1)\n",
        "docs/a.md": "Open https://example.com/home/x and run `plantctl phase list`.\n",
    }
    plant(tmp_path, lawful)
    assert [breach for each in RULES for breach in each(tmp_path)] == []
    plant(tmp_path, {file: text})
    breaches = list(rule(tmp_path))
    assert len(breaches) == 1
    assert says in breaches[0]
