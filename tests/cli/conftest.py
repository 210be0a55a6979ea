"""plantctl as a process of its own, in a folder of its own; whatever sandbox a test starts ends with it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plantctl.cli import app

LIMIT_S = 90.0


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Operator:
    """Somebody who types commands in a folder. `home` is where journal and sandbox are."""

    folder: Path

    @property
    def home(self) -> Path:
        """Journal, lock and sandbox."""
        return self.folder / ".plantctl"

    @property
    def environment(self) -> dict[str, str]:
        """No variable of the shell that runs the tests; proxies that lead nowhere, which must not matter."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PLANTCTL_")}
        return kept | {"COLUMNS": "100", "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}

    def command(self, *words: str) -> list[str]:
        """The command as the system starts it."""
        return [sys.executable, "-m", "plantctl", *words]

    def types(self, *words: str, text: str = "") -> Done:
        """Run a command to its end; `text` is its standard input. What sends requests or starts
        a sandbox gets a process of its own."""
        if words[0] not in ("phase", "backup", "rehearse") and words[:2] not in (
            ("sandbox", "up"),
            ("sandbox", "down"),
        ):
            return self._here(words, text)
        ended = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Done(ended.returncode, ended.stdout, ended.stderr)

    def _here(self, words: tuple[str, ...], text: str) -> Done:
        """In this process, which saves the start of another."""
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(self.folder):
            for name in set(os.environ) - set(self.environment):
                patch.delenv(name)
            patch.setenv("COLUMNS", "100")
            patch.setattr(sys, "argv", ["plantctl", *words])
            patch.setattr(sys, "stdin", io.StringIO(text))
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
                code = app.run(words)
        return Done(code, out.getvalue(), err.getvalue())

    def json(self, *words: str) -> Any:
        """The JSON of a command that succeeds."""
        done = self.types(*words, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def events(self, *words: str) -> list[dict[str, Any]]:
        """The JSON lines of a run, whatever its end."""
        return [json.loads(line) for line in self.types(*words, "--format", "json").stdout.splitlines()]

    def starts(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command and leave it running."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """An operator in an empty folder."""
    someone = Operator(tmp_path)
    yield someone
    someone.types("sandbox", "down", "--purge")


def ended(process: subprocess.Popen[str], number: signal.Signals, *, after: Callable[[], bool]) -> tuple[int, str, str]:
    """Send a signal once something is so; exit code, stdout and stderr."""
    wait_for(after)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def wait_for(so: Callable[[], bool]) -> None:
    """Until something is so, at most 30 s."""
    end = time.monotonic() + 30
    while not so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
