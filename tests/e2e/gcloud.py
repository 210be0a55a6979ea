"""The real gcloud as an operator would have it: pointed at the sandbox by `eval "$(plantctl sandbox env)"` in bash."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.e2e.operator import LIMIT_S, Operator

PLANTCTL = f"{shlex.quote(sys.executable)} -m plantctl"


def shell(operator: Operator, script: str, *, cwd: str = "/") -> subprocess.CompletedProcess[str]:
    """A bash script after that eval, in any folder."""
    lines = f'set -eu\neval "$({PLANTCTL} sandbox env)"\n{script}'
    command = ["bash", "-c", lines]
    return subprocess.run(
        command, cwd=cwd, env=operator.environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


class Gcloud:
    """gcloud with JSON output, in the environment that the eval gives; it is made once, the calls are many."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        done = shell(operator, "env -0")
        assert done.returncode == 0, done.stderr
        self.environ = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)

    def run(self, line: str, **given: str) -> subprocess.CompletedProcess[str]:
        """One command line, to its end; `{words}` in it are filled in."""
        command = ["gcloud", *shlex.split(line.format(**given)), "--format=json"]
        return subprocess.run(
            command, cwd="/", env=self.environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    def __call__(self, line: str, **given: str) -> Any:
        """The JSON of a command that has to succeed."""
        done = self.run(line, **given)
        assert done.returncode == 0, f"gcloud {line}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, line: str, **given: str) -> str:
        """What gcloud says of a command that has to fail."""
        done = self.run(line, **given)
        assert done.returncode != 0, f"gcloud {line} was not refused:\n{done.stdout[-1000:]}"
        return done.stderr

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """What gcloud sent, by the sandbox's wire log."""
        entries = self._operator.control("GET", f"wire?since={since}")
        return [entry for entry in entries if "gcloud/" in str(entry["user_agent"])]


def within(body: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; KeyError where it is left out."""
    found: Any = body
    for word in path.split("."):
        found = found[word]
    return found
