"""Runs one tool to its end: as the servers' account, with a clean environment and a deadline."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.error import DataPlaneError, classify

# passed on from the caller; all else (PG*, LC_*, proxies) would make the result depend on who started the sandbox
KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every server and tool: C messages, UTC, and what `extra` adds."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", "HOME": "/", **(extra or {})}


def run(
    account: Account,
    argv: Sequence[str],
    *,
    what: str,
    cwd: Path,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> str:
    """Runs `argv` in `cwd` and returns what it printed; DataPlaneError with the last of its stderr when it fails."""
    streams: dict[str, Any] = {"stdin": stdin or subprocess.DEVNULL, "stdout": stdout or subprocess.PIPE}
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env=environment(env),
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
            **streams,
            **account.spawn(),
        )
    except subprocess.TimeoutExpired:
        raise DataPlaneError(what, f"{Path(argv[0]).name} took more than {timeout_s:g} s", reason="timeout") from None
    except OSError as error:
        raise DataPlaneError(what, f"{argv[0]}: {error.strerror or error}", reason=classify(str(error))) from error
    if done.returncode:
        raise failure(what, Path(argv[0]).name, done.returncode, done.stderr.decode(errors="replace"))
    return (done.stdout or b"").decode(errors="replace")


def failure(what: str, tool: str, code: int, text: str) -> DataPlaneError:
    """The error for a tool that ended with `code` after writing `text`."""
    lines = text.strip().splitlines()[-12:]
    reason = classify(text)
    cause = {
        "disk-full": "the disk is full (No space left on device)",
        "port-taken": "another process listens on its port",
    }.get(reason, f"{tool} ended with {code}")
    return DataPlaneError(what, cause, reason=reason, log=lines)


def command_line(pid: int) -> str:
    """A live process's command line; empty for one that is gone, or a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listed = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    )
    return listed.stdout
