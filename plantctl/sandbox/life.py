"""Start, stop and find the one sandbox of a PLANTCTL_HOME from outside: lock, endpoint file, detached process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from plantctl.sandbox.clock import pause

START_LIMIT_S = 30.0
STOP_LIMIT_S = 40.0
LOG_LIMIT = 4_000_000

_started: list[subprocess.Popen[bytes]] = []  # detached children of this process: kept, so that no one warns of them


class LifeError(Exception):
    """The sandbox did not start or stop; the words say why and what to do."""


class TakenError(LifeError):
    """Another process has this home's sandbox."""


def up(
    home: Path, *, speed: str = "60", port: int = 0, foreground: bool = False, dataplane: bool = True
) -> dict[str, Any]:
    """Start the sandbox of this home, unless it runs, and give its endpoints when it answers. LifeError otherwise.

    `speed`: invented seconds per real second as text, or "max". `foreground`: serve in this terminal until a signal;
    the answer is then empty.
    """
    state = home.absolute() / "sandbox"
    found = status(home)
    if found is not None:
        return found
    command = [sys.executable, "-m", "plantctl.sandbox", "--home", str(home.absolute()), "--speed", speed]
    command += ["--port", str(port)] + ([] if dataplane else ["--without-dataplane"])
    if foreground:
        code = subprocess.call(command)
        if code not in (0, -signal.SIGINT, -signal.SIGTERM):
            raise LifeError(f"the sandbox ended with exit code {code}")
        return {}
    log = _log(state)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, close_fds=True
        )
    _started.append(process)
    return _await(process, state, log)


def down(home: Path, *, purge: bool = False) -> bool:
    """Stop the sandbox and all it started; False when none ran. `purge` removes its state as well."""
    state = home.absolute() / "sandbox"
    pid = _holder(state)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + STOP_LIMIT_S
        while _holder(state):
            if time.monotonic() > end:
                raise LifeError(f"the sandbox (pid {pid}) did not stop within {STOP_LIMIT_S:.0f} s; see {_log(state)}")
            pause(0.02)
        _await_end(pid)
    elif state.exists():
        _sweep(state)
    for child in _started:
        child.poll()
    (state / "endpoint.json").unlink(missing_ok=True)
    if purge:
        _purge(state)
    return bool(pid)


def status(home: Path) -> dict[str, Any] | None:
    """The endpoint file of a running sandbox, or None; a file that a killed process left does not count."""
    state = home.absolute() / "sandbox"
    pid = _holder(state)
    if not pid:
        return None
    end = time.monotonic() + START_LIMIT_S
    while True:  # it may just be starting
        found = _endpoint(state)
        if found is not None and found.get("pid") == pid:
            return found
        if time.monotonic() > end or not _holder(state):
            return None
        pause(0.02)


@contextlib.contextmanager
def claim(state: Path) -> Iterator[None]:
    """Hold this state's lock; TakenError when somebody else does. The kernel frees it however the process ends."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a+", encoding="utf-8") as file:
        end = time.monotonic() + 1.0
        while not _lock(file):
            if time.monotonic() > end:  # not at once: somebody may only be looking who holds it
                file.seek(0)
                raise TakenError(f"a sandbox runs here already (pid {file.read().strip() or '?'}), in {state}")
            pause(0.05)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def write_endpoint(state: Path, content: dict[str, Any]) -> None:
    """Write endpoint.json in one step, so that a reader never sees half of it."""
    kept = {key: value for key, value in content.items() if key != "dataplane"}
    draft = state / f".endpoint.{os.getpid()}"
    draft.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    draft.replace(state / "endpoint.json")


def _await(process: subprocess.Popen[bytes], state: Path, log: Path) -> dict[str, Any]:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        found = _endpoint(state)
        if found is not None and found.get("pid") == process.pid:
            return found
        code = process.poll()
        if code is not None:
            if code == 5:  # lost a race: another start of the same home was quicker
                other = status(state.parent)
                if other is not None:
                    return other
            raise LifeError(f"the sandbox did not start (exit code {code}): {_last_words(log)}")
        pause(0.01)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    raise LifeError(f"the sandbox did not answer within {START_LIMIT_S:.0f} s: {_last_words(log)}")


def _await_end(pid: int, limit_s: float = 5.0) -> None:
    # the lock is free a moment before the process is gone; one that its parent does not bury stays, and is no matter
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        for child in _started:
            child.poll()
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        pause(0.01)


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _endpoint(state: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((state / "endpoint.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _holder(state: Path) -> int:
    """Pid of the process that holds the lock; 0 when it is free."""
    try:
        file = (state / "lock").open("r", encoding="utf-8")
    except OSError:
        return 0
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read().strip()
            return int(text) if text.isdigit() else 0
        return 0


def _log(state: Path) -> Path:
    try:
        state.mkdir(parents=True, exist_ok=True)
        log = state / "sandbox.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(state / "sandbox.log.1")
        log.touch()
    except OSError as error:
        raise LifeError(f"cannot write to {state}: {error.strerror}") from error
    return log


def _last_words(log: Path, lines: int = 6) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"its log cannot be read: {error}"
    last = [line for line in text.splitlines() if line.strip()][-lines:]
    own = [line.removeprefix("sandbox: ") for line in last if line.startswith("sandbox: ")]
    return own[-1] if own else ("\n".join(last) or "it said nothing") + f"\n(log: {log})"


def _sweep(state: Path) -> None:
    """End the servers that a killed sandbox left running."""
    if (state / "dataplane" / "postgres").exists():
        from plantctl.sandbox.dataplane.postgres import PostgresPlane  # a plain `down` does not pay for it

        PostgresPlane(state / "dataplane" / "postgres").stop_all()


def _purge(state: Path) -> None:
    if (state / "dataplane").exists():
        from plantctl.sandbox.dataplane.postgres import PostgresPlane

        PostgresPlane(state / "dataplane" / "postgres").purge()
        from plantctl.sandbox.dataplane.places import remove_place_for

        for part in ("images", "processes"):
            remove_place_for(state / "dataplane" / part)
    shutil.rmtree(state, ignore_errors=True)
