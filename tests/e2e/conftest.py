"""Fixtures end to end: a plant that is finished, put back as it was for each test that changes it; and empty ones."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.canary import Watch
from tests.e2e.operator import Done, Operator, copied_source

FOUR_PHASES = ("predeploy", "database", "cache", "backend")
JWT = 'jwt-"canary"\\%41+/é-' + os.urandom(16).hex()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks, which is earlier where this folder was named
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that share a plant in one worker: the finished one of two phases, or what is made anew and deployed."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            fixtures = set(getattr(item, "fixturenames", ()))
            item.add_marker(pytest.mark.xdist_group("finished" if "finished" in fixtures else "deployed"))
            item.add_marker(pytest.mark.sandbox)
            item.add_marker(pytest.mark.dataplane)


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A folder that servers of another user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="plantctl-e2e-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def source(ground: Path) -> Path:
    """The backend's source, which nobody edits."""
    return copied_source(ground / "source")


@dataclass
class Finished:
    """The plant after `phase run predeploy database` on an empty project, and all that was seen of that run."""

    operator: Operator
    run: Done
    wire: list[dict[str, Any]]
    resources: dict[str, dict[str, Any]]
    operations: list[dict[str, Any]]
    watch: Watch
    jwt: str = JWT
    dirty: bool = False
    kept: Path = field(default=Path())

    def keep(self) -> None:
        """Put a copy of the home aside."""
        self.kept = self.operator.folder / "kept"
        self.operator.down()
        copy_tree(self.operator.home, self.kept)
        self.operator.up()

    def restore(self) -> Operator:
        """The home as it was, its sandbox running."""
        if self.dirty:
            end_sandbox(self.operator)
            shutil.rmtree(self.operator.home)
            copy_tree(self.kept, self.operator.home)
            self.operator.variables.clear()
            self.operator.up()
            self.dirty = False
        return self.operator


def copy_tree(old: Path, new: Path) -> None:
    """With owners, modes and links, which the servers' own files need."""
    subprocess.run(["cp", "-a", str(old), str(new)], check=True)


def end_sandbox(operator: Operator) -> None:
    """Down, whatever state a test has left it in."""
    operator.variables.clear()
    operator.do("sandbox", "down")


@pytest.fixture(scope="session")
def finished(ground: Path, source: Path) -> Iterator[Finished]:
    """Made once. Tests that change nothing in the cloud use it as it is; others take `plant`."""
    operator = Operator(ground / "finished", source=source)
    given = operator.folder / "jwt"
    given.write_text(JWT, encoding="utf-8")
    given.chmod(0o600)
    operator.up()
    try:
        with Watch() as watch:
            words = ("predeploy", "database", "--verbose", "--secret-file", f"JWT_SECRET_KEY={given}")
            run = operator.run(*words)
        assert run.code == 0, run.failures
        given.unlink()
        found = Finished(
            operator=operator,
            run=run,
            wire=operator.wire(),
            resources=operator.resources(),
            operations=operator.operations(),
            watch=watch,
        )
        found.keep()
        yield found
    finally:
        operator.leave()


@pytest.fixture
def still(finished: Finished) -> Operator:
    """The finished plant for a test that leaves the cloud as it is."""
    return finished.restore()


@pytest.fixture
def plant(finished: Finished) -> Operator:
    """The finished plant for a test that changes it; the next test gets it back as it was."""
    operator = finished.restore()
    finished.dirty = True
    return operator


@pytest.fixture(scope="session")
def four_phases(ground: Path, source: Path) -> Iterator[tuple[Operator, Done]]:
    """The four phases on an empty project; each test leaves the plant whole."""
    operator = Operator(ground / "backend", source=source)
    operator.up()
    try:
        yield operator, operator.run(*FOUR_PHASES, limit_s=280)
    finally:
        operator.leave()


@pytest.fixture
def served(four_phases: tuple[Operator, Done]) -> Operator:
    """The operator after the first run, with nothing planned and nothing set."""
    operator, run = four_phases
    assert run.code == 0, run.failures
    operator.variables.clear()
    operator.faults()
    return operator


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers what failed, for `mended`."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def mended(finished: Finished, plant: Operator, request: pytest.FixtureRequest) -> Iterator[Operator]:
    """As `plant`, for a test that has it repaired in the end: then the copy need not be put back."""
    yield plant
    finished.dirty = request.node.stash.get(FAILED, True)


Maker = Callable[..., Operator]


@pytest.fixture
def fresh(ground: Path, source: Path) -> Iterator[Maker]:
    """Makes operators with an empty home and no sandbox yet: `fresh(speed="max", toml="")`."""
    made: list[Operator] = []

    def make(*, speed: str = "max", toml: str = "") -> Operator:
        folder = Path(tempfile.mkdtemp(prefix="fresh-", dir=ground))
        folder.chmod(0o755)
        operator = Operator(folder, toml=toml, source=source)
        operator.speed = speed
        made.append(operator)
        return operator

    yield make
    for operator in made:
        operator.variables.clear()
        operator.leave()


def kill_sandbox(operator: Operator) -> int:
    """SIGKILL to the sandbox process alone; its servers stay behind, as they would."""
    pid = int(operator.endpoint["pid"])
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    return pid
