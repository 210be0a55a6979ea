"""Sends each request exactly once and records it: a mutating one in the journal before its bytes leave.

httplib2 repeats a POST by itself when a connection closes without an answer (hazards finding 1), so no client keeps its
own transport: discovery requests are sent here, and GAPIC clients get `session_for_gapic`.
"""

from __future__ import annotations

import json
import threading
from contextvars import ContextVar
from typing import Any

from plantctl import __version__
from plantctl.gcp import failures
from plantctl.gcp.failures import Failure
from plantctl.gcp.methods import Sending
from plantctl.gcp.target import Target
from plantctl.model.facts import CURRENT_ITEM
from plantctl.model.recorder import Recorder
from plantctl.model.step import Body

SENDING: ContextVar[Sending] = ContextVar("SENDING")
"""What is being sent on this thread; set by the bundle around each carrier call."""

TIMEOUT_S = (5.0, 90.0)
"""Seconds to connect, and to wait for an answer: slow creates answer within a minute (hazards finding 5)."""


class Transport:
    """One per process; sessions are per thread, as requests wants it."""

    def __init__(self, target: Target, recorder: Recorder) -> None:
        self.target = target
        self.recorder = recorder
        self._local = threading.local()

    def send(self, verb: str, url: str, body: bytes | str | None, headers: dict[str, str]) -> Any:
        """One request, one answer (a requests.Response); Failure for 4xx, 5xx, none at all, or a cut one.

        Raises JournalError when the intent cannot be recorded: then nothing was sent.
        """
        import requests

        sending = SENDING.get()
        data = body.encode() if isinstance(body, str) else body
        attempt = self._announce(sending, data or b"")
        reason = f"plantctl/{self.recorder.run}/{attempt or 'read'}"
        sent = {**headers, "User-Agent": f"plantctl/{__version__}", "X-Goog-Request-Reason": reason}
        sent.pop("user-agent", None)
        sent.pop("accept-encoding", None)
        try:
            answer = self._session().request(
                verb, url, data=data, headers=sent, timeout=TIMEOUT_S, allow_redirects=False
            )
            content = answer.content
        except requests.RequestException as error:
            failure = _no_answer(sending.method_id, url, error)
            self._settle(attempt, 0, error=failure.message)
            raise failure from None
        self._settle(attempt, answer.status_code, operation=_operation(content), error="")
        if answer.status_code >= 400:
            raise failures.parse(sending.method_id, answer.status_code, answer.headers, content)
        return answer

    def send_json(self, verb: str, url: str, body: bytes | str | None, headers: dict[str, str]) -> Body:
        """As `send`, decoded; a body that is no JSON object counts as no answer (hazards T04, T05)."""
        answer = self.send(verb, url, body, headers)
        if not answer.content:
            return {}
        try:
            decoded = json.loads(answer.content)
        except ValueError:
            raise Failure(
                method_id=SENDING.get().method_id, code=0, message="the answer was cut or is no JSON"
            ) from None
        return decoded if isinstance(decoded, dict) else {"value": decoded}

    def session_for_gapic(self) -> Any:
        """What a GAPIC REST transport takes for its session: the same single send."""
        return _GapicSession(self)

    def _session(self) -> Any:
        if not hasattr(self._local, "session"):
            self._local.session = self.target.session()
        return self._local.session

    def _announce(self, sending: Sending, data: bytes) -> str:
        if not sending.mutating:
            self.recorder.read()
            return ""
        return self.recorder.attempt(
            item=CURRENT_ITEM.get(),
            method_id=sending.method_id,
            resource=sending.resource,
            idempotency=sending.idempotency,
            purpose=sending.purpose,
            intent=sending.intent,
            body=data,
        )

    def _settle(self, attempt: str, status: int, *, operation: str = "", error: str = "") -> None:
        if attempt:
            self.recorder.answer(attempt, status=status, operation=operation, error=error)


def _no_answer(method_id: str, url: str, error: Exception) -> Failure:
    from urllib3.exceptions import NewConnectionError

    reasons: list[BaseException] = [error]
    while (inner := getattr(reasons[-1], "reason", None) or (reasons[-1].args or (None,))[0]) is not None:
        if not isinstance(inner, BaseException) or len(reasons) > 5:
            break
        reasons.append(inner)
    refused = any(isinstance(reason, NewConnectionError) for reason in reasons)
    host = url.split("/")[2]
    words = f"no connection to {host}" if refused else f"{host} gave no answer ({type(error).__name__})"
    return Failure(method_id=method_id, code=0, message=words, sent=not refused)


def _operation(content: bytes) -> str:
    """The operation that an answer names, for the journal; empty when it names none."""
    if not content.startswith(b"{") or b'"name"' not in content or len(content) > 200_000:
        return ""
    try:
        body = json.loads(content)
    except ValueError:
        return ""
    kind, name = str(body.get("kind", "")), str(body.get("name", ""))
    return name if "operations/" in name or kind.endswith("#operation") else ""


class _GapicSession:
    """`session.get(url, timeout=, headers=, params=, data=)` and its like, as rest.py of GAPIC calls it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getattr__(self, verb: str) -> Any:
        if verb not in ("get", "post", "put", "patch", "delete"):
            raise AttributeError(verb)

        def send(url: str, *, headers: Any = None, params: Any = None, data: Any = None, **_: Any) -> Any:
            from urllib.parse import urlencode

            query = urlencode(params or [], doseq=True)
            full = f"{url}?{query}" if query else url
            return self._transport.send(verb.upper(), full, data, dict(headers or {}))

        return send
