"""Names for the ways in which a database call fails, so that a log line says `auth-failed` and not a traceback."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

RETRIED = frozenset({"connect-refused", "connection-lost", "starting-up"})
"""While connecting, when nothing was done yet; the middle one is a forwarder or a restart that hung up."""

# Classes are PostgreSQL's (manual, appendix A).
_SQLSTATES = {
    "28P01": "auth-failed",
    "28000": "auth-failed",
    "3D000": "database-missing",
    "57P03": "starting-up",
    "53300": "too-many-connections",
    "42501": "permission-denied",
    "55P03": "lock-timeout",
    "57014": "statement-timeout",
    "25006": "read-only",
    "42P01": "schema-missing",
    "3F000": "schema-missing",
}


class BackendError(Exception):
    """A failure with its reason already known, for example `migration-pending`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def reason_of(error: BaseException) -> str:
    """The reason of an error or of the first known one in its chain of causes; "unexpected" when none is known."""
    for cause in _chain(error):
        reason = _reason(cause)
        if reason:
            return reason
    return "unexpected"


def message_of(error: BaseException) -> str:
    """The words of the deepest cause on one line (SQLAlchemy wraps the server's). Servers echo no password."""
    *_, deepest = _chain(error)
    return " ".join(str(deepest).split()) or type(deepest).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or getattr(current, "orig", None)


def _reason(error: BaseException) -> str:
    if isinstance(error, BackendError):
        return error.reason
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        if state == "28000" and "no encryption" in str(error):
            return "tls-required"
        return "connection-lost" if state.startswith("08") else _SQLSTATES.get(state, "")
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls-verify-failed"
    if isinstance(error, ssl.SSLError) or "rejected SSL upgrade" in str(error):
        return "tls-failed"
    if isinstance(error, socket.gaierror):
        return "host-unknown"
    if isinstance(error, TimeoutError):
        return "timeout"
    return _socket_reason(error) if isinstance(error, OSError) else ""


def _socket_reason(error: OSError) -> str:
    # A name with several addresses ends in one error without errno that quotes all of them.
    if error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return "connect-refused"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "connect-unreachable"
    return "connection-lost"
