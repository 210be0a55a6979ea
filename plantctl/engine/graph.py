"""The scheduler: which item may run now, given needs, lanes and slots. Knows ids only; the work is a function.

Also the critical path, which anyone can compute again from a run's events: see `critical_path`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

_POLL_S = 0.1  # a signal handler may set `stopped` while the main thread waits


def require_acyclic(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """An order in which every need stands before its user. ValueError on a cycle or on a need that is no item."""
    for item, wanted in needs.items():
        for need in wanted:
            if need not in needs:
                raise ValueError(f"{item} needs {need}, which is no item")
    try:
        return tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise ValueError(f"needs go round in a circle: {' -> '.join(error.args[1])}") from error


class Graph:
    """Items in page order with their needs and lanes; needs that are not among the items are taken as in place."""

    def __init__(
        self, items: Iterable[str], *, needs: Mapping[str, Sequence[str]], lanes: Mapping[str, Sequence[str]]
    ) -> None:
        self.items = tuple(items)
        members = set(self.items)
        self.needs = {item: tuple(need for need in needs.get(item, ()) if need in members) for item in self.items}
        self.lanes = {item: tuple(lanes.get(item, ())) for item in self.items}
        require_acyclic(self.needs)

    def run(
        self,
        work: Callable[[str], bool],
        *,
        skip: Callable[[str, tuple[str, ...]], None],
        parallel: int = 10,
        stopped: Callable[[], bool] = lambda: False,
        abandoned: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run every item once, each in a thread, as soon as its needs are in place.

        `work(item)` gives True when the item is now in place. Items whose needs did not come into place are handed to
        `skip(item, those needs)` in the calling thread, in an order in which needs come first. At most `parallel` run
        at once, never two of one lane; ties go to page order. `stopped()` true: nothing new starts, the running end.
        `abandoned()` true: returns without waiting for them. What `work` raises stops new starts and is raised here.
        """
        schedule = _Schedule(self, parallel)
        pool = ThreadPoolExecutor(max_workers=max(1, parallel), thread_name_prefix="item")
        running: dict[Future[bool], str] = {}
        failure: BaseException | None = None
        try:
            while not abandoned():
                if failure is None and not stopped():
                    for item, unmet in schedule.unreachable():
                        skip(item, unmet)
                    for item in schedule.startable():
                        running[pool.submit(work, item)] = item
                if not running:
                    break
                done, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    item, error = running.pop(future), future.exception()
                    failure = failure or error
                    schedule.end(item, in_place=error is None and future.result())
        finally:
            pool.shutdown(wait=not abandoned(), cancel_futures=True)
        if failure is not None:
            raise failure


class _Schedule:
    """What is open, running, in place and not; no threads in here."""

    def __init__(self, graph: Graph, parallel: int) -> None:
        self._graph = graph
        self._free = max(1, parallel)
        self._open = list(graph.items)
        self._in_place: set[str] = set()
        self._not_in_place: set[str] = set()
        self._busy_lanes: set[str] = set()

    def unreachable(self) -> list[tuple[str, tuple[str, ...]]]:
        """Take out the open items with a need that did not come into place, with those needs."""
        found: list[tuple[str, tuple[str, ...]]] = []
        again = True
        while again:
            again = False
            for item in tuple(self._open):
                unmet = tuple(need for need in self._graph.needs[item] if need in self._not_in_place)
                if unmet:
                    self._open.remove(item)
                    self._not_in_place.add(item)
                    found.append((item, unmet))
                    again = True
        return found

    def startable(self) -> list[str]:
        """Take out the open items that may start now, and occupy their lanes and slots."""
        found = []
        for item in tuple(self._open):
            lanes = self._graph.lanes[item]
            ready = all(need in self._in_place for need in self._graph.needs[item])
            if self._free and ready and self._busy_lanes.isdisjoint(lanes):
                self._open.remove(item)
                self._busy_lanes.update(lanes)
                self._free -= 1
                found.append(item)
        return found

    def end(self, item: str, *, in_place: bool) -> None:
        """Free what the item occupied."""
        self._free += 1
        self._busy_lanes.difference_update(self._graph.lanes[item])
        (self._in_place if in_place else self._not_in_place).add(item)


@dataclass(frozen=True)
class CriticalPath:
    """The longest chain: its seconds and its items, first to last."""

    seconds: float
    items: tuple[str, ...]


def critical_path(
    order: Sequence[str],
    *,
    needs: Mapping[str, Sequence[str]],
    lanes: Mapping[str, Sequence[str]],
    spans: Mapping[str, float],
) -> CriticalPath:
    """Longest chain, by needs and lanes, of `spans` in seconds.

    `order`: items as they started (for a plan: an order in which needs come first). An item stands after each of its
    needs in `order` and, for each of its lanes, after the item that held the lane before it. `spans`: per item the sum
    of `seconds` of its `operation-finished` events, which are the operations' own durations and the measured run time
    of jobs; 0 where there are none. The value of an item is its span plus the greatest value among those it stands
    after; the path is the greatest of all. Polling, imports and waiting for a slot are not in it.
    """
    value: dict[str, float] = {}
    before: dict[str, str] = {}
    held: dict[str, str] = {}
    for item in order:
        above = [need for need in needs.get(item, ()) if need in value]
        above += [held[lane] for lane in lanes.get(item, ()) if lane in held]
        longest = max(above, key=value.__getitem__, default="")
        if longest:
            before[item] = longest
        value[item] = spans.get(item, 0.0) + value.get(longest, 0.0)
        held.update(dict.fromkeys(lanes.get(item, ()), item))
    last = max(value, key=value.__getitem__, default="")
    chain: list[str] = []
    while last:
        chain.append(last)
        last = before.get(last, "")
    return CriticalPath(max(value.values(), default=0.0), tuple(reversed(chain)))
