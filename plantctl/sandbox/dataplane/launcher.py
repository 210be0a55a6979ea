"""Stands between the sandbox and one process: gives up rights, passes SIGTERM on, and leaves nothing behind.

Run as a script by running.py: `launcher.py LIFELINE USER SCRATCH COMMAND...`; imports nothing of ours, to start fast.
LIFELINE is a pipe whose other end only the sandbox has: when it closes, the sandbox is gone, however it died, and so is
everything below this process, and SCRATCH, which may hold secrets. USER is a user id, with `+read` when it keeps the
right to read every file, or -1 to stay who we are.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


def _prctl(option: int, value: int, more: int = 0) -> int:
    """0, or -1 when the kernel refuses; 0 as well where there is no such call."""
    if sys.platform != "linux":
        return 0
    return int(ctypes.CDLL(None, use_errno=True).prctl(option, value, more, 0, 0))


def _give_up_root(user: int, reads_all: bool) -> None:
    if reads_all:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    if reads_all:
        # Of root's rights this one alone, ambient so that it outlives exec: see capabilities(7).
        right = 1 << _CAP_DAC_READ_SEARCH
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)(right, right, right, 0, 0, 0)
        refused = ctypes.CDLL(None, use_errno=True).capset(header, sets)
        if refused or _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH):
            raise OSError(ctypes.get_errno(), "cannot keep the right to read")


def _become(user: str, parent: int, command: list[str]) -> None:
    """The child's part; never returns. Exit codes 126 and 127 as a shell has them."""
    try:
        if user != "-1":
            _give_up_root(int(user.removesuffix("+read")), user.endswith("+read"))
        # After the change of user, which clears it. This process has one thread, so "parent" means the process.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(137)
        os.umask(0o022)
        os.execvpe(command[0], command, os.environ)  # noqa: S606 - no shell is wanted
    except FileNotFoundError:
        os.write(2, f'exec: "{command[0]}": executable file not found in $PATH\n'.encode())
        os._exit(127)
    except OSError as error:
        os.write(2, f'exec: "{command[0]}": {error.strerror}\n'.encode())
        os._exit(126)


def _children() -> list[int]:
    """Direct children; with the subreaper flag also those whose parents died."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def _end_children() -> None:
    for _ in range(100):  # killing a parent hands its children over: again, until none is left
        children = _children()
        if not children:
            return
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:  # these alone: waiting for any child would wait for one that was handed over meanwhile
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _end_everything(scratch: str) -> None:
    _end_children()
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _wait(child: int, lifeline: int, wakeup: int, scratch: str) -> int:
    """Exit code of the child: 128 + signal number when a signal ended it, as docker says it."""
    while True:
        ready, _, _ = select.select([lifeline, wakeup], [], [])
        if lifeline in ready:
            _end_everything(scratch)
        for number in os.read(wakeup, 512) if wakeup in ready else b"":
            if number == signal.SIGTERM:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up pipe carries the number."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    lifeline, user, scratch, command = int(arguments[0]), arguments[1], arguments[2], arguments[3:]
    os.set_inheritable(lifeline, False)
    wakeup, notify = os.pipe()
    os.set_blocking(notify, False)
    signal.set_wakeup_fd(notify, warn_on_full_buffer=False)
    watched = {signal.SIGTERM, signal.SIGCHLD}
    for number in watched:
        signal.signal(number, _noted)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the sandbox's terminal is the sandbox's to handle
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        for number in (*watched, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        _become(user, parent, command)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
    # The pipes to the sandbox are the child's alone: it may close them before it ends.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    code = _wait(child, lifeline, wakeup, scratch)
    _end_children()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
