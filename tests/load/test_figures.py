"""Figures from what Locust prints, and what passes for the targets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.load.bench import passed
from tests.load.figures import of_locust, percentile

ROWS = [
    {
        "name": "GET /agents",
        "method": "GET",
        "num_requests": 98,
        "num_failures": 0,
        "response_times": {"5": 90, "20": 5, "100": 3},
    },
    {"name": "POST /hires", "method": "POST", "num_requests": 2, "num_failures": 1, "response_times": {"900": 2}},
]


def test_figures_are_those_of_all_requests_together() -> None:
    found = of_locust(json.dumps(ROWS), 10)
    assert (found.rate, found.requests, found.failed) == (10, 100, 0.01)
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (5, 20, 900)
    assert found.by_name == {"GET /agents": (98, 20, 0), "POST /hires": (2, 900, 1)}
    with pytest.raises(ValueError, match="no request"):
        of_locust("[]", 10)


def test_a_percentile_is_a_latency_that_was_seen() -> None:
    assert percentile({1.0: 1, 2.0: 1, 3.0: 2}, 0.5) == 2.0
    assert percentile({7.0: 1}, 0.99) == 7.0
    assert percentile({}, 0.95) == 0


def test_each_target_is_a_target() -> None:
    good = replace(of_locust(json.dumps(ROWS), 10), rate=1000.1, p95_ms=499, failed=0.0009)
    assert passed(good)
    for miss in ({"rate": 1000}, {"p95_ms": 500}, {"failed": 0.001}):
        assert not passed(replace(good, **miss))
