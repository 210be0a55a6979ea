"""Planned faults: which request or operation is struck, when and how; with an account of what fired.

The model is the storage testbench's retry tests (hazards 6, "Sandbox injector").
"""

from __future__ import annotations

import fnmatch
import random
import threading
from dataclasses import dataclass, field
from typing import Any

from plantctl.sandbox.errors import ApiError

WHEN = ("before", "after_commit", "on_poll")
# HTTP status -> google.rpc.Code name, for faults given as a status alone
CODE_OF = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass
class Rule:
    """One rule as given, parsed, with its counts. `per_method`: occurrences are counted for each method id alone.

    `chance` below 1: from occurrence `nth` on, dice seeded by the plan decide, until `times` were struck.
    """

    match: str
    when: str
    do: Any
    nth: int = 1
    times: int = 1
    resource: str = ""
    per_method: bool = False
    chance: float = 1.0
    dice: random.Random = field(default_factory=random.Random)
    seen: dict[str, int] = field(default_factory=dict)
    fired: list[dict[str, Any]] = field(default_factory=list)

    def takes(self, method_id: str, resource: str, mutating: bool) -> bool:
        """Whether a request is one of this rule's occurrences."""
        if self.resource and self.resource not in resource:
            return False
        if self.match == "*mutating*":
            return mutating
        if self.match == "*reading*":
            return not mutating
        return fnmatch.fnmatchcase(method_id, self.match)

    def strikes(self, method_id: str) -> bool:
        """Count one more occurrence; True when this one is to be struck."""
        key = method_id if self.per_method else ""
        self.seen[key] = self.seen.get(key, 0) + 1
        if self.chance < 1:
            due = self.seen[key] >= self.nth and len(self.fired) < self.times
            return due and self.dice.random() < self.chance
        lasting = self.when == "on_poll" and not (isinstance(self.do, dict) and "lro_error" in self.do)
        # a rule for polls takes one operation, `times` is the number of its polls
        return self.nth <= self.seen[key] < self.nth + (1 if lasting else self.times)


@dataclass
class Strike:
    """A fault that befalls one request."""

    rule: Rule
    kind: str
    number: float = 0
    error: ApiError | None = None
    body: dict[str, Any] | None = None
    status: int = 0
    retry_after: str = ""
    lro_error: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """For the wire log: `after_commit reset`."""
        return f"{self.rule.when} {self.kind}"


class Faults:
    """The plan in force. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._polled: dict[str, list[Rule]] = {}
        self.seed = 0

    def load(self, plan: dict[str, Any]) -> None:
        """Replace the plan; counts start anew. Raises INVALID_ARGUMENT for a rule that cannot be understood."""
        rules = [_parse(raw) for raw in plan.get("rules", [])]
        for index, rule in enumerate(rules):
            rule.dice = random.Random(f"{plan.get('seed', 0)}/{index}")  # noqa: S311 - it has to be repeatable
        with self._lock:
            self._rules, self._polled, self.seed = rules, {}, int(plan.get("seed", 0))

    def strike(self, method_id: str, resource: str, *, mutating: bool, seq: int) -> list[Strike]:
        """The faults for one request, at most one for each `when`."""
        strikes: dict[str, Strike] = {}
        with self._lock:
            for rule in self._rules:
                if not rule.takes(method_id, resource, mutating) or not rule.strikes(method_id):
                    continue
                if rule.when in strikes:
                    rule.seen[method_id if rule.per_method else ""] -= 1  # it strikes the next one
                    continue
                strikes[rule.when] = _make(rule)
                # a rule for polls has fired when a poll was struck, or the operation was made to fail
                if rule.when != "on_poll" or strikes[rule.when].kind == "lro_error":
                    rule.fired.append({"seq": seq, "method_id": method_id, "resource": resource})
        return list(strikes.values())

    @property
    def plans_stale_reads(self) -> bool:
        """Whether old views of the store are wanted."""
        return any(isinstance(rule.do, str) and rule.do.startswith("stale") for rule in self._rules)

    def watch(self, operation: str, strike: Strike) -> None:
        """From now on polls of this operation (its bare or full name) are struck by an on_poll rule, `times` times."""
        with self._lock:
            self._polled.setdefault(operation.rsplit("/", 1)[-1], []).extend([strike.rule] * strike.rule.times)

    def poll(self, operation: str, method_id: str, seq: int) -> Strike | None:
        """The fault for a request that reads or waits for an operation, or None."""
        with self._lock:
            waiting = self._polled.get(operation.rsplit("/", 1)[-1])
            if not waiting:
                return None
            rule = waiting.pop(0)
            rule.fired.append({"seq": seq, "method_id": method_id, "resource": operation})
            return _make(rule)

    def account(self) -> dict[str, Any]:
        """`{seed, rules: [{match, when, do, nth, times, fired: [{seq, method_id, resource}]}], unfired: [index]}`."""
        with self._lock:
            rules = [
                {
                    "match": rule.match,
                    "when": rule.when,
                    "do": rule.do,
                    "nth": rule.nth,
                    "times": rule.times,
                    "fired": list(rule.fired),
                }
                for rule in self._rules
            ]
            unfired = [index for index, rule in enumerate(self._rules) if not rule.fired]
            return {"seed": self.seed, "rules": rules, "unfired": unfired}


def _parse(raw: dict[str, Any]) -> Rule:
    known = {"match", "when", "do", "nth", "times", "resource", "per_method", "chance"}
    if not isinstance(raw, dict) or "match" not in raw or "do" not in raw or set(raw) - known:
        raise ApiError("INVALID_ARGUMENT", f"a fault rule takes {sorted(known)}, match and do are required: {raw}")
    rule = Rule(
        match=str(raw["match"]),
        when=str(raw.get("when", "before")),
        do=raw["do"],
        nth=int(raw.get("nth", 1)),
        times=int(raw.get("times", 1)),
        resource=str(raw.get("resource", "")),
        chance=float(raw.get("chance", 1)),
        per_method=bool(raw.get("per_method", raw["match"] in ("*mutating*", "*reading*"))),
    )
    if rule.when not in WHEN:
        raise ApiError("INVALID_ARGUMENT", f"when is one of {', '.join(WHEN)}, not {rule.when}")
    _make(rule)  # so that a wrong `do` is refused now
    return rule


def _make(rule: Rule) -> Strike:
    do = rule.do
    if isinstance(do, str):
        kind, _, number = do.partition(":")
        if kind not in ("reset", "hang", "truncate", "stale") or (kind != "reset" and not _is_number(number)):
            raise ApiError("INVALID_ARGUMENT", f"do is reset, hang:SECONDS, truncate:BYTES or stale:READS, not {do}")
        return Strike(rule, kind, number=float(number or 0))
    if isinstance(do, dict) and "lro_error" in do:
        return Strike(rule, "lro_error", lro_error=dict(do["lro_error"]))
    if isinstance(do, dict) and "status" in do:
        status = int(do["status"])
        code = str(do.get("code") or CODE_OF.get(status, "UNKNOWN" if status < 500 else "INTERNAL"))
        reason = str(do.get("reason", ""))
        error = ApiError(
            code if code != "UNKNOWN" else "INVALID_ARGUMENT",
            str(do.get("message", "injected fault")),
            http=status,
            legacy_reason=reason,
            reason=reason,
        )
        retry_after = str(do.get("retry_after", ""))
        return Strike(rule, str(status), error=error, body=do.get("body"), status=status, retry_after=retry_after)
    raise ApiError("INVALID_ARGUMENT", f"do is a word, a status or an lro_error, not {do}")


def _is_number(text: str) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False
