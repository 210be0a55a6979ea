"""Who runs here: user and host for the journal and the lock, and whether a process of the past still lives."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that can be told from a later one of the same pid: `started` is the kernel's start tick, or empty."""

    by: str
    host: str
    pid: int
    started: str

    def lives(self) -> bool:
        """True when it is this host's and still runs. A process of another host counts as gone: it cannot be asked."""
        if self.host != socket.gethostname() or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return not self.started or start_tick(self.pid) in ("", self.started)


def this_process() -> Process:
    """The present process."""
    try:
        by = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a passwd line
        by = str(os.getuid())
    return Process(by=by, host=socket.gethostname(), pid=os.getpid(), started=start_tick(os.getpid()))


def start_tick(pid: int) -> str:
    """Field 22 of /proc/PID/stat (clock ticks since boot); `ended` for a zombie; empty without /proc or process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state = stat.rpartition(")")[2].split()
    return "ended" if state[0] in ("Z", "X") else state[19]
