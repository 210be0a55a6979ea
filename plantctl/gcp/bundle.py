"""The one seam to Google: `call` a method by its id, `get`, `list`, `wait`. The only retry layer is here (tenacity)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plantctl.clock import Clock
from plantctl.errors import ApiFailure, PlantctlError
from plantctl.gcp import failures, methods
from plantctl.gcp.clients import Clients
from plantctl.gcp.failures import Action, Failure, Reaction
from plantctl.gcp.target import Target
from plantctl.gcp.transport import SENDING, Transport
from plantctl.model.events import Retried
from plantctl.model.facts import CURRENT_ITEM
from plantctl.model.recorder import Memory, Recorder
from plantctl.model.step import Body, holds_later

ReadBack = Callable[[], Body | None]

_FRESH = {
    "api": ("serviceusage.services.", failures.FRESH_API_S),
    "account": ("iam.projects.serviceAccounts.create", failures.FRESH_ACCOUNT_S),
    "billing": ("cloudbilling.projects.updateBillingInfo", 300),
}
MAX_ATTEMPTS = 40
SETTLE_S = 2.0
"""How long a write without an answer gets before it is looked for a second time, in poll intervals of the target."""


class GapError(PlantctlError):
    """The sandbox has no handler for a method: a fault of the sandbox, never a missing resource."""

    reference = "sandbox-gap"


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
        kind = methods.idempotency(method_id) if mutating else ""
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
            if failure.code == 404:
                return None
            raise

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
        return frozenset(
            word
            for word, (method, seconds) in _FRESH.items()
            if any(a.method_id.startswith(method) for a in self.memory.attempts(since_s=seconds))
        ) | frozenset(
            {"grant"} if any(a.method_id.endswith("IamPolicy") for a in self.memory.attempts(since_s=420)) else ()
        )


class _Again(Exception):  # noqa: N818 - control flow for tenacity
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
        self._looked = 0
        self._attempt = 0

    def run(self, carry: Callable[[], Body]) -> Body:
        """Send until it is answered, or cannot be."""
        from tenacity import Retrying, retry_if_exception_type

        begun = self._gcp.clock.monotonic()
        retrying = Retrying(
            retry=retry_if_exception_type(_Again),
            wait=lambda state: self._delay(state.outcome.exception() if state.outcome else None),
            stop=lambda state: (
                state.attempt_number >= MAX_ATTEMPTS
                or self._overdue(state.outcome.exception() if state.outcome else None, begun)
            ),
            sleep=self._gcp.clock.sleep,
            before_sleep=lambda state: self._tell(state.outcome.exception() if state.outcome else None),
            reraise=True,
        )
        try:
            return dict(retrying(self._once, carry))
        except _Again as again:
            raise failures.translate(again.failure, project=self._gcp.target.project) from None

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
        if failure.status == "UNIMPLEMENTED":
            raise GapError(failure.message, hint="this is a gap of the local sandbox; Google Cloud has the method")
        fresh = self._gcp.fresh() if failure.code in (400, 403, 404) else frozenset()
        reaction = failures.classify(
            failure,
            mutating=self._sending.mutating,
            idempotency=self._sending.idempotency,
            attempt=self._attempt,
            fresh=fresh,
        )
        if reaction.action in (Action.RETRY, Action.WAIT):
            raise _Again(failure, reaction)
        if reaction.action is Action.READ_BACK and self._read_back is not None:
            return self._look(failure, reaction)
        error = failures.translate(failure, project=self._gcp.target.project)
        if reaction.action is Action.EXISTS:
            error.reference = "already-exists"
        if reaction.action is Action.REDO:
            error.reference = "conflict-retry"
        raise error from None

    def _look(self, failure: Failure, reaction: Reaction) -> Body:
        """Nothing is sent again before the resource was looked for twice (hazards section 4, UNKNOWN_OUTCOME)."""
        assert self._read_back is not None
        for pause in (0.0, SETTLE_S * self._gcp.target.poll_s[0]):
            self._gcp.clock.sleep(pause)
            found = self._read_back()
            if found is not None:
                return found
        if self._looked:
            raise failures.translate(failure, project=self._gcp.target.project)
        self._looked += 1
        raise _Again(failure, reaction)

    def _delay(self, error: BaseException | None) -> float:
        if not isinstance(error, _Again):
            return 0.0
        # the sandbox's clock is fast; real back-off would only make a rehearsal slow, so the target's poll bounds it
        asked = error.failure.retry_after_s
        return asked or min(error.reaction.delay_s, self._gcp.target.poll_s[1] * 3)

    def _overdue(self, error: BaseException | None, begun: float) -> bool:
        if not isinstance(error, _Again):
            return True
        return self._gcp.clock.monotonic() - begun > error.reaction.bound_s

    def _tell(self, error: BaseException | None) -> None:
        if isinstance(error, _Again):
            self._gcp.recorder.emit(
                Retried(
                    at=self._gcp.clock.now(),
                    item=CURRENT_ITEM.get(),
                    method_id=self._sending.method_id,
                    why=error.reaction.why,
                    delay_s=self._delay(error),
                )
            )
