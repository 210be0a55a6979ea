"""The command line in this process: its own folder, no variables of the shell, no sandbox."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from plantctl.cli import app as command_line


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as one document."""
        return json.loads(self.out)


Type = Callable[..., Said]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; the home is its .plantctl, which is not there yet."""
    for name in list(os.environ):
        if name.startswith("PLANTCTL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plantctl(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command line, words given apart."""

    def type_words(*words: str, program: typer.Typer = command_line.app) -> Said:
        monkeypatch.setattr("sys.argv", ["plantctl", *words])
        code = command_line.run(words, program)
        caught = capsys.readouterr()
        return Said(code, caught.out, caught.err)

    return type_words
