"""The build context: the files that the Dockerfile may copy, as one reproducible tarball, and what is wrong with it."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from plantctl.errors import PlantctlError
from plantctl.model.plant import Plant

ALWAYS_OUT = (".git", ".plantctl", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".nox")
MAX_BYTES = 64 * 1024 * 1024


class SourceError(PlantctlError):
    """The source of the backend cannot be built from."""

    reference = "source-unusable"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A gzipped tarball, its SHA-256 in hex, and how many files it holds. Same files and modes, same bytes."""

    data: bytes
    sha256: str
    files: int


def folder(plant: Plant, base: Path) -> Path:
    """Where the Dockerfile is: `backend.source` of plant.toml, from the folder that it lies in.

    Raises SourceError where there is none.
    """
    found = (base / plant.backend.source).resolve()
    if not (found / "Dockerfile").is_file():
        raise SourceError(
            f"there is no Dockerfile in {found}",
            cause=f"backend.source is {plant.backend.source!r}",
            hint="set backend.source in plant.toml to the folder of the backend's Dockerfile",
        )
    return found


def pack(root: Path) -> Source:
    """The build context of a folder: what `COPY` names, without what .dockerignore leaves out.

    Times and owners are left out, so that the digest tells content only. Raises SourceError past 64 MiB.
    """
    ignored = _ignored(root)
    names = sorted(_wanted(root, ignored))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            content = (root / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if (root / name).stat().st_mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(content))
    if raw.tell() > MAX_BYTES:
        raise SourceError(
            f"the build context of {root} has {raw.tell() // 2**20} MiB, more than {MAX_BYTES // 2**20}",
            hint="name what is not needed in .dockerignore",
        )
    data = gzip.compress(raw.getvalue(), mtime=0)
    return Source(data=data, sha256=hashlib.sha256(raw.getvalue()).hexdigest(), files=len(names))


def _wanted(root: Path, ignored: list[str]) -> list[str]:
    found = {"Dockerfile"}
    if (root / ".dockerignore").is_file():
        found.add(".dockerignore")
    for given in _copied(root / "Dockerfile"):
        for path in sorted(root.glob(given.rstrip("/"))) if given != "." else [root]:
            inner = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
            found.update(str(p.relative_to(root)) for p in inner)
    # the two files that steer a build are always sent, whatever .dockerignore says (Docker documentation)
    always = {"Dockerfile", ".dockerignore"}
    return [name for name in found if name in always or not _left_out(name, ignored)]


def _copied(dockerfile: Path) -> list[str]:
    """Sources of COPY lines that read from the build context (not `--from=`)."""
    text = re.sub(r"\\\n", " ", dockerfile.read_text(encoding="utf-8"))
    sources: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0].upper() == "COPY" and not any(word.startswith("--from=") for word in words):
            sources += [word for word in words[1:-1] if not word.startswith("--")]
    return sources


def _ignored(root: Path) -> list[str]:
    path = root / ".dockerignore"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.strip().rstrip("/") for line in lines if line.strip() and not line.startswith("#")]


def _left_out(name: str, ignored: list[str]) -> bool:
    parts = name.split("/")
    if any(part in ALWAYS_OUT for part in parts) or name.endswith(".pyc"):
        return True
    out = False
    for pattern in ignored:  # the last line that matches decides (Docker documentation, .dockerignore)
        keep, glob = pattern.startswith("!"), pattern.lstrip("!").lstrip("/")
        heads = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        if any(fnmatch.fnmatch(head, glob.removeprefix("**/")) or fnmatch.fnmatch(head, glob) for head in heads):
            out = not keep
    return out


def faults(root: Path) -> list[str]:
    """What is wrong with the Dockerfile for Cloud Run (gcp-foundation, backend.image.dockerfile), one line a fault.

    Several stages, a user that is not root, no build tools in the last stage, exec-form entry point so that SIGTERM
    reaches the program.
    """
    text = re.sub(r"\\\n", " ", (root / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    froms = [i for i, words in enumerate(lines) if words[0].upper() == "FROM"]
    found: list[str] = []
    if len(froms) < 2:
        found.append("it has one stage only; build tools would stay in the image")
    last = lines[froms[-1] :] if froms else lines
    values = {words[0].upper(): words[1].strip() for words in last if len(words) > 1}
    if values.get("USER", "root").split(":")[0] in ("root", "0"):
        found.append("its last stage runs as root; add USER")
    entry = values.get("ENTRYPOINT") or values.get("CMD") or ""
    if not entry.startswith("["):
        found.append("its ENTRYPOINT or CMD is not in exec form, so SIGTERM would not reach the program")
    tools = re.compile(r"\b(gcc|build-essential|apt-get install|pip install)\b")
    if any(words[0].upper() == "RUN" and len(words) > 1 and tools.search(words[1]) for words in last):
        found.append("its last stage installs build tools or packages; do that in an earlier stage")
    return found
