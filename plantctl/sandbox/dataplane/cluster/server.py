"""One postmaster on one data directory: start, stop, and whether it is really there. Knows no SQL."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.command import command_line, environment, failure
from plantctl.sandbox.dataplane.error import DataPlaneError

# signal and how long to wait before the next, sharper one; PostgreSQL's own names of the modes
LADDERS: dict[str, tuple[tuple[signal.Signals, float], ...]] = {
    "smart": ((signal.SIGTERM, 10.0), (signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
    "fast": ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
    "immediate": ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
    "kill": ((signal.SIGKILL, 5.0),),
}
READY_S = 60.0
ORPHANS_S = 15.0
STILL_IN_USE = "pre-existing shared memory block"
LOG_LIMIT = 4 * 1024 * 1024
STATUS_LINE = 7  # of postmaster.pid: "starting", "ready", "stopping"


class Server:
    """The postmaster of `node`: data directory `node/data`, configuration `node/postgresql.conf`, log `node/log`.

    `executable` is the `postgres` to start.
    """

    def __init__(self, node: Path, executable: str, account: Account) -> None:
        self.node = node
        self.data = node / "data"
        self.log = node / "log"
        self._executable = executable
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0  # where in the log the last start begins

    def pid(self) -> int | None:
        """The postmaster's process id, of whichever sandbox process started it; None when it does not run."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            # the number may have gone to another program since: only a process that names this directory is ours
            if str(self.data) in command_line(pid):
                return pid
        return self._process.pid if self._process is not None else None

    def start(self, what: str, *, wait: bool = True, ready_s: float = READY_S) -> None:
        """Starts the postmaster unless it runs; returns when it takes connections (at once without `wait`).

        DataPlaneError with reason port-taken, disk-full, timeout or failed, and the log's last lines.
        """
        deadline = time.monotonic() + ready_s
        orphans = time.monotonic() + ORPHANS_S
        while True:
            if self.pid() is None:
                self._forget_stale_pid()
                self._spawn(what)
            if not wait:
                return
            try:
                self._await_ready(what, deadline)
                return
            except DataPlaneError as error:
                # backends of a killed postmaster see that it died, and go, within a moment
                if STILL_IN_USE not in str(error) or time.monotonic() > orphans:
                    raise
                time.sleep(0.1)

    def stop(self, what: str, mode: str = "fast") -> None:
        """Stops the postmaster, ever sharper from `mode` (smart, fast, immediate, kill); nothing when it is down."""
        for sign, patience in LADDERS[mode]:
            pid = self.pid()
            if pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if self.pid() is None:
                    return
                time.sleep(0.01)
        if self.pid() is not None:
            raise DataPlaneError(what, "the process outlived SIGKILL", reason="timeout", log=self.tail())

    def reload(self) -> None:
        """Makes the postmaster read its configuration, access rules and certificates again."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGHUP)

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines of the log."""
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - 65536))
            return stream.read().decode(errors="replace").splitlines()[-lines:]
        return []

    def _spawn(self, what: str) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_name("log.1"))
        argv = [self._executable, "-D", str(self.data), "-c", f"config_file={self.node}/postgresql.conf"]
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._account.own(self.log)
        self._started_at = os.fstat(descriptor).st_size
        try:
            # a session of its own: Ctrl-C at the terminal stops the sandbox, which then stops its servers in order
            self._process = subprocess.Popen(
                argv,
                cwd=self.node,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                **self._account.spawn(),
            )
        except OSError as error:
            raise DataPlaneError(what, f"{argv[0]}: {error.strerror or error}") from error
        finally:
            os.close(descriptor)

    def _await_ready(self, what: str, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                code, self._process = self._process.returncode, None
                raise failure(what, "postgres", code, self._words())
            with contextlib.suppress(OSError, IndexError):
                if (self.data / "postmaster.pid").read_text().splitlines()[STATUS_LINE].strip() == "ready":
                    return
            time.sleep(0.01)
        raise DataPlaneError(what, "not ready in time", reason="timeout", log=self.tail())

    def _words(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(self._started_at)
            return stream.read().decode(errors="replace")
        return ""

    def _forget_stale_pid(self) -> None:
        # Left alone when its process is gone: by it PostgreSQL checks that no backend of the dead postmaster lives.
        # Removed when the number went to another program: PostgreSQL would take that for a rival and refuse.
        path = self.data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(path.read_text().splitlines()[0])
            os.kill(pid, 0)
            path.unlink()
