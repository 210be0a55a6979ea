"""Signing up, in and out. Ten tries a minute from one address, five for one account, also without Redis."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Cookie, Form, Request, Response

from backend import audit
from backend.auth import queries
from backend.auth.models import AccessToken, Registered, Registration
from backend.context import current
from backend.deps import Db, Held, too_many
from backend.errors import Problem, unauthorized
from backend.lifespan import Resources
from backend.schema import Storable
from backend.security.callers import Caller
from backend.security.sessions import TTL_S as SESSION_S
from backend.security.sessions import ReusedError, Session, session_id_of
from backend.security.tokens import TTL_S

router = APIRouter(prefix="/auth", tags=["auth"])
COOKIE = "plant_refresh"
_PATH = "/api/v1/auth"
_PER_ADDRESS, _PER_ACCOUNT = 10, 5
_NOT_RIGHT = "the address or the password is not right"

Username = Annotated[str, Form(max_length=254), Storable]
Word = Annotated[str, Form(max_length=200), Storable]
GrantType = Annotated[str, Form(pattern="^password$")]
Refresh = Annotated[str | None, Cookie(alias=COOKIE, max_length=200)]


@router.post("/register", status_code=201)
async def register(new: Registration, request: Request, held: Held, db: Db) -> Registered:
    """Makes a customer's account."""
    await _guard(request, held, f"ip:{current().ip}", _PER_ADDRESS)
    password_hash = await held.passwords.hash(new.password)
    async with db.transaction() as connection:
        made = await queries.insert(connection, new, password_hash)
        caller = Caller("customer", str(made), 0, made)
        await audit.record(connection, caller, "account.register", "account", made)
    return Registered(id=made, email=new.email)


@router.post("/token")
async def sign_in(
    username: Username,
    password: Word,
    request: Request,
    response: Response,
    held: Held,
    db: Db,
    grant_type: GrantType = "password",
) -> AccessToken:
    """Gives an access token and the cookie that renews it (RFC 6749 4.3)."""
    await _guard(request, held, f"ip:{current().ip}", _PER_ADDRESS)
    name = hashlib.sha256(username.strip().lower().encode()).hexdigest()[:32]
    await _guard(request, held, f"login:{name}", _PER_ACCOUNT)
    account = await db.read(lambda connection: queries.find(connection, username.strip()))
    right = await held.passwords.verify(account["password_hash"] if account else None, password)
    if account is not None and account["locked"]:
        raise Problem(423, "locked", "too many wrong passwords; try again later", headers={"Retry-After": "900"})
    if account is None or not right or not account["open"]:
        await _note(db, account, "refused")
        raise unauthorized(_NOT_RIGHT)
    session = await held.sessions.start(account["id"])
    await _note(db, account, "done")
    return _answer(response, held, session, account)


@router.post("/refresh")
async def refresh(request: Request, response: Response, held: Held, db: Db, cookie: Refresh = None) -> AccessToken:
    """Gives the next access token, and the next cookie: each one works once."""
    await _guard(request, held, f"ip:{current().ip}", _PER_ADDRESS * 3)
    if cookie is None:
        raise unauthorized()
    try:
        session = await held.sessions.renew(cookie)
    except ReusedError:
        caller = Caller("anonymous", "", 0)
        async with db.transaction() as connection:
            entity = session_id_of(cookie)
            await audit.record(connection, caller, "session.reused", "session", entity, outcome="refused")
        raise unauthorized("the session has ended") from None
    account = await db.read(lambda connection: queries.find_by_id(connection, session.account_id))
    if account is None:
        await held.sessions.end(session.id)
        raise unauthorized("the session has ended")
    return _answer(response, held, session, account)


@router.post("/logout", status_code=204)
async def sign_out(response: Response, held: Held, cookie: Refresh = None) -> None:
    """Ends the session of the cookie; the access token runs out by itself."""
    if cookie is not None:
        await held.sessions.end(session_id_of(cookie))
    response.delete_cookie(COOKIE, _PATH, httponly=True, secure=held.settings.is_production, samesite="strict")


async def _guard(request: Request, held: Resources, who: str, limit: int) -> None:
    endpoint = f"{request.method}:{request.url.path}"
    decision = await held.limiter.check(f"try:{who}", endpoint, limit, strict=True)  # beside the caller's own quota
    if not decision.allowed:
        current().headers.update(decision.headers())
        raise too_many(decision.wait_s)


async def _note(db: Db, account: Any, outcome: str) -> None:
    if account is None:
        return
    async with db.transaction() as connection:
        note = queries.note_success if outcome == "done" else queries.note_failure
        await note(connection, account["id"])
        caller = Caller(account["kind"], str(account["id"]), 0, account["id"])
        await audit.record(connection, caller, "account.sign_in", "account", account["id"], outcome=outcome)


def _answer(response: Response, held: Resources, session: Session, account: Any) -> AccessToken:
    token = held.tokens.issue(account["id"], session.id, account["token_version"], account["kind"], account["role"])
    response.set_cookie(
        COOKIE,
        session.refresh_token,
        max_age=SESSION_S,
        path=_PATH,
        secure=held.settings.is_production,
        httponly=True,
        samesite="strict",
    )
    return AccessToken(access_token=token, expires_in=TTL_S)
