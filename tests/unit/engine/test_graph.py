"""The scheduler keeps needs, lanes and slots, and goes on past failures; the critical path is the longest chain."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from plantctl.engine.graph import Graph, critical_path, require_acyclic


class Watch:
    """Work that records starts and ends, who runs beside whom, and can be made to fail or to wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: set[str] = set()
        self.together: set[frozenset[str]] = set()
        self.started: list[str] = []
        self.most = 0
        self.skipped: dict[str, tuple[str, ...]] = {}
        self.fails: set[str] = set()
        self.pause = threading.Event()

    def work(self, item: str) -> bool:
        with self.lock:
            self.started.append(item)
            self.running.add(item)
            self.most = max(self.most, len(self.running))
            self.together |= {frozenset({item, other}) for other in self.running if other != item}
        self.pause.wait(0.01)
        with self.lock:
            self.running.discard(item)
        return item not in self.fails

    def skip(self, item: str, unmet: tuple[str, ...]) -> None:
        self.skipped[item] = unmet


def test_needs_come_first_and_everything_runs_once() -> None:
    watch = Watch()
    needs = {"d": ("b", "c"), "b": ("a",), "c": ("a",)}
    Graph("dcba", needs=needs, lanes={}).run(watch.work, skip=watch.skip)
    assert sorted(watch.started) == ["a", "b", "c", "d"]
    assert watch.started[0] == "a"
    assert watch.started[-1] == "d"
    assert frozenset({"b", "c"}) in watch.together


def test_at_most_parallel_at_once_and_no_fewer() -> None:
    watch = Watch()
    Graph([str(n) for n in range(12)], needs={}, lanes={}).run(watch.work, skip=watch.skip, parallel=3)
    assert watch.most == 3


def test_ties_go_to_page_order() -> None:
    watch = Watch()
    Graph("hgfedcba", needs={}, lanes={}).run(watch.work, skip=watch.skip, parallel=1)
    assert "".join(watch.started) == "hgfedcba"


def test_two_of_one_lane_never_run_together_and_others_do() -> None:
    watch = Watch()
    lanes = {"a": ("sql",), "b": ("sql", "iam"), "c": ("iam",), "d": ()}
    Graph("abcd", needs={}, lanes=lanes).run(watch.work, skip=watch.skip)
    assert frozenset("ab") not in watch.together
    assert frozenset("bc") not in watch.together
    assert frozenset("ac") in watch.together
    assert len(watch.started) == 4


def test_a_failure_blocks_only_what_needs_it() -> None:
    watch = Watch()
    watch.fails = {"a"}
    needs = {"b": ("a",), "c": ("b", "x"), "y": ("x",)}
    Graph("abcxy", needs=needs, lanes={}).run(watch.work, skip=watch.skip)
    assert sorted(watch.started) == ["a", "x", "y"]
    assert watch.skipped == {"b": ("a",), "c": ("b",)}


def test_an_exception_ends_new_starts_and_is_raised() -> None:
    watch = Watch()

    def work(item: str) -> bool:
        if item == "a":
            raise OSError("the disk is gone")
        return watch.work(item)

    with pytest.raises(OSError, match="the disk is gone"):
        Graph("abc", needs={"c": ("b",)}, lanes={}).run(work, skip=watch.skip, parallel=1)
    assert watch.started == []


def test_stop_lets_the_running_end_and_starts_nothing() -> None:
    watch = Watch()
    stopped = threading.Event()

    def work(item: str) -> bool:
        stopped.set()
        return watch.work(item)

    Graph("abc", needs={}, lanes={}).run(work, skip=watch.skip, parallel=1, stopped=stopped.is_set)
    assert watch.started == ["a"]
    assert watch.running == set()


def test_abandoning_does_not_wait_for_what_runs() -> None:
    release, begun, ended = threading.Event(), threading.Event(), threading.Event()

    def work(item: str) -> bool:
        begun.set()
        release.wait(30)
        ended.set()
        return True

    Graph("a", needs={}, lanes={}).run(work, skip=lambda item, unmet: None, abandoned=begun.is_set)
    assert not ended.is_set()
    release.set()
    assert ended.wait(10)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: require_acyclic({"a": ("b",), "b": ("a",)}), "circle"),
        (lambda: require_acyclic({"a": ("z",)}), "a needs z, which is no item"),
        (lambda: Graph("ab", needs={"a": ("b",), "b": ("a",)}, lanes={}), "circle"),
    ],
)
def test_mistakes_are_found_at_construction(build: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_critical_path_follows_needs() -> None:
    needs = {"b": ("a",), "c": ("a",), "d": ("b", "c")}
    path = critical_path("abcd", needs=needs, lanes={}, spans={"a": 10, "b": 5, "c": 20, "d": 1})
    assert (path.seconds, path.items) == (31, ("a", "c", "d"))


def test_critical_path_follows_lanes_in_order_of_start() -> None:
    lanes = {"a": ("sql",), "b": ("sql",), "c": ("other",)}
    path = critical_path("acb", needs={}, lanes=lanes, spans={"a": 10, "b": 5, "c": 12})
    assert (path.seconds, path.items) == (15, ("a", "b"))


def test_critical_path_of_nothing() -> None:
    assert critical_path("", needs={}, lanes={}, spans={}).seconds == 0
