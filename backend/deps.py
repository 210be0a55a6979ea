"""What handlers ask for, as annotated aliases: the stores, the caller, and what a caller must be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Header, Request

from backend.cache import Cache
from backend.context import current
from backend.errors import Problem, forbidden, unauthorized
from backend.lifespan import Resources
from backend.pool import Database
from backend.security.callers import ANONYMOUS_LIMIT, Caller


def resources(request: Request) -> Resources:
    """What the process holds open."""
    found: Resources = request.state.resources
    return found


# FastAPI runs a plain function of a dependency in a thread, which costs more than the rest of a cached answer.
async def _held(request: Request) -> Resources:
    return resources(request)


async def _database(request: Request) -> Database:
    return resources(request).database


async def _cache(request: Request) -> Cache:
    return resources(request).cache


async def _caller(request: Request) -> Caller:
    """Whoever `limit` found, which runs before every handler of the API."""
    found: Caller = request.state.caller
    return found


async def _identify(request: Request) -> Caller:
    """Nobody is a caller, too; credentials that are wrong are not taken for none. Raises Problem 401.

    It reads the headers itself: two security dependencies of FastAPI would cost a cached answer a tenth of its time.
    """
    callers = resources(request).callers
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key")
    if scheme.lower() == "bearer" and token:
        caller = await callers.by_token(token)
    elif key:
        caller = await callers.by_key(key)
    elif scheme:
        raise unauthorized("the scheme is Bearer")
    else:
        return Caller("anonymous", f"ip:{current().ip}", ANONYMOUS_LIMIT)
    current().account_id = str(caller.id)
    return caller


async def limit(request: Request) -> None:
    """Finds the caller, and counts the request against its quota of this endpoint. Raises Problem 401 and 429."""
    caller = request.state.caller = await _identify(request)
    endpoint = f"{request.method}:{_template(request)}"
    current().route = endpoint
    decision = await resources(request).limiter.check(caller.user, endpoint, caller.limit)
    current().headers.update(decision.headers())
    if not decision.allowed:
        raise too_many(decision.wait_s)


def _template(request: Request) -> str:
    """The route's path with its prefixes, which FastAPI keeps beside the route of an included router."""
    context = request.scope.get("fastapi", {}).get("effective_route_context") or request.scope["route"]
    return str(context.path_format)


def too_many(wait_s: int) -> Problem:
    """429 with Retry-After in seconds."""
    return Problem(429, "rate-limited", "too many requests", headers={"Retry-After": str(max(wait_s, 1))})


def _need(kind: str, *, scope: str = "") -> Callable[[Caller], Awaitable[Caller]]:
    async def need(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if caller.kind == "anonymous":
            raise unauthorized()
        if caller.kind != kind:
            raise forbidden(f"this is for {kind}s")
        if caller.scopes is not None and scope not in caller.scopes:
            raise forbidden(f"the API key lacks the scope {scope}" if scope else "this is for accounts, not for keys")
        return caller

    return need


async def _account(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    if caller.kind == "anonymous":
        raise unauthorized()
    if caller.account_id is None:
        raise forbidden("this is for accounts, not for keys")
    return caller


async def _version(if_match: Annotated[str | None, Header(max_length=200)] = None) -> int:
    """The version in If-Match: `"v7"`. Raises Problem 428 without it and 412 for what is no version of ours."""
    if if_match is None:
        raise Problem(428, "if-match-required", "send If-Match with the ETag that was read")
    text = if_match.strip().removeprefix('"v').removesuffix('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise stale()
    return int(text)


def stale() -> Problem:
    """412: somebody else changed it since it was read."""
    return Problem(412, "version-mismatch", "it was changed since it was read; read it again")


def etag(version: int) -> dict[str, str]:
    """The ETag header of a versioned thing."""
    return {"ETag": f'"v{version}"'}


Db = Annotated[Database, Depends(_database)]
Cached = Annotated[Cache, Depends(_cache)]
Held = Annotated[Resources, Depends(_held)]
Anyone = Annotated[Caller, Depends(_caller)]
Account = Annotated[Caller, Depends(_account)]
Customer = Annotated[Caller, Depends(_need("customer"))]
Partner = Annotated[Caller, Depends(_need("partner"))]
Operator = Annotated[Caller, Depends(_need("operator"))]
AgentReader = Annotated[Caller, Depends(_need("partner", scope="agents:read"))]
AgentWriter = Annotated[Caller, Depends(_need("partner", scope="agents:write"))]
HireReader = Annotated[Caller, Depends(_need("partner", scope="hires:read"))]
Deliverer = Annotated[Caller, Depends(_need("partner", scope="deliverables:write"))]
JobChecker = Annotated[Caller, Depends(_need("service", scope="jobs:check"))]
IfMatch = Annotated[int, Depends(_version)]
