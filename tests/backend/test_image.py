"""The image's recipe: what goes in, who runs it, and that its pins are the versions tested here."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
ASKED = (
    "fastapi",
    "uvicorn[standard]",
    "pydantic-settings",
    "asyncpg",
    "alembic",
    "sqlalchemy[asyncio]",
    "redis[hiredis]",
    "pyjwt",
    "argon2-cffi",
    "python-multipart",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "requests",
)


def pins() -> dict[str, str]:
    lines = (ROOT / "backend/requirements.lock").read_text().splitlines()
    found = [line.split("==") for line in lines if not line.startswith("#")]
    return dict(found)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(asked: str, found: dict[str, str]) -> None:
    """Adds a requirement and what it needs on this platform, with the installed versions."""
    requirement = Requirement(asked)
    installed = distribution(requirement.name)
    found[plain(requirement.name)] = installed.version
    for line in installed.requires or []:
        needed = Requirement(line)
        extras = requirement.extras or {""}
        wanted = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras)
        if wanted and (plain(needed.name) not in found or needed.extras):
            closure(f"{needed.name}[{','.join(needed.extras)}]", found)


def test_the_pins_are_what_is_installed_and_complete() -> None:
    found: dict[str, str] = {}
    for asked in ASKED:
        closure(asked, found)
    assert pins() == found


def test_the_backend_imports_nothing_that_is_not_pinned() -> None:
    distributions = packages_distributions()
    for path in (ROOT / "backend").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {name.split(".")[0] for name in names} - {"backend"} - sys.stdlib_module_names:
                assert {plain(name) for name in distributions[top]} <= set(pins()), f"{path}: {top}"


def stages() -> list[list[list[str]]]:
    """The Dockerfile's stages as lists of [instruction, rest]."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    found: list[list[list[str]]] = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        if line.startswith("FROM "):
            found.append([])
        found[-1].append(line.split(" ", 1))
    return found


def test_the_last_stage_is_small_and_not_root() -> None:
    last = dict(stages()[-1])
    assert set(last) == {"FROM", "ENV", "WORKDIR", "COPY", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", last["FROM"])
    assert last["USER"] not in ("root", "0", "0:0")
    assert last["WORKDIR"] == "/app"
    assert (last["EXPOSE"], last["ENTRYPOINT"], last["CMD"]) == ("8000", '["python", "-m", "backend"]', '["serve"]')


def test_only_the_backend_goes_into_the_context() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[:2] == ["*", "!backend"]
    copied = [rest.split()[0] for stage in stages() for word, rest in stage if word == "COPY"]
    assert all(source.startswith(("backend", "--from=builder")) for source in copied)
