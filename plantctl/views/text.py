"""Plain text in columns, durations, and the few colours; no rich, so that `status checklist` starts fast."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_NARROWEST = 40
_LOG_WIDTH = 120  # nobody has told: logs scroll sideways better than they lose words


@dataclass(frozen=True, kw_only=True)
class Page:
    """How wide to write, in columns, and whether in colour."""

    width: int = 80
    colour: bool = False

    def paint(self, text: str, style: str) -> str:
        """The text in a colour, or as it is."""
        code = _CODES.get(style, "")
        return f"\033[{code}m{text}\033[0m" if self.colour and code and text else text


def page_for(stream: TextIO, env: Mapping[str, str] | None = None) -> Page:
    """The page of a stream: colour only on a terminal without NO_COLOR (no-color.org) and TERM=dumb."""
    env = os.environ if env is None else env
    terminal = stream.isatty()
    colour = terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    fallback = (80 if terminal else _LOG_WIDTH, 24)
    return Page(width=max(_NARROWEST, shutil.get_terminal_size(fallback).columns), colour=colour)


def shorten(text: str, width: int) -> str:
    """The text on one line of at most `width` characters, its end replaced by an ellipsis when it is longer."""
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most `width` characters; ids, paths and commands are not broken."""
    return textwrap.wrap(
        text,
        max(width, _NARROWEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def columns(rows: Sequence[Sequence[str]], *, width: int, gap: int = 2, indent: str = "") -> list[str]:
    """Rows as aligned lines; the last column takes what is left of `width` and is shortened to it."""
    if not rows:
        return []
    sizes = [max(len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)]
    left = width - len(indent) - sum(sizes) - gap * len(sizes)
    lines = []
    for row in rows:
        cells = [cell.ljust(size) for cell, size in zip(row, sizes, strict=False)]
        line = indent + (" " * gap).join([*cells, shorten(row[-1], max(left, 8))])
        lines.append(line.rstrip() if len(line.rstrip()) <= width else f"{line[: width - 1]}…")
    return lines


def after_item(item: str, words: str) -> str:
    """The words without the item's id in front, for lines that begin with it anyway."""
    return words.removeprefix(item).lstrip(": ") if item else words


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 min 05 s`, `1 h 02 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(at: datetime | None) -> str:
    """`2026-11-23 10:11` in UTC, or nothing."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if at else ""


def plural(count: int, noun: str) -> str:
    """`1 item`, `3 items`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
