"""Looks at an HTTP service from outside: one request, and steady requests that measure what a change costs its users.

Sessions are given (they speak requests' language, whose errors are OSErrors); nothing here knows Google.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plantctl.clock import Clock

TIMEOUT_S = 10.0
Headers = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: `status` 0 and `error` when nothing did; `body` empty unless it is a JSON object."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""

    @property
    def ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    def words(self) -> str:
        """`answered 503`, or why nothing came."""
        return f"answered {self.status}" if self.status else f"did not answer ({self.error})"


def ask(session: Any, clock: Clock, url: str, *, method: str = "GET", headers: Headers, body: Any = None) -> Answer:
    """One request without redirects, of ten seconds at most; never raises for what the service does."""
    begun = clock.monotonic()
    try:
        answer = session.request(
            method, url, headers=dict(headers), json=body, timeout=TIMEOUT_S, allow_redirects=False
        )
        content = answer.content
    except OSError as error:
        return Answer(status=0, seconds=clock.monotonic() - begun, error=type(error).__name__)
    return Answer(status=answer.status_code, body=_object(content), seconds=clock.monotonic() - begun)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What steady requests saw: how many, what failed (words: count), who answered (revision: count), the slowest."""

    sent: int
    failed: Mapping[str, int]
    answered_by: Mapping[str, int]
    slowest_s: float

    @property
    def failures(self) -> int:
        """How many failed."""
        return sum(self.failed.values())


class Steady:
    """Requests at a steady pace from a thread of its own, while the context lasts.

    `session` makes the thread's session. A request begins every `every_s` seconds, or as soon as the last has ended.
    An answer counts as failed unless it is 2xx; its `revision` says who answered.
    """

    def __init__(
        self, session: Callable[[], Any], clock: Clock, url: str, *, headers: Headers, every_s: float = 0.1
    ) -> None:
        self._session = session
        self._clock = clock
        self._url = url
        self._headers = headers
        self._every_s = every_s
        self._news = threading.Condition()
        self._over = threading.Event()
        self._last: tuple[str, int] | None = None
        self._failed: Counter[str] = Counter()
        self._by: Counter[str] = Counter()
        self._slowest_s = 0.0
        self._thread = threading.Thread(target=self._run, name="steady", daemon=True)

    def __enter__(self) -> Steady:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * TIMEOUT_S)

    def tally(self) -> Tally:
        """What was seen so far."""
        with self._news:
            return self._tally()

    def answered(self, revision: str, times: int, *, within_s: float) -> bool:
        """Wait until a revision has answered so often, or a request has failed; False when the time ran out."""
        with self._news:
            return self._news.wait_for(lambda: self._enough(revision, times), within_s)

    def ended(self, revision: str, times: int, *, within_s: float) -> Tally | None:
        """The same, and no request is sent after that; the whole tally, or None when the time ran out."""
        with self._news:
            self._last = (revision, times)
            return self._tally() if self._news.wait_for(lambda: self._enough(revision, times), within_s) else None

    def _tally(self) -> Tally:
        return Tally(
            sent=self._by.total() + self._failed.total(),
            failed=dict(self._failed),
            answered_by=dict(self._by),
            slowest_s=self._slowest_s,
        )

    def _enough(self, revision: str, times: int) -> bool:
        return bool(self._failed) or self._by[revision] >= times

    def _run(self) -> None:
        session = self._session()
        while not self._over.is_set():
            begun = self._clock.monotonic()
            answer = ask(session, self._clock, self._url, headers=self._headers)
            with self._news:
                self._slowest_s = max(self._slowest_s, answer.seconds)
                if answer.ok:
                    self._by[str(answer.body.get("revision") or "unknown")] += 1
                else:
                    self._failed[answer.words()] += 1
                self._news.notify_all()
                if self._last is not None and self._enough(*self._last):
                    return
            self._over.wait(max(0.0, self._every_s - (self._clock.monotonic() - begun)))
