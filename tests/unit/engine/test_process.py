"""Whether a process of the past still lives: pids come back, zombies stay, other hosts cannot be asked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from plantctl.engine.process import start_tick, this_process


def test_the_present_process_lives() -> None:
    assert this_process().lives()


def test_a_later_process_of_the_same_pid_is_another() -> None:
    assert not replace(this_process(), started="1").lives()


def test_another_host_cannot_be_asked() -> None:
    assert not replace(this_process(), host="elsewhere").lives()


def test_a_zombie_and_a_gone_process_do_not_live() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = replace(this_process(), pid=child.pid, started=start_tick(child.pid))
        assert process.lives()
        assert child.stdin is not None
        child.stdin.close()
        while start_tick(child.pid) != "ended":  # it has ended and nobody has asked for its exit code
            pass
        assert not process.lives()
    assert not process.lives()
