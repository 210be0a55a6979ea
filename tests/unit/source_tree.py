"""Walks a tree of Python sources, planted or real, for the tests that enforce the house rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One Python file: its path relative to the root, and its syntax tree."""

    root: Path
    path: Path

    @property
    def name(self) -> str:
        """`plantctl/gcp/target.py`."""
        return self.path.relative_to(self.root).as_posix()

    @cached_property
    def text(self) -> str:
        """The file's text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The file's syntax tree."""
        return _parse(self.text, self.name)

    @property
    def package(self) -> str:
        """Top-level package: plantctl, backend or tests."""
        return self.name.split("/")[0]

    @property
    def layer(self) -> str:
        """`gcp` of plantctl/gcp/target.py, `errors` of plantctl/errors.py; the package itself elsewhere."""
        parts = self.name.removesuffix(".py").split("/")
        return parts[1] if parts[0] == "plantctl" else parts[0]

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of everything imported, anywhere in the file; `from a import b` gives `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                prefix = "." * node.level + (node.module or "")
                yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
                names = (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))
                yield from ((node.lineno, name) for name in names if isinstance(name, str))


def sources(root: Path, *packages: str) -> list[Source]:
    """Every Python file of the packages below `root`, in a stable order."""
    found = (path for package in packages for path in sorted((root / package).rglob("*.py")))
    return [Source(root, path) for path in found if "__pycache__" not in path.parts]


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the constant nodes that are docstrings (or texts standing alone below an assignment)."""
    alone = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    return {id(value) for value in alone if isinstance(value, ast.Constant)}


def plant(root: Path, files: dict[str, str]) -> Path:
    """Write a tree of files, for the positive controls."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@cache
def _parse(text: str, name: str) -> ast.Module:
    return ast.parse(text, filename=name)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
