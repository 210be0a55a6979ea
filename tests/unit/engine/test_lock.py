"""The lock: one writer, freed by the kernel, told to whoever asks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plantctl.engine import lock
from plantctl.errors import LockHeld

HOLDER = """
import sys
from pathlib import Path
from plantctl.engine import lock
with lock.hold(Path(sys.argv[1]), what="phase run all", since="2026-11-23T10:00:00Z"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    with other_process(tmp_path) as holder:
        with pytest.raises(LockHeld) as caught, lock.hold(tmp_path, what="x", since=""):
            pass
        assert f"pid {holder.pid}, since 2026-11-23T10:00:00Z: phase run all" in caught.value.message
        assert caught.value.exit_code == 5
        assert str(holder.pid) in caught.value.hint
        assert lock.show(tmp_path).held
        with pytest.raises(LockHeld):
            lock.release(tmp_path)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with other_process(tmp_path) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        state = lock.show(tmp_path)
        assert (state.held, state.pid) == (False, holder.pid)
        assert "cleared the words of" in lock.release(tmp_path)
        assert lock.show(tmp_path).by == ""
        with lock.hold(tmp_path, what="x", since=""):
            assert lock.show(tmp_path).held


def test_the_text_goes_when_the_holder_goes(tmp_path: Path) -> None:
    with lock.hold(tmp_path, what="phase run", since="now"):
        assert lock.show(tmp_path).what == "phase run"
        with pytest.raises(LockHeld), lock.hold(tmp_path, what="x", since=""):
            pass
    assert (lock.show(tmp_path).held, lock.show(tmp_path).what) == (False, "")
    assert lock.release(tmp_path) == "the lock is free"


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert lock.show(tmp_path / "none").held is False
    assert not (tmp_path / "none").exists()
