"""The one seam to Google: `call` a method by its id, `get`, `list`, `wait`. The only retry layer is here (tenacity)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plantctl.clock import Clock
from plantctl.errors import ApiFailure
from plantctl.gcp import advice, classify, methods
from plantctl.gcp.classify import Action, Reaction
from plantctl.gcp.clients import Clients
from plantctl.gcp.failures import Failure
from plantctl.gcp.idempotency import idempotency
from plantctl.gcp.target import Target
from plantctl.gcp.transport import SENDING, Transport
from plantctl.model.events import Retried
from plantctl.model.facts import CURRENT_ITEM
from plantctl.model.recorder import Memory, Recorder
from plantctl.model.step import Body, holds_later

ReadBack = Callable[[], Body | None]

_FRESH = {
    "api": ("serviceusage.services.", ""),
    "account": ("iam.projects.serviceAccounts.create", ""),
    "billing": ("cloudbilling.projects.updateBillingInfo", ""),
    "grant": ("", "IamPolicy"),
}
"""Beginning and end of the method ids that make an answer look different for a while (classify.FRESH_S)."""
MAX_RETRIES = 40


class Gcp:
    """What steps see as `ctx.gcp`. Thread-safe. REST JSON names go in and come out, whichever client carries a call."""

    def __init__(self, target: Target, recorder: Recorder, memory: Memory, clock: Clock) -> None:
        self.target = target
        self.recorder = recorder
        self.memory = memory
        self.clock = clock
        self._clients = Clients(target, Transport(target, recorder))

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
        """One API method, repeated as its idempotency class allows.

        `read_back` looks for what a write of unknown outcome may have left, and gives it or None; without one such a
        write raises UnknownOutcome. `purpose` is journalled: `apply` or `probe`. Raises ApiFailure (409 with
        reference `already-exists`, a lost race with reference `conflict-retry`), TargetError, GapError.
        """
        if (later := holds_later(body)) is not None:
            raise LookupError(f"{method_id} was about to be sent with {later}")
        mutating = methods.is_mutating(method_id, self._clients.verb(method_id), params)
        kind = idempotency(method_id) if mutating else ""
        resource = methods.resource_of(params, body)
        intent = ""
        if mutating:
            intent = self.recorder.intent(item=CURRENT_ITEM.get(), method_id=method_id, resource=resource)
            if kind == "R":
                params = {**params, "requestId": intent}
        sending = methods.Sending(method_id, mutating, resource, kind, purpose, intent)
        return _Sender(self, sending, read_back).run(lambda: self._clients.carry(method_id, body, params, upload))

    def get(self, method_id: str, **params: Any) -> Body | None:
        """A read that gives None for a real 404; a method that the sandbox lacks raises GapError."""
        try:
            return self.call(method_id, **params)
        except ApiFailure as failure:
            if failure.code == 404 or (failure.reason == "notAuthorized" and self._unlisted(method_id, params)):
                return None
            raise

    def _unlisted(self, method_id: str, params: dict[str, Any]) -> bool:
        """Cloud SQL may answer 403 notAuthorized for an instance that is not there; its list tells (hazards Q04)."""
        if method_id != "sql.instances.get":
            return False
        listed = self.list("sql.instances.list", "items", project=params["project"])
        return params["instance"] not in [item["name"] for item in listed]

    def list(self, method_id: str, key: str, **params: Any) -> list[Body]:
        """All pages of a list; `key` is the field that holds the items (hazards T24)."""
        found: list[Body] = []
        token = ""
        for _ in range(1000):
            more: dict[str, Any] = {"pageToken": token} if token else {}
            page = self.call(method_id, **params, **more)
            found += page.get(key) or []
            token = str(page.get("nextPageToken") or "")
            if not token:
                return found
        raise ApiFailure(f"{method_id} gave more than 1000 pages", method_id=method_id)

    def fresh(self) -> frozenset[str]:
        """What this plant did a short while ago, by its journal, so that answers can be read in that light."""
        recent = {seconds: self.memory.attempts(since_s=seconds) for seconds in set(classify.FRESH_S.values())}
        return frozenset(
            word
            for word, (begin, end) in _FRESH.items()
            for attempt in recent[classify.FRESH_S[word]]
            if attempt.method_id.startswith(begin) and attempt.method_id.endswith(end)
        )


class _Again(Exception):
    def __init__(self, failure: Failure, reaction: Reaction) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.reaction = reaction


class _Sender:
    """One logical call: its attempts, its looks in between, its end."""

    def __init__(self, gcp: Gcp, sending: methods.Sending, read_back: ReadBack | None) -> None:
        self._gcp = gcp
        self._sending = sending
        self._read_back = read_back
        self._open = False
        self._resent = 0
        self._attempt = 0

    def run(self, carry: Callable[[], Body]) -> Body:
        """Send until it is answered, or cannot be."""
        from tenacity import Retrying, retry_if_exception_type

        begun = self._gcp.clock.monotonic()
        retrying = Retrying(
            retry=retry_if_exception_type(_Again),
            wait=lambda state: self._delay(_again(state)),
            stop=lambda state: self._enough(_again(state), begun),
            sleep=self._gcp.clock.sleep,
            before_sleep=lambda state: self._tell(_again(state)),
            reraise=True,
        )
        try:
            return dict(retrying(self._once, carry))
        except _Again as again:
            raise advice.translate(again.failure, self._gcp.target) from None

    def _once(self, carry: Callable[[], Body]) -> Body:
        self._attempt += 1
        token = SENDING.set(self._sending)
        try:
            return carry()
        except Failure as failure:
            return self._react(failure)
        finally:
            SENDING.reset(token)

    def _react(self, failure: Failure) -> Body:
        # the past is asked only where it could make a difference
        fresh = self._gcp.fresh() if failure.code in (400, 403) else frozenset()
        reaction = classify.classify(
            failure,
            mutating=self._sending.mutating,
            idempotency=self._sending.idempotency,
            attempt=self._attempt,
            fresh=fresh,
        )
        # after a write of ours whose outcome was open, "it is there" may well mean ours
        own = reaction.action is Action.EXISTS and self._open
        self._open = self._open or reaction.action is Action.READ_BACK
        if reaction.action in (Action.RETRY, Action.WAIT):
            raise _Again(failure, reaction)
        if self._read_back is not None and (own or reaction.action is Action.READ_BACK):
            return self._look(failure, reaction)
        raise advice.translate(failure, self._gcp.target, reaction.action) from None

    def _look(self, failure: Failure, reaction: Reaction) -> Body:
        """Nothing is sent again before the resource was looked for, and for long enough (hazards section 4).

        Raises _Again when it is not there and may be sent again, else what the failure translates to.
        """
        assert self._read_back is not None
        settle_s = self._gcp.target.settle_s
        for pause in (0.0, settle_s * 0.1, settle_s * 0.3, settle_s * 0.6) if reaction.resends else (0.0,):
            if pause:
                self._gcp.clock.sleep(pause)
            # the looks send requests of their own on this thread
            found = self._read_back()
            if found is not None:
                return found
        if reaction.action is not Action.READ_BACK or self._resent >= reaction.resends:
            raise advice.translate(failure, self._gcp.target, reaction.action) from None
        self._resent += 1
        raise _Again(failure, reaction)

    def _delay(self, again: _Again) -> float:
        # the local target's clock is fast: real back-off would only make a rehearsal slow, so it goes by its polls
        return again.failure.retry_after_s or again.reaction.delay_s * self._gcp.target.poll_s[0]

    def _enough(self, again: _Again, begun: float) -> bool:
        bound_s = again.reaction.bound_s if again.failure.sent else self._gcp.target.unreachable_s
        if again.reaction.action is Action.RETRY and self._attempt >= MAX_RETRIES:
            return True
        return self._gcp.clock.monotonic() - begun > bound_s

    def _tell(self, again: _Again) -> None:
        self._gcp.recorder.emit(
            Retried(
                at=self._gcp.clock.now(),
                item=CURRENT_ITEM.get(),
                method_id=self._sending.method_id,
                why=again.reaction.why,
                delay_s=self._delay(again),
            )
        )


def _again(state: Any) -> _Again:
    """What tenacity asks about: only _Again brings it to ask."""
    error = state.outcome.exception()
    assert isinstance(error, _Again)
    return error
