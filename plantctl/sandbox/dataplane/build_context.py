"""An uploaded source tarball becomes a build context: unpacked with bounds, .dockerignore applied.

Called by image.py. A tarball comes from outside: nothing in it may write outside the directory given.
"""

import gzip
import io
import os
import posixpath
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 512 * 1024 * 1024
MAX_FILES = 50_000


class BuildError(Exception):
    """A build that fails as Cloud Build would fail it; `log_lines` is what was logged up to then."""

    def __init__(self, message: str, log_lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log_lines = log_lines


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One path of a file tree: a file (its content lies at `source`), a symbolic link, or else a directory.

    `owned` marks files that --chown gave to the image's user.
    """

    mode: int
    source: Path | None = None
    link: str | None = None
    owned: bool = False

    @property
    def is_directory(self) -> bool:
        """Neither file nor link."""
        return self.source is None and self.link is None


class _Bounded(io.RawIOBase):
    """Reads the unpacked stream and stops at the bound, so that a small upload cannot fill the disk or memory."""

    def __init__(self, inner: gzip.GzipFile, limit: int) -> None:
        self.inner, self.left, self.limit = inner, limit, limit

    def read(self, size: int | None = -1, /) -> bytes:
        data = self.inner.read(self.left + 1 if size is None or size < 0 else min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise BuildError(f"source is larger than {self.limit} bytes unpacked")
        return data


def unpack(source: bytes | Path, into: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a tar.gz. BuildError on traversal, devices, links that leave the tree, too much, or a broken file."""
    raw = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    try:
        with raw, gzip.GzipFile(fileobj=raw) as unzipped:
            bounded = _Bounded(unzipped, max_bytes)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                _Unpacking(into).all(archive)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BuildError(f"source is not a readable tar.gz: {error}") from error


class _Unpacking:
    def __init__(self, into: Path) -> None:
        self.into = into
        self.links: dict[str, str] = {}

    def all(self, archive: tarfile.TarFile) -> None:
        for count, member in enumerate(archive):
            if count >= MAX_FILES:
                raise BuildError(f"source has more than {MAX_FILES} files")
            name = self._inside(member.name, member.name)
            if member.isdir():
                self._directory(name)
            elif member.isreg():
                self._file(archive, member, name)
            elif member.issym():
                self._inside(posixpath.join(posixpath.dirname(name), member.linkname), member.name)
                self.links[name] = member.linkname
            elif member.islnk():
                self._hard_link(member, name)
            else:
                raise BuildError(f"source has a special file: {member.name}")
        for name, target in self.links.items():  # last: so that nothing was written through one of them
            if os.path.lexists(self.into / name):
                raise BuildError(f"source has two entries of one name: {name}")
            self._directory(posixpath.dirname(name))
            (self.into / name).symlink_to(target)

    def _inside(self, path: str, shown: str) -> str:
        clean = posixpath.normpath(path)
        if path.startswith("/") or clean == ".." or clean.startswith("../"):
            raise BuildError(f"source has a path outside of its directory: {shown}")
        return "" if clean == "." else clean

    def _directory(self, name: str) -> None:
        try:
            (self.into / name).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise BuildError(f"source has two entries of one name: {name}") from error

    def _file(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        self._directory(posixpath.dirname(name))
        content = archive.extractfile(member)
        path = self.into / name
        if content is None or path.is_dir():
            raise BuildError(f"source has two entries of one name: {name}")
        with path.open("wb") as out:
            while chunk := content.read(1 << 20):
                out.write(chunk)
        path.chmod((member.mode & 0o777) | 0o400)

    def _hard_link(self, member: tarfile.TarInfo, name: str) -> None:
        first = self.into / self._inside(member.linkname, member.name)
        if not first.is_file():
            raise BuildError(f"source has a link to a file that it does not hold: {member.name}")
        self._directory(posixpath.dirname(name))
        (self.into / name).write_bytes(first.read_bytes())
        (self.into / name).chmod(first.stat().st_mode & 0o777)


def tree_of(directory: Path) -> dict[str, Entry]:
    """The build context: path relative to the directory -> entry, without what .dockerignore leaves out."""
    ignore = directory / ".dockerignore"
    rules = _rules(ignore.read_text(encoding="utf-8", errors="replace")) if ignore.is_file() else []
    tree: dict[str, Entry] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        mode = path.lstat().st_mode & 0o777
        if _ignored(name, rules):
            continue
        if path.is_symlink():
            tree[name] = Entry(mode=0o777, link=str(path.readlink()))
        elif path.is_dir():
            tree[name] = Entry(mode=0o755)
        else:
            tree[name] = Entry(mode=mode, source=path)
    return tree


def _rules(text: str) -> list[tuple[bool, re.Pattern[str]]]:
    rules = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        keeps = line.startswith("!")
        pattern = posixpath.normpath(line.lstrip("!").strip().lstrip("/"))
        rules.append((keeps, re.compile(pattern_source(pattern) + r"(?:/.*)?\Z")))
    return rules


def _ignored(name: str, rules: list[tuple[bool, re.Pattern[str]]]) -> bool:
    ignored = False
    for keeps, pattern in rules:  # the last rule that matches wins
        if pattern.match(name):
            ignored = not keeps
    return ignored


def pattern_source(pattern: str) -> str:
    """A pattern of Go's filepath.Match, and docker's `**`, as a regular expression without an end mark."""
    out, position = "", 0
    while position < len(pattern):
        character = pattern[position]
        if pattern.startswith("**", position):
            position += 2
            if pattern.startswith("/", position):
                position += 1
                out += "(?:.*/)?"
            else:
                out += ".*"
            continue
        end = pattern.find("]", position + 2) if character == "[" else -1
        if end > 0:
            out += "[" + pattern[position + 1 : end].replace("\\", "\\\\") + "]"
            position = end
        elif character == "\\" and position + 1 < len(pattern):
            position += 1
            out += re.escape(pattern[position])
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character)
        position += 1
    return out
