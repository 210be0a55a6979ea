"""Every reference that an error can carry has its heading in docs/troubleshooting.md, and no heading is left over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from plantctl import errors
from tests.unit.source_tree import ROOT, plant, sources


def headings(text: str) -> list[str]:
    """The second-level headings of a page."""
    return re.findall(r"^## (.+)$", text, flags=re.MULTILINE)


def references(root: Path) -> dict[str, str]:
    """Every reference in the code of plantctl's client side, with a place where it stands."""
    found: dict[str, str] = {}
    for source in sources(root, "plantctl"):
        if source.layer != "sandbox":
            for line, word in _references_in(source.tree):
                found.setdefault(word, f"{source.name}:{line}")
    return found


def _references_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What `reference` is set to in a class, and given as in a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "reference":
            yield from _texts(node.value)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and any(
                    getattr(name, "id", "") == "reference" for name in line.targets
                ):
                    yield from _texts(line.value)


def _texts(value: ast.expr) -> Iterator[tuple[int, str]]:
    for node in ast.walk(value):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.lineno, node.value


def test_every_reference_has_its_heading_and_every_heading_its_reference() -> None:
    documented = headings((ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"))
    raised = references(ROOT)
    assert {word: place for word, place in raised.items() if word not in documented} == {}
    assert [word for word in documented if word not in raised] == []
    assert documented == sorted(documented), "headings are found faster in alphabetical order"
    assert len(set(documented)) == len(documented)


def test_references_are_kebab_case_and_each_class_has_its_own() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    own = [kind.__dict__["reference"] for kind in classes]
    assert len(set(own)) == len(own) > 10
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", word) for word in references(ROOT))


def test_references_are_found_where_they_can_stand(tmp_path: Path) -> None:
    text = 'class A(Exception):\n    reference = "in-class"\n\nraise A(reference="in-call" if x else "in-branch")\n'
    plant(tmp_path, {"plantctl/gcp/a.py": text, "plantctl/sandbox/b.py": 'reference = "of-the-island"\n'})
    assert references(tmp_path) == {
        "in-class": "plantctl/gcp/a.py:2",
        "in-call": "plantctl/gcp/a.py:4",
        "in-branch": "plantctl/gcp/a.py:4",
    }
