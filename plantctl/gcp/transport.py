"""Sends each request exactly once and records it: a mutating one in the journal before its bytes leave.

httplib2 repeats a POST by itself when a connection closes without an answer (hazards finding 1), so no client keeps its
own transport: discovery requests are sent here, and GAPIC clients get `session_for_gapic`, or `channel` for gRPC.
"""

from __future__ import annotations

import json
import os
import threading
from contextvars import ContextVar
from typing import Any

from plantctl import __version__
from plantctl.gcp import failures
from plantctl.gcp.failures import CREDENTIALS, GARBLED, NO_ANSWER, NOT_SENT, Failure
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
        from google.auth.exceptions import GoogleAuthError, TransportError

        method_id = SENDING.get().method_id
        data = body.encode() if isinstance(body, str) else body
        own = {name: value for name, value in headers.items() if name not in ("user-agent", "accept-encoding")}
        try:
            answer = self._session().request(
                verb, url, data=data, headers=own, timeout=TIMEOUT_S, allow_redirects=False
            )
        except TransportError as error:  # no way to the token server
            raise Failure(method_id=method_id, code=0, message=_first_line(error), trouble=NOT_SENT) from None
        except GoogleAuthError as error:
            raise Failure(method_id=method_id, code=0, message=_first_line(error), trouble=CREDENTIALS) from None
        if answer.status_code >= 400:
            raise failures.parse(method_id, answer.status_code, answer.headers, answer.content)
        return answer

    def send_json(self, verb: str, url: str, body: bytes | str | None, headers: dict[str, str]) -> Body:
        """As `send`, decoded."""
        return decode(self.send(verb, url, body, headers).content)

    def session_for_gapic(self) -> GapicSession:
        """What a GAPIC REST transport takes for its session: the same single send."""
        return GapicSession(self)

    def channel(self, host: str) -> Any:
        """A gRPC channel to one of Google's hosts with the same single send and the same record."""
        # its library writes notes of its own to stderr otherwise, and some at every subprocess
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        import grpc

        from plantctl.gcp.rpc import Recording

        return grpc.intercept_channel(self.target.channel(host), Recording(self.target, self.recorder))

    def _session(self) -> Any:
        if not hasattr(self._local, "session"):
            session = self.target.session()
            # beneath the session, so that what is sent again after a 401 is on record too (hazards T13)
            adapter = _recording_adapter(self.target, self.recorder)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            self._local.session = session
        return self._local.session


def decode(content: bytes) -> Body:
    """A successful answer as JSON; `{}` for an empty one."""
    decoded = json.loads(content) if content.strip() else {}
    return decoded if isinstance(decoded, dict) else {"value": decoded}


def operation_name(content: bytes) -> str:
    """What finds an operation again, for the journal: `operations/o`, `projects/p/regions/r/operations/o`; or empty."""
    if b'"name"' not in content or len(content) > 1_000_000:
        return ""
    try:
        body = json.loads(content)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    name, link = str(body.get("name", "")), str(body.get("selfLink", ""))
    if str(body.get("kind", "")).endswith("#operation"):
        return link[link.index("projects/") :] if "projects/" in link else name
    return name if "operations/" in name else ""


def _recording_adapter(target: Target, recorder: Recorder) -> Any:
    import requests
    from requests.adapters import HTTPAdapter

    class Recording(HTTPAdapter):
        """Sends a prepared request once: on record before, answered after; Failure when no whole answer comes."""

        def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
            sending = SENDING.get()
            attempt = announce(recorder, sending, request.body)
            request.headers["User-Agent"] = f"plantctl/{__version__}"
            request.headers["X-Goog-Request-Reason"] = reason(recorder, attempt)
            for name, value in target.headers(sending.method_id).items():
                request.headers.setdefault(name, value)
            try:
                response = super().send(request, *args, **kwargs)
                content = response.content
            except requests.RequestException as error:
                failure: Failure | None = _no_answer(sending.method_id, str(request.url), error)
            else:
                failure = _garbled(sending.method_id, response.status_code, content)
            if failure is not None:
                if attempt:
                    recorder.answer(attempt, status=0, error=failure.trouble)
                raise failure
            if attempt:
                good = response.status_code < 300
                recorder.answer(
                    attempt,
                    status=response.status_code,
                    operation=operation_name(content) if good else "",
                    error="" if good else failures.words_for_journal(content),
                )
            return response

    return Recording(max_retries=0, pool_maxsize=4)


def announce(recorder: Recorder, sending: Sending, body: bytes | str | None) -> str:
    """Put on record what is about to leave: a write before its bytes do, a read as one more. The attempt's id."""
    if not sending.mutating:
        recorder.read()
        return ""
    return recorder.attempt(
        item=CURRENT_ITEM.get(),
        method_id=sending.method_id,
        resource=sending.resource,
        idempotency=sending.idempotency,
        purpose=sending.purpose,
        intent=sending.intent,
        body=body.encode() if isinstance(body, str) else body or b"",
    )


def reason(recorder: Recorder, attempt: str) -> str:
    """What a request says of itself, so that wire and journal can be joined."""
    return f"plantctl/{recorder.run}/{attempt or 'read'}"


def _garbled(method_id: str, status: int, content: bytes) -> Failure | None:
    """A success that is no JSON, or a redirection: a proxy's page, or half an answer (hazards T04, T05)."""
    if status >= 400:
        return None
    try:
        decode(content)
    except ValueError:
        pass
    else:
        if status < 300:
            return None
    return Failure(method_id=method_id, code=0, message="the answer was cut or is no JSON", trouble=GARBLED)


def _no_answer(method_id: str, url: str, error: Exception) -> Failure:
    """Not sent only when that is certain: no name, no connection, no tunnel, or a certificate that was refused."""
    import ssl

    import requests
    from urllib3.exceptions import NewConnectionError

    reasons: list[BaseException] = [error]
    while len(reasons) < 6:
        inner = getattr(reasons[-1], "reason", None) or (reasons[-1].args or (None,))[0]
        if not isinstance(inner, BaseException):
            break
        reasons.append(inner)
    early = (NewConnectionError, requests.ConnectTimeout, requests.exceptions.ProxyError, ssl.SSLCertVerificationError)
    unsent = any(isinstance(reason, early) for reason in reasons)
    host = url.split("/")[2]
    words = f"no connection to {host}" if unsent else f"{host} gave no answer ({type(error).__name__})"
    if isinstance(error, requests.exceptions.ContentDecodingError | requests.exceptions.ChunkedEncodingError):
        return Failure(method_id=method_id, code=0, message="the answer was cut", trouble=GARBLED)
    return Failure(method_id=method_id, code=0, message=words, trouble=NOT_SENT if unsent else NO_ANSWER)


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else error).split("\n", 1)[0][:300]


class GapicSession(threading.local):
    """`session.get(url, timeout=, headers=, params=, data=)` and its like, as rest.py of GAPIC calls it.

    `content` is what this thread's last request was answered: taken from there as REST JSON, so that a field or type
    that the library is too old for is neither lost nor an error (hazards T25).
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.content = b""

    def __getattr__(self, verb: str) -> Any:
        if verb not in ("get", "post", "put", "patch", "delete"):
            raise AttributeError(verb)

        def send(url: str, *, headers: Any = None, params: Any = None, data: Any = None, **_: Any) -> Any:
            from urllib.parse import urlencode

            # the library asks for enums as numbers; REST JSON has their names
            asked = [(name, value) for name, value in _pairs(params) if name != "$alt"]
            query = urlencode(asked, doseq=True)
            self.content = b""
            answer = self._transport.send(verb.upper(), f"{url}?{query}" if query else url, data, dict(headers or {}))
            self.content = answer.content
            return answer

        return send


def _pairs(params: Any) -> list[tuple[str, Any]]:
    return list(params.items()) if isinstance(params, dict) else list(params or [])
