"""What a plan or a run works with, put together once by the command line; and one look at one item."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from plantctl.clock import Clock
from plantctl.engine.catalog import Catalog
from plantctl.engine.stop import Stop
from plantctl.errors import JournalError, PlantctlError
from plantctl.model.facts import CURRENT_ITEM, Facts
from plantctl.model.step import Finding, Step

C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class Session(Generic[C]):
    """`ctx` is what steps are given; its facts must be these `facts`. `clock`: one that never raises."""

    catalog: Catalog[C]
    ctx: C
    facts: Facts
    clock: Clock
    stop: Stop
    parallel: int = 10

    def check(self, step: Step[C]) -> Finding:
        """One check of an item; its facts are put when it is in place, and dropped when it is not."""
        try:
            finding = step.check(self.ctx)
        except BaseException:
            self.facts.drop(step.id)
            raise
        if finding.in_place:
            self.facts.put(step.id, finding.facts)
        else:
            self.facts.drop(step.id)
        return finding


class StepCrashError(PlantctlError):
    """An exception that no one foresaw, raised by a step; `trace` is its traceback for `--debug`."""

    reference = "step-crashed"
    trace = ""


@contextmanager
def working_for(item: str) -> Iterator[None]:
    """The present thread works for an item: what it sends carries that item."""
    token = CURRENT_ITEM.set(item)
    try:
        yield
    finally:
        CURRENT_ITEM.reset(token)


def as_plantctl_error(item: str, error: Exception) -> PlantctlError:
    """The error itself when it is ours, else StepCrashError that keeps type, words and traceback."""
    if isinstance(error, PlantctlError):
        return error
    crashed = StepCrashError(
        f"{item} broke off: {type(error).__name__}: {error}",
        cause="an error that plantctl does not foresee",
        hint="run it again with --debug for the traceback, and report it",
    )
    crashed.trace = "".join(traceback.format_exception(error))
    crashed.__cause__ = error
    return crashed


def ends_everything(error: Exception) -> bool:
    """True for what must stop the whole run: a journal that cannot be written to."""
    return isinstance(error, JournalError)
