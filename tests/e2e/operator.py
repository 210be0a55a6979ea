"""An operator at a terminal: runs the real command line as processes of its own, with a home, a plant.toml, a source.

Also the operator's other tools: curl at the sandbox's API, the sandbox's own control, the journal's reader.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import requests

from plantctl.engine.reader import Reader

ROOT = Path(__file__).parents[2]
PROJECT = "waooaw-prod"
INSTANCE = f"sqladmin/v1/projects/{PROJECT}/instances/plant-postgres"
TAMPERER = "somebody else"
LIMIT_S = 240


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """JSON lines of a run."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def finished(self) -> dict[str, Any]:
        """The last line of a run."""
        last = self.events[-1] if self.events else {}
        assert last.get("event") == "run-finished", f"exit {self.code}\n{self.out[-2000:]}\n{self.err[-3000:]}"
        return last

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document of a command that is no run."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def outcome(self, item: str) -> dict[str, Any]:
        """How an item ended."""
        return next(e for e in self.events if e["event"] == "item-finished" and e["item"] == item)

    def items(self, *outcomes: str) -> set[str]:
        """The items that ended in one of these ways."""
        return {e["item"] for e in self.events if e["event"] == "item-finished" and e["outcome"] in outcomes}

    @property
    def failures(self) -> str:
        """What a person would want to read of a run that was to succeed."""
        wrong = ('"outcome": "failed"', '"outcome": "blocked"', '"outcome": "waiting"')
        lines = [line for line in self.out.splitlines() if "item-finished" in line and any(w in line for w in wrong)]
        return f"exit {self.code} after {self.seconds:.1f} s\n" + "\n".join(lines[:5]) + f"\n{self.err[-2000:]}"


class Operator:
    """One home with its sandbox. `folder` holds home, plant.toml and the source of the backend."""

    def __init__(self, folder: Path, *, toml: str = "", source: Path | None = None) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.speed = "max"
        self.variables: dict[str, str] = {}
        self._said: dict[int, tuple[IO[str], IO[str]]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        backend = f'[backend]\nsource = "{source}"\n' if source else ""
        (folder / "plant.toml").write_text(f"{toml}\n{backend}", encoding="utf-8")
        self.api = requests.Session()
        self.api.trust_env = False
        self.api.headers["user-agent"] = TAMPERER

    # -- the command line

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the commands: no credentials, no settings but ours."""
        kept = {"PLANTCTL_POSTGRES", "PLANTCTL_REDIS"}
        out = ("PLANTCTL_", "GOOGLE_", "CLOUDSDK_", "PYTEST_")
        env = {key: value for key, value in os.environ.items() if not key.startswith(out) or key in kept}
        env |= {"PLANTCTL_HOME": str(self.home), "PYTHONPATH": str(ROOT), "HOME": str(self.folder)}
        return env | self.variables

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that runs beside the test. It writes into files: nobody need read for it to go on."""
        out, err = (tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(2))  # noqa: SIM115 - `end` closes
        process = subprocess.Popen(
            [sys.executable, "-m", "plantctl", *words],
            cwd=self.folder,
            env=self.environ,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        self._said[process.pid] = (out, err)
        return process

    def do(self, *words: str, limit_s: float = LIMIT_S) -> Done:
        """A command, to its end."""
        begun = time.monotonic()
        return self.end(self.start(*words), begun=begun, limit_s=limit_s)

    def end(self, process: subprocess.Popen[str], *, begun: float = 0.0, limit_s: float = LIMIT_S) -> Done:
        """Wait for a command that was started."""
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            out, err = self._output(process)
            raise AssertionError(f"no end within {limit_s} s: {process.args!r}\n{out[-2000:]}\n{err[-2000:]}") from None
        return Done(process.returncode, *self._output(process), time.monotonic() - begun)

    def _output(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        texts = []
        for file in self._said.pop(process.pid):
            with file:
                file.seek(0)
                texts.append(file.read())
        return texts[0], texts[1]

    def run(self, *words: str, limit_s: float = LIMIT_S) -> Done:
        """`phase run ... --format json`."""
        return self.do("phase", "run", *words, "--format", "json", limit_s=limit_s)

    def checklist(self) -> dict[str, dict[str, Any]]:
        """Items of `status checklist` by id."""
        done = self.do("status", "checklist", "--format", "json")
        assert done.code == 0, done.err
        return {item["id"]: item for item in done.document["items"]}

    def up(self) -> None:
        """`sandbox up`."""
        done = self.do("sandbox", "up", "--speed", self.speed)
        assert done.code == 0, done.err + done.out

    def down(self) -> None:
        """`sandbox down`."""
        done = self.do("sandbox", "down")
        assert done.code == 0, done.err

    def leave(self) -> None:
        """Stop everything and remove the folder."""
        self.do("sandbox", "down", "--purge")
        for file in [file for files in self._said.values() for file in files]:  # of commands that were killed
            file.close()
        self.api.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the sandbox from outside

    @property
    def endpoint(self) -> dict[str, Any]:
        """What the running sandbox wrote down."""
        found = json.loads((self.home / "sandbox" / "endpoint.json").read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found

    def control(self, verb: str, path: str, body: Any = None) -> Any:
        """The sandbox's own API."""
        return self.call(verb, f"_sandbox/{path}", body)

    def call(self, verb: str, path: str, body: Any = None) -> Any:
        """One request to the sandbox that has to succeed; its JSON."""
        answer = self.api.request(verb, f"{self.endpoint['rest']}/{path}", json=body, timeout=60)
        assert answer.status_code < 300, f"{verb} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    def sql(self, verb: str, path: str = "", body: Any = None) -> None:
        """A change of the instance behind plantctl's back, to its end."""
        operation = self.call(verb, f"{INSTANCE}{path}", body)
        for _ in range(3000):
            if operation["status"] == "DONE":
                assert "error" not in operation, operation
                return
            time.sleep(0.01)
            operation = self.call("GET", f"sqladmin/v1/projects/{PROJECT}/operations/{operation['name']}")
        raise AssertionError(f"it does not end: {operation}")

    def faults(self, *rules: dict[str, Any]) -> None:
        """Plan faults anew."""
        self.control("PUT", "faults", {"rules": list(rules)})

    def unfired(self) -> list[Any]:
        """Planned faults that never struck."""
        account = self.control("GET", "faults")
        return [account["rules"][index] for index in account["unfired"]]

    def wire(self, since: int = 0) -> list[dict[str, Any]]:
        """Requests of plantctl that reached the sandbox; those of the tests are left out."""
        return [e for e in self.control("GET", f"wire?since={since}") if e["user_agent"].startswith("plantctl/")]

    def mark(self) -> int:
        """How many requests there were so far, of anybody."""
        return len(self.control("GET", "wire"))

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        """Mutating requests of plantctl."""
        return [entry for entry in self.wire(since) if entry["mutating"]]

    def resources(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """What the sandbox holds."""
        return {one["key"]: one["body"] for one in self.control("GET", f"state?prefix={prefix}")["resources"]}

    def operations(self) -> list[dict[str, Any]]:
        """Long-running operations of all APIs."""
        return list(self.control("GET", "state?prefix=none")["operations"])

    @contextmanager
    def journal(self) -> Iterator[Reader]:
        """The journal, to read."""
        reader = Reader.open(self.home)
        try:
            yield reader
        finally:
            reader.close()


def copied_source(folder: Path) -> Path:
    """A copy of what the image is built from, so that work on the tree during the tests does not change it."""
    folder.mkdir(parents=True)
    for name in ("Dockerfile", ".dockerignore"):
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, folder / name)
    shutil.copytree(ROOT / "backend", folder / "backend", ignore=shutil.ignore_patterns("__pycache__"))
    return folder
