"""Carries out a run for `phase run`, `phase verify` and `rehearse`: view, signals, and what is told at the end."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

from plantctl.cli.output import Common, err
from plantctl.cli.sessions import Writing
from plantctl.engine.catalog import Selection
from plantctl.engine.item import RunOptions
from plantctl.engine.runner import RunResult, run
from plantctl.engine.stop import Stop
from plantctl.errors import PlantctlError
from plantctl.model.events import Event
from plantctl.views.human import run_view
from plantctl.views.protocol import RunView

FIRST = (
    "stopping: nothing new is started. What Google Cloud has accepted goes on there; run the same command again to"
    " attach to it. Once more, and plantctl ends at once."
)
SECOND = "ended at once; the journal knows what was sent"
NUMBER_FACT = ("predeploy.project.create", "number")


class Screen:
    """The view of a run, made when the run begins; outlives a reader at the other end of a pipe that went away."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._view: RunView | None = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        try:
            self._the_view()(event)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    os.dup2(nowhere, stream.fileno())

    def remark(self, text: str) -> None:
        """Tell a person something, whatever the format."""
        if self._view is None or self._common.json:
            err(text)
        else:
            self._view.remark(text)

    def close(self) -> None:
        """Give the terminal back."""
        if self._view is not None:
            self._view.close()

    def _the_view(self) -> RunView:
        if self._view is None:
            # requests told line by line do not go together with a table that moves
            env = {**os.environ, "CI": "1"} if self._common.verbose else None
            self._view = run_view(self._common.form, out=sys.stdout, err=sys.stderr, env=env)
        return self._view


@contextmanager
def stopped_by_signals(stop: Stop, screen: Screen | None = None) -> Iterator[None]:
    """SIGINT and SIGTERM ask for a stop while the context lasts, and the operator is told what that means.

    Without a screen the second signal ends the process; with one, `perform` does.
    """
    words: SimpleQueue[str] = SimpleQueue()  # a handler may put into it wherever it interrupts

    def speak() -> None:
        while text := words.get():
            (screen.remark if screen else err)(text)

    def heard(second: bool) -> None:
        if second and screen is None:
            os._exit(stop.exit_code)
        if not second:
            words.put(FIRST)

    speaker = threading.Thread(target=speak, name="speaker", daemon=True)
    speaker.start()
    try:
        with stop.on_signals(heard):
            yield
    finally:
        words.put("")
        speaker.join(1.0)


def perform(work: Writing, selection: Selection, options: RunOptions, *, common: Common, screen: Screen) -> RunResult:
    """Run the selection. After a second signal it ends the process: threads with a call in flight cannot be stopped."""
    stop = work.session.stop
    options = RunOptions(**{**vars(options), "number_fact": NUMBER_FACT, "target": work.target.words()})
    try:
        result = run(work.session, selection, work.recorder, options)
    finally:
        screen.close()
        if stop.aborted:
            err(SECOND)
            work.recorder.journal.close()
            sys.stdout.flush()
            os._exit(stop.exit_code)
    if common.debug:
        for item, error in result.errors.items():
            err(f"{item}:\n{_trace(error)}")
    return result


def _trace(error: PlantctlError) -> str:
    return str(getattr(error, "trace", "")) or "".join(traceback.format_exception(error))
