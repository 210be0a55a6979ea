"""A run as plain lines, one an event, for pipes, CI logs and dumb terminals: progress on `err`, the end on `out`."""

from __future__ import annotations

from typing import TextIO

from plantctl.model.events import (
    ApplyStarted,
    Event,
    ItemFinished,
    Note,
    OperationFinished,
    OperationPolled,
    OperationStarted,
    Retried,
    RunFinished,
    RunStarted,
)
from plantctl.model.step import Outcome
from plantctl.views.summary import summary
from plantctl.views.text import Page, after_item, duration, plural, shorten, wrap

STYLES = {
    Outcome.CHANGED: "green",
    Outcome.UNCHANGED: "dim",
    Outcome.FAILED: "red",
    Outcome.BLOCKED: "yellow",
    Outcome.WAITING: "yellow",
}
_POLL_EVERY_S = 60.0


class LinesView:
    """Each line starts with the item, so that `grep` finds its story. Polls are told once a minute."""

    def __init__(self, *, err: TextIO, out: TextIO, err_page: Page, out_page: Page) -> None:
        self._err, self._out = err, out
        self._page, self._out_page = err_page, out_page
        self._ended: list[ItemFinished] = []
        self._told: dict[str, float] = {}
        self._width = 0

    def __call__(self, event: Event) -> None:
        """Print the event's line, if it has one; at the end of the run, the summary."""
        if isinstance(event, RunStarted):
            self._width = max((len(item) for item in event.items), default=0)
            self._begin(event)
        elif isinstance(event, ItemFinished):
            self._ended.append(event)
            self._finish(event)
        elif isinstance(event, RunFinished):
            self._out.write(summary(event, self._ended, self._out_page) + "\n")
            self._out.flush()
        else:
            words = self._words(event)
            if words:
                self._line(event.item, "", words)

    def remark(self, text: str) -> None:
        """A line of its own."""
        self._write("\n".join(wrap(text, self._page.width)))

    def close(self) -> None:
        """Nothing to give back."""

    def _begin(self, event: RunStarted) -> None:
        pulled = f", {len(event.pulled_in)} of them needed by the others" if event.pulled_in else ""
        target = f" on {event.target}" if event.target else ""
        words = f"run {event.run}{target}: {plural(len(event.items), 'item')}{pulled}"
        self._write("\n".join(wrap(words, self._page.width)))

    def _finish(self, event: ItemFinished) -> None:
        words = after_item(event.item, event.message) or ("; ".join(event.evidence.words) if event.evidence else "")
        took = "" if event.outcome in (Outcome.BLOCKED, Outcome.WAITING) else f"{duration(event.seconds)}: "
        self._line(event.item, str(event.outcome), f"{took}{words}", STYLES[event.outcome])

    def _words(self, event: Event) -> str:
        if isinstance(event, ApplyStarted):
            return "applying " + (", ".join(change.field for change in event.changes) or "…")
        if isinstance(event, OperationStarted):
            usual = f", usually {duration(event.expect_s)}," if event.expect_s else ""
            return f"waiting{usual} for {event.operation}"
        if isinstance(event, OperationPolled):
            return self._polled(event)
        if isinstance(event, OperationFinished) and event.failed:
            return f"operation {event.operation} failed after {duration(event.seconds)}"
        if isinstance(event, Retried):
            return f"{event.method_id} again in {duration(event.delay_s)}: {event.why}"
        return event.text if isinstance(event, Note) else ""

    def _polled(self, event: OperationPolled) -> str:
        if event.elapsed_s - self._told.get(event.operation, 0.0) < _POLL_EVERY_S:
            return ""
        self._told[event.operation] = event.elapsed_s
        usual = f" of usually {duration(event.expect_s)}" if event.expect_s else ""
        return f"still waiting, {duration(event.elapsed_s)}{usual}"

    def _line(self, item: str, outcome: str, words: str, style: str = "") -> None:
        head = f"{item.ljust(min(self._width, self._page.width // 2))}  {outcome.ljust(9)}  "
        text = shorten(words, max(12, self._page.width - len(head)))
        head = head.replace(f" {outcome}", f" {self._page.paint(outcome, style)}", 1) if outcome else head
        self._write((head + text).rstrip())

    def _write(self, line: str) -> None:
        self._err.write(line + "\n")
        self._err.flush()
