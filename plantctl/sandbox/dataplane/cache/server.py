"""One redis-server on one node: start, stop, whether it is really there, and the sandbox's own connection to it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.cache.configuration import ADMIN
from plantctl.sandbox.dataplane.command import command_line, environment, failure
from plantctl.sandbox.dataplane.error import DataPlaneError

READY_S = 60.0
SAVE_S = 60.0
KILL_S = 5.0
ANSWER_S = 10.0
LOG_LIMIT = 4 * 1024 * 1024


class Server:
    """The server of `node`: configuration `node/redis.conf`, data `node/dump.rdb`, log `node/log`, `node/pid`."""

    def __init__(self, node: Path, executable: Path, account: Account, password: str) -> None:
        self.node = node
        self.configuration = node / "redis.conf"
        self.data = node / "dump.rdb"
        self.log = node / "log"
        self._executable = executable
        self._account = account
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0

    def pid(self) -> int | None:
        """The process id, of whichever sandbox process started it; None when it does not run."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.node / "pid").read_text())
            # the number may have gone to another program since: only a process that names this node is ours
            if str(self.configuration) in command_line(pid):
                return pid
        return self._process.pid if self._process is not None else None

    @contextlib.contextmanager
    def link(self, port: int, what: str) -> Iterator[Any]:
        """A connection with every right, by the port without TLS; what goes wrong on it becomes a DataPlaneError."""
        client = Redis(
            host="127.0.0.1",
            port=port,
            username=ADMIN,
            password=self._password,
            protocol=2,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        try:
            yield client
        except RedisError as error:
            reason = "failed" if self.pid() else "not-running"
            raise DataPlaneError(what, str(error), reason=reason, log=self.tail()) from error
        finally:
            client.close()

    def answers(self, port: int) -> bool:
        """Whether it runs and takes commands."""
        if self.pid() is None:
            return False
        try:
            with self.link(port, "look") as link:
                return bool(link.ping())
        except DataPlaneError:
            return False

    def start(self, what: str, port: int) -> None:
        """Starts the server unless it runs; returns when it has read its data and takes commands.

        DataPlaneError with reason port-taken, disk-full, timeout or failed, and the log's last lines.
        """
        if self.pid() is None:
            self._spawn(what)
        deadline, process = time.monotonic() + READY_S, self._process
        while not self.answers(port):
            if process is not None and (code := process.poll()) is not None:
                raise failure(what, self._executable.name, code, self._words())
            if time.monotonic() > deadline:
                raise DataPlaneError(what, "not ready in time", reason="timeout", log=self.tail())
            time.sleep(0.01)

    def stop(self, what: str, *, keep: bool = True) -> None:
        """Ends the server; with `keep` it first writes its data to dump.rdb. Nothing when it is down."""
        ladder = [(signal.SIGTERM, SAVE_S), (signal.SIGKILL, KILL_S)] if keep else [(signal.SIGKILL, KILL_S)]
        for sign, patience in ladder:
            pid = self.pid()
            if pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if self.pid() is None:
                    return
                time.sleep(0.005)
        if self.pid() is not None:
            raise DataPlaneError(what, "the process outlived SIGKILL", reason="timeout", log=self.tail())

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines of the log."""
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - 65536))
            return stream.read().decode(errors="replace").splitlines()[-lines:]
        return []

    def _spawn(self, what: str) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_name("log.1"))
        (self.node / "pid").unlink(missing_ok=True)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._account.own(self.log)
        self._started_at = os.fstat(descriptor).st_size
        try:
            # a session of its own: Ctrl-C at the terminal stops the sandbox, which then stops its servers in order
            self._process = subprocess.Popen(
                [str(self._executable), str(self.configuration)],
                cwd=self.node,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                **self._account.spawn(),
            )
        except OSError as error:
            raise DataPlaneError(what, f"{self._executable}: {error.strerror or error}") from error
        finally:
            os.close(descriptor)

    def _words(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(self._started_at)
            return stream.read().decode(errors="replace")
        return ""
