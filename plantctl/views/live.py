"""A run on a terminal: finished items scroll by, running ones stay below with elapsed against usual time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from plantctl.model.events import (
    ApplyStarted,
    Event,
    ItemFinished,
    ItemStarted,
    Note,
    OperationPolled,
    OperationStarted,
    Retried,
    RunFinished,
    RunStarted,
    VerifyStarted,
)
from plantctl.views.lines import STYLES
from plantctl.views.summary import summary
from plantctl.views.text import Page, after_item, duration, shorten, wrap

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_BAR = 12
_SHOWN = 12  # rows of running items; the engine runs ten at once unless told otherwise


@dataclass
class _Running:
    title: str
    since: float
    expect_s: float
    words: str = "checking"


class LiveView:
    """Needs a terminal. `out` gets the summary, `err` everything else."""

    def __init__(self, *, err: TextIO, out: TextIO, err_page: Page, out_page: Page) -> None:
        from rich.console import Console  # rich takes 60 ms to import: only runs on a terminal pay
        from rich.live import Live

        self._out, self._out_page = out, out_page
        self._console: Console = Console(
            file=err, width=err_page.width, no_color=not err_page.colour, force_terminal=True, highlight=False
        )
        self._running: dict[str, _Running] = {}
        self._ended: list[ItemFinished] = []
        self._total = 0
        self._live: Live | None = Live(
            console=self._console, get_renderable=self._table, refresh_per_second=4, transient=True
        )
        self._live.start()

    def __call__(self, event: Event) -> None:
        """Take in an event; the table is drawn four times a second."""
        if isinstance(event, RunStarted):
            self._total = len(event.items)
        elif isinstance(event, ItemStarted):
            self._running[event.item] = _Running(event.title, time.monotonic(), event.expect_s)
        elif isinstance(event, ItemFinished):
            self._running.pop(event.item, None)
            self._ended.append(event)
            self._print(event)
        elif isinstance(event, RunFinished):
            self.close()
            self._out.write(summary(event, self._ended, self._out_page) + "\n")
            self._out.flush()
        elif event.item in self._running:
            self._update(self._running[event.item], event)

    def remark(self, text: str) -> None:
        """Above the table, which would eat what is written past it."""
        self._console.print("\n".join(wrap(text, self._console.width)), markup=False)

    def close(self) -> None:
        """Take the table away and show the cursor again."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _update(self, item: _Running, event: Event) -> None:
        if isinstance(event, ApplyStarted):
            item.words, item.since = "applying", time.monotonic()
        elif isinstance(event, OperationStarted):
            item.words, item.expect_s = f"waiting for {event.operation}", event.expect_s or item.expect_s
        elif isinstance(event, OperationPolled):
            item.expect_s = event.expect_s or item.expect_s
        elif isinstance(event, VerifyStarted):
            item.words = "verifying"
        elif isinstance(event, Retried):
            item.words = f"again in {duration(event.delay_s)}: {event.why}"
        elif isinstance(event, Note):
            item.words = event.text

    def _print(self, event: ItemFinished) -> None:
        from rich.text import Text

        words = after_item(event.item, event.message) or ("; ".join(event.evidence.words) if event.evidence else "")
        outcome = Text(str(event.outcome).ljust(9), style=STYLES[event.outcome])
        head = Text(f"  {event.item}  {duration(event.seconds)}  ")
        left = self._console.width - outcome.cell_len - head.cell_len
        self._console.print(outcome + head + Text(shorten(words, max(8, left)), style="dim"), no_wrap=True)

    def _table(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table

        now = time.monotonic()
        rows = [
            (item, bar(now - one.since, one.expect_s), progress(now - one.since, one.expect_s), one.words)
            for item, one in list(self._running.items())[:_SHOWN]
        ]
        table = Table.grid(padding=(0, 1), expand=True)
        for at in range(3):
            room = max((len(row[at]) for row in rows), default=0)
            table.add_column(no_wrap=True, min_width=min(room, self._console.width // 2))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for row in rows:
            table.add_row(*row)
        return Group(table, f"{len(self._ended)} of {self._total} items" if self._total else "")


def bar(elapsed_s: float, expect_s: float) -> str:
    """Elapsed against usual time as a bar that never claims to be done."""
    if expect_s <= 0:
        return " " * _BAR
    full = min(_BAR - 1, int(_BAR * elapsed_s / expect_s))
    return "━" * full + "╺" + "─" * (_BAR - 1 - full)


def progress(elapsed_s: float, expect_s: float) -> str:
    """`42 s of ~10 min 00 s`."""
    return f"{duration(elapsed_s)} of ~{duration(expect_s)}" if expect_s > 0 else duration(elapsed_s)
