"""Help and status are quick: nothing of Google's, no HTTP library, no web framework is imported for them."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest

from tests.cli.conftest import Operator

HEAVY = re.compile(
    r"\b(google|grpc|googleapiclient|fastapi|requests|pydantic|rich|tenacity|uvicorn|asyncpg)(\.|$)", re.M
)


@pytest.mark.parametrize("words", ["--help", "phase run --help", "status checklist", "phase list", "config list"])
def test_nothing_heavy_is_imported(operator: Operator, words: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "plantctl", *words.split()]
    done = subprocess.run(
        command, cwd=operator.folder, env=operator.environment, capture_output=True, text=True, check=True
    )
    modules = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "plantctl.cli" in modules
    assert [module for module in modules if HEAVY.match(module)] == []


def test_status_checklist_does_without_typer(operator: Operator) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "plantctl", "status", "checklist"]
    done = subprocess.run(
        command, cwd=operator.folder, env=operator.environment, capture_output=True, text=True, check=True
    )
    assert "typer" not in done.stderr
    assert "104 items" in done.stdout


def seconds(command: list[str], operator: Operator) -> float:
    """The least processor time of three runs: wall time says more about the other tests than about the command."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=operator.folder, env=operator.environment, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_status_and_help_take_no_more_than_a_few_imports_of_the_library(operator: Operator) -> None:
    """200 ms over a bare Python is the aim on an idle machine; here measured against a yardstick of the same load,
    argparse, json, sqlite3 and asyncio, which takes 60 to 70 ms there."""
    operator.types("status", "checklist")  # writes the compiled modules, where Python may
    yardstick = seconds([sys.executable, "-c", "import argparse, asyncio, json, sqlite3"], operator)
    for words in ("--help", "status checklist"):
        assert seconds(operator.command(*words.split()), operator) < 6 * yardstick, words
