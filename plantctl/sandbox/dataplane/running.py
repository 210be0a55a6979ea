"""An instance that runs: its lines, its end, its health.

Made by process.py. The launcher between it and us (launcher.py) is what keeps children from surviving.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

OnLine = Callable[[str, str], None]

MAX_LINE_BYTES = 256 * 1024  # the limit of one Cloud Logging entry; longer lines are cut in pieces
_POLL_S = 0.05
_DRAIN_S = 5.0
_LAUNCHER_S = 3.0  # what the launcher gets to end its children before it is ended with its group
_LAUNCHER = Path(__file__).with_name("launcher.py")
# A server that listens on 127.0.0.1 alone would not be found on Cloud Run: on Linux it is not found here either.
_PROBE_HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Health:
    """Verdict of the health gate; `reason` says what was seen last, `took_s` in real seconds."""

    ok: bool
    reason: str
    took_s: float


@dataclass(frozen=True, kw_only=True)
class RunAs:
    """Who an instance runs as: `uid` -1 is our own user; `reads_all` adds the right to read every file."""

    uid: int = -1
    reads_all: bool = False

    @property
    def word(self) -> str:
        """As the launcher reads it."""
        return f"{self.uid}+read" if self.reads_all else str(self.uid)


class Running:
    """One instance, from start to end. Thread-safe.

    `pid` is that of the launcher, which leads the process group; `exit_code` is the program's own (128 + n when
    signal n ended it). `ended_because`: "exited", "terminated" or "timeout". Times are seconds since the epoch.
    """

    def __init__(self, popen: subprocess.Popen[bytes], lifeline: int, at_end: Callable[[], None]) -> None:
        self.pid = popen.pid
        self.started_at = time.time()
        self.ended_at: float | None = None
        self.exit_code: int | None = None
        self.ended_because = ""
        self.line_error: Exception | None = None
        self._popen, self._lifeline, self._at_end = popen, lifeline, at_end
        self._lock = threading.Lock()
        self._asked = ""
        self._ended = threading.Event()
        self._timer: threading.Timer | None = None

    def watch(self, on_line: OnLine, timeout_s: float | None) -> None:
        """Start the threads that read its lines and wait for its end."""
        readers = []
        for stream, pipe in (("stdout", self._popen.stdout), ("stderr", self._popen.stderr)):
            if pipe is not None:
                readers.append(threading.Thread(target=self._read, args=(stream, pipe, on_line), daemon=True))
        if timeout_s is not None:
            self._timer = threading.Timer(timeout_s, self._stop, args=("timeout", 10.0))
            self._timer.daemon = True
            self._timer.start()
        for reader in readers:
            reader.start()
        threading.Thread(target=self._await_end, args=(readers,), name=f"instance-{self.pid}", daemon=True).start()

    def _read(self, stream: str, pipe: IO[bytes], on_line: OnLine) -> None:
        with pipe:
            while line := pipe.readline(MAX_LINE_BYTES):
                try:
                    on_line(stream, line.decode("utf-8", errors="replace").rstrip("\r\n"))
                except Exception as error:  # whoever listens must not stop the instance: its pipe would fill up
                    self.line_error = error

    def _await_end(self, readers: list[threading.Thread]) -> None:
        if hasattr(os, "waitid"):
            # Not yet reaped, the process keeps its group's number from being given to another.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self._signal_group(signal.SIGKILL)
            with self._lock:
                code = self._popen.wait()
        else:
            code = self._popen.wait()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        if self._timer is not None:
            self._timer.cancel()
        for reader in readers:
            reader.join(_DRAIN_S)
        self._cut_lifeline()
        with self._lock:
            self.exit_code = code if code >= 0 else 128 - code
            self.ended_at = time.time()
            self.ended_because = self._asked or "exited"
        try:
            self._at_end()
        finally:
            self._ended.set()

    def _signal_group(self, number: int) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):
            if self._popen.returncode is None:
                os.killpg(self.pid, number)

    def _signal_launcher(self, number: int) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._popen.returncode is None:
                os.kill(self.pid, number)

    def _cut_lifeline(self) -> None:
        """Makes the launcher kill everything below it, also what left its process group."""
        with self._lock:
            lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)

    def poll(self) -> int | None:
        """Exit code, or None while it runs. After an end all its lines were given and its files are gone."""
        return self.exit_code if self._ended.is_set() else None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end at most `timeout_s` seconds; exit code, or None when it still runs."""
        self._ended.wait(timeout_s)
        return self.poll()

    def terminate(self, grace_s: float = 10.0) -> int:
        """SIGTERM to the program, SIGKILL to its whole process group after `grace_s`; returns the exit code.

        Ten seconds are Cloud Run's: cloud.google.com/run/docs/container-contract, "instance shutdown".
        """
        return self._stop("terminated", grace_s)

    def _stop(self, reason: str, grace_s: float) -> int:
        with self._lock:
            running = self.exit_code is None
            self._asked = self._asked or (reason if running else "")
        if running and grace_s > 0:
            self._signal_launcher(signal.SIGTERM)
            self._ended.wait(grace_s)
        if not self._ended.is_set() and self.exit_code is None:
            self._cut_lifeline()
            if not self._ended.wait(_LAUNCHER_S):
                self._signal_group(signal.SIGKILL)
        self._ended.wait()
        return self.exit_code if self.exit_code is not None else 137

    def wait_listening(self, port: int, path: str | None, deadline_s: float) -> Health:
        """Startup probe: HTTP GET of `path` answers 200 to 399, or, with None, the port accepts a connection.

        Ends early when the instance does. Real seconds.
        """
        started = time.monotonic()
        seen = f"nothing listens on port {port}"
        while True:
            if self._ended.wait(0):
                return self._health(started, f"the container exited with code {self.exit_code}")
            try:
                if path is None:
                    with socket.create_connection((_PROBE_HOST, port), timeout=1.0):
                        return Health(ok=True, reason=f"port {port} accepts", took_s=time.monotonic() - started)
                status = _get(port, path)
                seen = f"GET {path} answered {status}"
                if 200 <= status < 400:
                    return Health(ok=True, reason=seen, took_s=time.monotonic() - started)
            except (OSError, http.client.HTTPException) as error:
                if not isinstance(error, ConnectionRefusedError):
                    seen = f"port {port}: {type(error).__name__}"
            if time.monotonic() - started >= deadline_s:
                return self._health(started, f"{seen} after {deadline_s:g} s")
            self._ended.wait(_POLL_S)

    def _health(self, started: float, reason: str) -> Health:
        return Health(ok=False, reason=reason, took_s=time.monotonic() - started)


def _get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(_PROBE_HOST, port, timeout=5.0)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}", "User-Agent": "GoogleHC/1.0"})
        return connection.getresponse().status
    finally:
        connection.close()


def free_port() -> int:
    """A TCP port of this machine that nothing listens on now, on any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def start(
    *,
    argv: Sequence[str],
    env: Mapping[str, str],
    workdir: Path,
    user: RunAs,
    scratch: Path,
    timeout_s: float | None,
    on_line: OnLine,
    at_end: Callable[[], None],
) -> Running:
    """Start the launcher with the program below it; `at_end` is called once, when all is over."""
    lifeline, kept = os.pipe()
    try:
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(lifeline), user.word, str(scratch), *argv],
            env=dict(env),
            cwd=workdir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(lifeline,),
            start_new_session=True,
        )
    except BaseException:
        os.close(kept)
        raise
    finally:
        os.close(lifeline)
    running = Running(popen, kept, at_end)
    running.watch(on_line, timeout_s)
    return running
