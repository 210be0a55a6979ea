"""Looks for secret values where none may be: in files, output, and what other processes show in /proc.

The forms are those of hazards section 8: raw, base64 at three alignments, hex, percent, JSON, HTML, UTF-16, reversed,
across line breaks, inside gzip members.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import re
import threading
import urllib.parse
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PAUSE_S = 0.02
SHORTEST = 16


def forms(secret: str) -> dict[str, list[bytes]]:
    """Every way in which a value may be written down, by name of the encoding."""
    raw = secret.encode()
    found = {
        "raw": [raw],
        "hex": [raw.hex().encode(), raw.hex().upper().encode()],
        "percent": [urllib.parse.quote(secret, safe="").encode(), urllib.parse.quote_plus(secret).encode()],
        "json": [json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()],
        "json in json": [json.dumps(json.dumps(secret))[3:-3].encode()],
        "html": [html.escape(secret).encode()],
        "repr": [repr(secret)[1:-1].encode(), repr(raw)[2:-1].encode()],
        "utf-16": [secret.encode("utf-16-le"), secret.encode("utf-16-be")],
        "reversed": [raw[::-1]],
    }
    for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
        # at three alignments, without the characters that depend on what stands before and after
        shifted = [encode(b"\0" * shift + raw).rstrip(b"=") for shift in range(3)]
        found[name] = [text[(0, 2, 3)[shift] : -1] for shift, text in enumerate(shifted)]
    return {name: [form for form in some if len(form) >= SHORTEST] for name, some in found.items()}


class Scanner:
    """Knows the values; `hits(data)` names `<secret>: <form>` of each that is in the data."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self._wanted = [
            (f"{name}: {form}", needle)
            for name, value in secrets.items()
            for form, needles in forms(value).items()
            for needle in needles
        ]

    def hits(self, data: bytes, *, unpack: bool = True) -> set[str]:
        """Names of what was found."""
        found = {name for name, needle in self._wanted if needle in data}
        joined = re.sub(rb"\x1b\[[0-9;]*m|\s+", b"", data)
        if len(joined) != len(data):
            found |= {f"{name}, across lines" for name, needle in self._wanted if needle in joined} - {
                f"{name}, across lines" for name in found
            }
        if unpack:
            for member in _members(data):
                found |= {f"{name}, in gzip" for name in self.hits(member, unpack=False)}
        return found

    def hits_in(self, paths: Iterable[Path]) -> dict[str, set[str]]:
        """Hits by file."""
        found = {}
        for path in paths:
            with suppress(OSError):
                if hits := self.hits(path.read_bytes()):
                    found[str(path)] = hits
        return found


def _members(data: bytes) -> Iterable[bytes]:
    at = data.find(b"\x1f\x8b\x08")
    while at >= 0:
        with suppress(zlib.error, EOFError, gzip.BadGzipFile):
            yield zlib.decompressobj(wbits=31).decompress(data[at:])
        at = data.find(b"\x1f\x8b\x08", at + 3)


class Watch:
    """Collects what /proc shows of every process while it is entered: argv, and environ, with the parents.

    The processes of the test itself are left out.
    """

    def __init__(self) -> None:
        self.argv: set[bytes] = set()
        self.environ: dict[bytes, str] = {}
        self.looks = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        own = str(os.getpid())
        while not self._end.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                if pid != own:
                    with suppress(OSError):
                        self._look(Path("/proc") / pid)
            self.looks += 1
            self._end.wait(PAUSE_S)

    def _look(self, process: Path) -> None:
        argv = (process / "cmdline").read_bytes()
        self.argv.add(argv)
        environ = (process / "environ").read_bytes()
        if environ not in self.environ:
            self.environ[environ] = argv.replace(b"\0", b" ").decode(errors="replace")[:200]


def files_under(folder: Path, *, without: tuple[str, ...] = (), largest: int = 64_000_000) -> list[Path]:
    """All files below a folder but those whose path below it begins with one of the words."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and not str(path.relative_to(folder)).startswith(without)
        and path.stat().st_size <= largest
    ]
