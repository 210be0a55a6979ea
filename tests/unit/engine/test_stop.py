"""Stopping: the first request ends waits, the second insists; signals are put back as they were."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from plantctl.clock import SystemClock
from plantctl.engine.stop import Stop, StoppingClock
from plantctl.errors import Interrupted
from tests.unit.engine.toys import Bench, ToyClock, toy

A = "one.g.a"


def test_sleep_ends_with_interrupted_when_a_stop_comes() -> None:
    stop = Stop()
    timer = threading.Timer(0.05, stop.request)
    timer.start()
    clock = SystemClock()
    begun = clock.monotonic()
    with pytest.raises(Interrupted):
        StoppingClock(clock, stop).sleep(60)
    assert clock.monotonic() - begun < 5
    timer.join()


def test_sleep_takes_as_long_as_it_should() -> None:
    clock = ToyClock()
    StoppingClock(clock, Stop()).sleep(1.1)
    assert clock.monotonic() == pytest.approx(1.1)


def test_signals_ask_once_and_then_insist() -> None:
    stop = Stop()
    told: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)
    with stop.on_signals(told.append):
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.requested, stop.aborted, stop.exit_code) == (True, False, 143)
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.aborted, stop.exit_code) == (True, 143)
    assert told == [False, True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_request_leaves_without_waiting_and_flushes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    hang, hung = threading.Event(), threading.Event()

    def apply(world: object) -> None:
        bench.stop.request()
        bench.stop.request()
        hung.set()
        hang.wait(30)

    bench.world.on["apply", A] = apply
    result = bench.run()
    assert (result.exit_code, result.finished.outcome) == (130, "interrupted")
    assert hung.is_set()
    hang.set()
    assert bench.kinds(A) == ["intent"]
