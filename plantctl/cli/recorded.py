"""One piece of work on Google Cloud outside the checklist: under the lock, on record in the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from plantctl.cli.output import Common
from plantctl.cli.running import stopped_by_signals
from plantctl.cli.sessions import Writing, writing
from plantctl.engine.stop import Stop
from plantctl.errors import Interrupted
from plantctl.settings import Settings

T = TypeVar("T")


def recorded(given: Settings, said: Common, command: str, work: Callable[[Writing], T]) -> T:
    """What `work` gives; the journal keeps the command, its requests and how it ended."""
    stop = Stop()
    with writing(given, said, command=command, stop=stop) as session, stopped_by_signals(stop):
        outcome = "failed"
        try:
            done = work(session)
            outcome = "succeeded"
        except Interrupted:
            outcome = "interrupted"
            raise
        finally:
            writes, requests = session.recorder.counts()
            session.recorder.finish(outcome, {"writes": writes, "requests": requests})
    return done
