"""Errors as RFC 9457 problems: whatever goes wrong leaves as application/problem+json, never as a traceback."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from backend.context import current
from backend.failures import BackendError, reason_of

MEDIA_TYPE = "application/problem+json"
RETRY_S = 2

# `InterfaceError` and `InternalClientError` are what asyncpg says of a connection that is gone (backend 2.3).
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    RedisError,
    OSError,
    TimeoutError,
)
_BAD_TEXT = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)


class Problem(Exception):
    """An answer that is not what was asked for. `kind` is a stable word that clients may branch on."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = headers or {}
        self.errors = errors

    def body(self) -> dict[str, Any]:
        """The members of RFC 9457, and `request_id` and `errors` beside them."""
        found: dict[str, Any] = {
            "type": f"urn:plant:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": current().request_id,
        }
        return found | ({"errors": self.errors} if self.errors else {})


def not_found(what: str) -> Problem:
    """404; also for what exists and belongs to somebody else."""
    return Problem(404, "not-found", f"there is no such {what}")


def conflict(kind: str, detail: str) -> Problem:
    """409: the state of the thing forbids it now."""
    return Problem(409, kind, detail)


def unauthorized(detail: str = "sign in") -> Problem:
    """401 with the challenge that RFC 9110 asks for; never says which part of a token was wrong."""
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def forbidden(detail: str) -> Problem:
    """403: known who, not allowed."""
    return Problem(403, "forbidden", detail)


def invalid(where: str, detail: str) -> Problem:
    """422 for one field, in the same form as the framework's own validation."""
    return Problem(422, "validation", "the request is not valid", errors=[{"where": where, "detail": detail}])


def unavailable(reason: str) -> Problem:
    """503 with Retry-After: a store is away, the request was not carried out."""
    return Problem(503, reason, "try again shortly", headers={"Retry-After": str(RETRY_S)})


def problem_of(error: Exception) -> Problem | None:
    """The problem that an error from a store means; None for a fault of our own."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, _BAD_TEXT):
        return invalid("text", "holds a character that cannot be stored")
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return None  # asyncpg.DataError: an argument of our own has the wrong type
    if isinstance(error, _LOST):
        return unavailable("redis-unavailable" if isinstance(error, RedisError) else "database-unavailable")
    if isinstance(error, BackendError):
        return unavailable(error.reason)
    return unavailable("database-unavailable") if reason_of(error) != "unexpected" else None


def respond(problem: Problem) -> JSONResponse:
    """The answer of a problem."""
    return JSONResponse(problem.body(), problem.status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes problems of the framework's own errors, too."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return respond(error)


async def _validation(_: Request, error: Exception) -> JSONResponse:
    """Says where and why, and never what: the input may hold a password."""
    assert isinstance(error, RequestValidationError)
    found = [{"where": ".".join(str(part) for part in item["loc"]), "detail": item["msg"]} for item in error.errors()]
    return respond(Problem(422, "validation", "the request is not valid", errors=found[:20]))


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kinds = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "media-type"}
    headers = dict(error.headers or {})
    kind = kinds.get(error.status_code, "refused")
    return respond(Problem(error.status_code, kind, str(error.detail), headers=headers))


def _described(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": _described("A problem with the request"),
    "5XX": _described("The service cannot answer now"),
}
"""What every operation may answer, for the OpenAPI document."""
