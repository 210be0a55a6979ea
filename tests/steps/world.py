"""A Google of canned answers for one case: it records what is written, and refuses every method it has no answer for.

tests/steps/README.md says how a case is written.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from plantctl.errors import ApiFailure, UnknownOutcome
from plantctl.gcp.bundle import Gcp, ReadBack
from plantctl.gcp.methods import resource_of
from plantctl.gcp.target import Target
from plantctl.model.events import Event
from plantctl.model.recorder import Attempt
from plantctl.model.step import Body, holds_later

WORDS = {403: "The caller does not have permission", 404: "Not found", 409: "It exists already"}


class Clock:
    """Time that passes only in sleep, from the day of the cases on."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        """2026-11-23, plus what was slept."""
        return datetime(2026, 11, 23, 12, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Seconds slept."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """At once."""
        self.passed += seconds


class Recorder:
    """Only takes events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Kept."""
        self.events.append(event)


class Past:
    """What a case says of the past (`memory`), and what the step adds to it."""

    def __init__(self, given: Body) -> None:
        self._in_place = set(given.get("was_in_place", ()))
        self._adopted = set(given.get("adopted", ()))
        self.made: list[Attempt] = [_attempt(entry) for entry in given.get("attempts", ())]
        self.notes: list[str] = []

    def attempts(self, *, item: str = "", method_id: str = "", resource: str = "", since_s: float = 0) -> list[Attempt]:
        """Newest first."""
        wanted = ((item, "item"), (method_id, "method_id"), (resource, "resource"))
        fits = [a for a in self.made if all(not word or getattr(a, field) == word for word, field in wanted)]
        return list(reversed(fits))

    def was_in_place(self, item: str) -> bool:
        """As the case says, until forgotten."""
        return item in self._in_place

    def adopted(self, item: str) -> bool:
        """As the case says, or adopted since."""
        return item in self._adopted

    def adopt(self, item: str, resource: str) -> None:
        """Kept, and noted."""
        self._adopted.add(item)
        self.notes.append(f"adopted {resource}")

    def forgotten(self, item: str) -> None:
        """Kept, and noted."""
        self._in_place.discard(item)
        self.notes.append(f"forgot {item}")


@dataclass(frozen=True, kw_only=True)
class CaseTarget(Target):
    """A target whose services answer what the case says (`web`)."""

    answers: Body = field(default_factory=dict)

    def web(self) -> Any:
        """A session that answers by `METHOD /path`, else by path; a number is a status without a body."""
        return Web(self.answers)


class Web:
    """Speaks requests' language as far as the probes do. Nobody is let in without an identity."""

    def __init__(self, answers: Body) -> None:
        self._answers = answers

    def request(self, method: str, url: str, *, headers: Body, **_: Any) -> Any:
        """The next answer of a series, the only one, or 404."""
        if not headers:
            return SimpleNamespace(status_code=403, content=b"Forbidden")
        path = "/" + url.split("/", 3)[3]
        value: Any = self._answers.get(f"{method} {path}", self._answers.get(path, 404))
        if isinstance(value, dict) and "$series" in value:
            series = value["$series"]
            value = series.pop(0) if len(series) > 1 else series[0]
        if value == 0:
            raise ConnectionError("refused")
        answer: Body = {"$status": value} if isinstance(value, int) else value
        sent = {key: part for key, part in answer.items() if key != "$status"}
        return SimpleNamespace(status_code=answer.get("$status", 200), content=json.dumps(sent).encode())


class FakeGcp(Gcp):
    """The seam itself, with the case's answers behind it. `writes` and `probes` hold what was sent, in order."""

    def __init__(self, case: Body, past: Past) -> None:
        self.target = CaseTarget(
            kind="sandbox",
            project="waooaw-prod",
            region="us-central1",
            poll_s=(1.0, 2.0),
            answers=copy.deepcopy(case.get("web", {})),
        )
        self.recorder: Any = Recorder()
        self.memory = past
        self.clock = Clock()
        self.live: Body = copy.deepcopy(case.get("live", {}))
        self.pending: list[Body] = copy.deepcopy(case.get("calls", []))
        self.writes: list[Body] = []
        self.probes: list[Body] = []
        self.used: set[str] = set()
        self.item = str(case["item"])
        self._case = case

    def call(
        self,
        method_id: str,
        body: Body | None = None,
        *,
        purpose: str = "apply",
        upload: bytes | None = None,
        read_back: ReadBack | None = None,
        **params: Any,
    ) -> Body:
        """The next planned call's answer when it is this write; else what `live` says."""
        assert holds_later(body) is None, f"{method_id} was sent with {holds_later(body)}"
        key = self._key(method_id, params)
        if key is not None:
            self.used.add(key)
            return self._answer(key, self._next(key))
        sent: Body = {"method": method_id, "params": params, **({"body": body} if body is not None else {})}
        if purpose == "probe":
            self.probes.append(sent)
            assert method_id in self._case.get("probes", {}), f"a probe that the case does not know: {sent}"
            return dict(self._case["probes"][method_id])
        self.writes.append(copy.deepcopy(sent))
        assert [call["method"] for call in self.pending[:1]] == [method_id], f"not expected now: {sent}"
        planned = self.pending.pop(0)
        self._after(planned, body or {})
        return self._written(planned, body or {}, params, read_back)

    def fresh(self) -> frozenset[str]:
        """Nothing is fresh."""
        return frozenset()

    def _key(self, method_id: str, params: Body) -> str | None:
        tails = [str(value).rsplit("/", 1)[-1] for value in params.values()]
        named = [f"{method_id} {tail}" for tail in tails if f"{method_id} {tail}" in self.live]
        return named[0] if named else method_id if method_id in self.live else None

    def _next(self, key: str) -> Any:
        value = self.live[key]
        if isinstance(value, dict) and "$series" in value:
            series = value["$series"]
            return series.pop(0) if len(series) > 1 else series[0]
        return value

    def _answer(self, key: str, value: Any) -> Body:
        if isinstance(value, int) or "$error" in value:
            raise _failure(key.split(" ")[0], value)
        return copy.deepcopy(dict(value))

    def _after(self, planned: Body, body: Body) -> None:
        for key, value in planned.get("then", {}).items():
            if isinstance(value, dict) and ("$sent" in value or "$merged" in value):
                sent = copy.deepcopy(body[value["$of"]] if "$of" in value else body)
                over = value.get("$sent", value.get("$merged"))
                value = merged(merged(self.live[key], sent) if "$merged" in value else sent, over)
            self.live[key] = value

    def _written(self, planned: Body, body: Body, params: Body, read_back: ReadBack | None) -> Body:
        answer = planned.get("answer", {})
        failed = isinstance(answer, int) or "$error" in answer
        name = "" if failed else str(answer.get("name", ""))
        self.memory.made.append(  # type: ignore[attr-defined]
            _attempt(
                {
                    "item": self.item,
                    "method_id": planned["method"],
                    "resource": resource_of(params, body),
                    "operation": name,
                    "status": 0 if failed else 200,
                }
            )
        )
        if failed:
            failure = _failure(planned["method"], answer)
            found = read_back() if isinstance(failure, UnknownOutcome) and read_back else None
            if found is None:
                raise failure
            return found
        return dict(answer)


def merged(under: Any, over: Any) -> Any:
    """`over` laid over `under`, objects key by key."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {**under, **{key: merged(under.get(key), value) for key, value in over.items()}}


def _failure(method_id: str, value: Any) -> ApiFailure:
    error: Body = {"code": value} if isinstance(value, int) else value["$error"]
    code = int(error["code"])
    kind = UnknownOutcome if code == 0 or code >= 500 else ApiFailure
    words = str(error.get("message") or WORDS.get(code, f"HTTP {code}"))
    failure = kind(words, code=code, reason=str(error.get("reason", "")), method_id=method_id)
    if code == 409:
        failure.reference = str(error.get("reference", "already-exists"))
    return failure


def _attempt(given: Body) -> Attempt:
    base = {"id": "1", "run": "r1", "idempotency": "U", "purpose": "apply", "intent": "i", "status": 200}
    sent_at = datetime.fromisoformat(given.get("sent_at", "2026-11-23T11:00:00Z"))
    return Attempt(**{**base, **given, "sent_at": sent_at})
