"""One request and steady requests against a server of raw sockets: what counts as an answer, and as a failure."""

from __future__ import annotations

import json

import pytest
import requests

from plantctl.clock import SystemClock
from plantctl.probes.http import Steady, ask
from tests.unit.gcp.fakes import answer, wire

CLOCK = SystemClock()
LONG_S = 30.0


def said(code: int, **body: object) -> bytes:
    """A raw answer with this JSON."""
    return answer(code, json.dumps(body).encode())


def test_an_answer_keeps_status_body_and_time() -> None:
    with wire(lambda _n, _request: said(200, status="ok")) as (base, seen):
        found = ask(requests.Session(), CLOCK, f"{base}/health", headers={"X-A": "b"})
    assert (found.status, found.body, found.ok, found.words()) == (200, {"status": "ok"}, True, "answered 200")
    assert found.seconds > 0
    assert b"X-A: b" in seen[0]


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
def test_a_body_that_is_no_object_is_none(body: bytes) -> None:
    with wire(lambda _n, _request: answer(502, body)) as (base, _):
        found = ask(requests.Session(), CLOCK, base, headers={})
    assert (found.status, found.body, found.ok) == (502, {}, False)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with wire(lambda _n, _request: answer(302, b"", "Location: http://127.0.0.1:1/")) as (base, seen):
        found = ask(requests.Session(), CLOCK, base, headers={})
    assert (found.status, found.ok, len(seen)) == (302, False, 1)


def test_no_answer_is_told_by_its_kind() -> None:
    with wire(lambda _n, _request: None) as (base, _):
        found = ask(requests.Session(), CLOCK, base, headers={})
    assert (found.status, found.ok) == (0, False)
    assert found.words() == "did not answer (ConnectionError)"


def test_steady_requests_count_who_answered_and_stop_by_themselves() -> None:
    with (
        wire(lambda n, _request: said(200, revision="old" if n <= 3 else "new")) as (base, seen),
        Steady(requests.Session, CLOCK, base, headers={}, every_s=0.001) as steady,
    ):
        assert steady.answered("old", 3, within_s=LONG_S)
        tally = steady.ended("new", 5, within_s=LONG_S)
    assert tally is not None
    assert (tally.sent, tally.failures, dict(tally.answered_by)) == (8, 0, {"old": 3, "new": 5})
    assert len(seen) == 8
    assert tally.slowest_s > 0


def test_a_failure_ends_the_wait_and_is_counted_by_its_words() -> None:
    with (
        wire(lambda n, _request: said(200, revision="a") if n < 3 else said(503)) as (base, _),
        Steady(requests.Session, CLOCK, base, headers={}, every_s=0.001) as steady,
    ):
        tally = steady.ended("b", 1, within_s=LONG_S)
    assert tally is not None
    assert (tally.sent, tally.failures, dict(tally.failed)) == (3, 1, {"answered 503": 1})


def test_a_wait_for_who_never_answers_runs_out() -> None:
    with (
        wire(lambda _n, _request: said(200, revision="a")) as (base, _),
        Steady(requests.Session, CLOCK, base, headers={}, every_s=0.001) as steady,
    ):
        assert not steady.answered("b", 1, within_s=0.05)
        assert steady.ended("b", 1, within_s=0.05) is None
        assert steady.tally().failures == 0
