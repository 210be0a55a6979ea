"""One writer a plant: flock on a sidecar file, which the kernel frees when the process ends, so it is never stale."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plantctl.clock import SystemClock
from plantctl.engine.process import this_process
from plantctl.engine.schema import reworded
from plantctl.errors import LockHeld
from plantctl.model.status import LockState

FILE_NAME = "lock"

_TRIES = 5  # `show` holds a shared lock for a moment: that is not another writer
_PAUSE_S = 0.02


@contextmanager
def hold(home: Path, *, what: str, since: str) -> Iterator[None]:
    """Hold the lock of a home directory; LockHeld, quoting the holder, when another process does.

    `what`: the command, for others to read; `since`: RFC 3339. The text is cleared at the end, the file stays.
    """
    path = home / FILE_NAME
    with reworded(path):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _take(handle):
            raise _held(path)
        process = this_process()
        words = {"by": process.by, "host": process.host, "pid": process.pid, "since": since, "what": what}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(words).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def show(home: Path) -> LockState:
    """Who holds the lock; makes no file. A text without a holder is what a killed process left: `held` is false."""
    path = home / FILE_NAME
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return LockState(held=False)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            held = False
        except BlockingIOError:
            held = True
        return _state(held, os.pread(handle, 4096, 0))
    finally:
        os.close(handle)


def release(home: Path) -> str:
    """Words on what was done: nothing can take the lock from a live process, and none is needed after a dead one.

    LockHeld, with the holder, while it is held. A text that a killed process left is cleared.
    """
    state = show(home)
    if state.held:
        raise _held(home / FILE_NAME)
    if not state.by:
        return "the lock is free"
    with hold(home, what="lock release", since=""):
        pass
    return f"the lock was free already (the kernel frees it when a process ends); cleared the words of {state.words()}"


def _take(handle: int) -> bool:
    clock = SystemClock()
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            clock.sleep(_PAUSE_S)
        else:
            return True
    return False


def _held(path: Path) -> LockHeld:
    state = show(path.parent)
    return LockHeld(
        f"another plantctl writes to this plant: {state.words()}",
        cause=f"it holds {path}; the kernel frees it when that process ends, whatever way",
        hint=f"wait for it, or stop it with: kill -INT {state.pid}" if state.pid else "plantctl lock show",
    )


def _state(held: bool, text: bytes) -> LockState:
    try:
        words = json.loads(text)
        return LockState(held=held, **{name: words[name] for name in ("by", "host", "pid", "since", "what")})
    except (ValueError, KeyError, TypeError):  # empty, or caught between truncating and writing
        return LockState(held=held)
