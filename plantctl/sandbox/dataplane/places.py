"""Where files lie that processes of another user must read: images, environments, private directories.

The sandbox may run as root from a clone under a 0700 directory; what it starts then runs as uid 65534.
"""

import hashlib
import os
import shutil
import stat
from pathlib import Path

NOBODY = 65534
_CAP_DAC_READ_SEARCH = 2
_FALLBACK = Path("/var/tmp")  # noqa: S108 - survives a restart, unlike /tmp; the directory made in it is checked


def open_to_others(path: Path) -> bool:
    """Whether a user who neither owns the file nor is in its group can reach and read it, links followed."""
    try:
        real = path.resolve(strict=True)
        wanted = stat.S_IROTH | (stat.S_IXOTH if real.is_dir() else 0)
        if real.stat().st_mode & wanted != wanted:
            return False
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents)
    except OSError:
        return False


def can_lend_reading() -> bool:
    """Whether this process may let a child of another user read every file (CAP_DAC_READ_SEARCH, Linux)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    held = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("CapPrm:", "CapBnd:"))]
    return len(held) == 2 and all(mask >> _CAP_DAC_READ_SEARCH & 1 for mask in held)


def place_for(directory: Path) -> Path:
    """The directory itself, made if absent; as root, one below /var/tmp when another user could not reach it.

    The name of the latter is derived from the directory, so that the next start finds it again. PermissionError
    when somebody else made it first.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or open_to_others(directory):
        return directory
    place = _fallback(directory)
    place.mkdir(mode=0o755, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise PermissionError(f"{place} is not a directory of ours")
    place.chmod(0o755)
    return place


def remove_place_for(directory: Path) -> None:
    """Remove what place_for() made outside of the directory, if anything."""
    shutil.rmtree(_fallback(directory.absolute()), ignore_errors=True)


def _fallback(directory: Path) -> Path:
    return _FALLBACK / f"plantctl-{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}"
