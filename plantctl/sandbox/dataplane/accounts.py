"""The operating-system account that servers run under: PostgreSQL refuses to run as root.

When the sandbox is not root this is the caller, and nothing changes hands.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plantctl.sandbox.dataplane.error import DataPlaneError, classify

# `nobody` on Debian, Fedora and Alpine; only the number matters, no entry in passwd is needed.
UNPRIVILEGED = 65534


@dataclass(frozen=True, kw_only=True)
class Account:
    """uid and gid of the servers; None for both means: the account we already are."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def current(cls) -> "Account":
        """The account for servers started by this process."""
        return cls(uid=UNPRIVILEGED, gid=UNPRIVILEGED) if os.geteuid() == 0 else cls()

    def spawn(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess` that start a child under this account."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def reaches(self, path: Path, *, mode: int = os.X_OK) -> bool:
        """Whether this account can pass every directory above `path`, and use `path` with `mode` (os.R_OK, X_OK)."""
        if self.uid is None:
            return os.access(path, mode)
        resolved = path.resolve()
        try:
            return all(self._may(parent, os.X_OK) for parent in resolved.parents) and self._may(resolved, mode)
        except OSError:
            return False

    def _may(self, path: Path, mode: int) -> bool:
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return (stat.S_IMODE(status.st_mode) >> shift) & mode == mode

    def own(self, path: Path) -> None:
        """Gives one file or directory to this account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def own_tree(self, path: Path) -> None:
        """Gives a directory and all below it to this account."""
        self.own(path)
        for parent, folders, files in os.walk(path):
            for entry in (*folders, *files):
                self.own(Path(parent) / entry)

    def folder(self, path: Path) -> Path:
        """Makes `path` (its parent exists) a private directory of this account, and returns it."""
        path.mkdir(mode=0o700, exist_ok=True)
        self.own(path)
        return path

    def write(self, path: Path, text: str) -> None:
        """Replaces a file of this account at once, mode 0600; DataPlaneError (disk-full, failed)."""
        part = path.with_name(path.name + ".part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            self.own(part)
            part.replace(path)
        except OSError as error:
            raise DataPlaneError(f"write {path}", error.strerror or str(error), reason=classify(str(error))) from error


def home(root: Path, account: Account) -> Path:
    """The directory for servers' data that belongs to the state directory `root`.

    It is `root` itself where the account can reach it; else a directory of its own below TMPDIR, /var/tmp or /tmp,
    which the file `location` in `root` names, so that the next sandbox process finds it again.
    """
    root.mkdir(parents=True, exist_ok=True)
    if account.uid is None:
        return root
    if account.reaches(root.resolve().parent):
        return account.folder(root)
    location = root / "location"
    if location.exists():
        base = Path(location.read_text(encoding="utf-8").strip())
    else:
        digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
        base = _temporary(account) / f"plantctl-{digest}"
        location.write_text(f"{base}\n", encoding="utf-8")
    base.mkdir(mode=0o700, exist_ok=True)
    status = base.lstat()
    # the name can be guessed, and the folder above is open to everyone: what someone else put there is refused
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, account.uid):
        raise DataPlaneError(f"use {base}", f"it belongs to uid {status.st_uid}; remove it", reason="in-use")
    account.folder(base).chmod(0o700)
    return base


def _temporary(account: Account) -> Path:
    # the operator's wish first; then /var/tmp, which outlives a restart of the machine, where /tmp often does not
    wishes = [os.environ.get("TMPDIR"), "/var/tmp", "/tmp"]  # noqa: S108 - see the check in home()
    for folder in [Path(wish) for wish in wishes if wish]:
        if folder.is_dir() and account.reaches(folder) and os.access(folder, os.W_OK):
            return folder.resolve()
    raise DataPlaneError("place the servers' data", "no temporary folder that an unprivileged account can reach")
