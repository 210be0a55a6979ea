"""What a serving process holds open. Neither store is asked for at the start: a revision becomes ready without them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypedDict

from fastapi import FastAPI

from backend.cache import Cache
from backend.database import create_pool
from backend.pool import Database
from backend.ratelimit import Limiter
from backend.redis_store import Store, create_client
from backend.secret_values import service_keys, signing_keys
from backend.security.callers import Callers
from backend.security.passwords import Passwords
from backend.security.sessions import Sessions
from backend.security.tokens import Tokens
from backend.settings import Settings


@dataclass(frozen=True)
class Resources:
    """Handlers find it in `request.state.resources`, mostly through the aliases of `backend.deps`."""

    settings: Settings
    database: Database
    store: Store
    cache: Cache
    limiter: Limiter
    tokens: Tokens
    passwords: Passwords
    sessions: Sessions
    callers: Callers


class State(TypedDict):
    """The lifespan's state, as Starlette copies it into each request."""

    resources: Resources


def lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """The lifespan of an application: opened in order, closed in reverse within two seconds."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[State]:
        database = Database(await create_pool(settings))
        store = Store(create_client(settings))
        try:
            yield {"resources": assemble(settings, database, store)}
        finally:
            await store.close()
            await database.close()

    return run


def assemble(settings: Settings, database: Database, store: Store) -> Resources:
    """Everything that hangs on the two stores. Raises ValueError for secrets that `serving_problems` would refuse."""
    tokens = Tokens(signing_keys(settings.jwt_secret_key.get_secret_value()))
    keys = service_keys(settings.api_keys.get_secret_value())
    return Resources(
        settings,
        database,
        store,
        Cache(store),
        Limiter(store),
        tokens,
        Passwords(),
        Sessions(store),
        Callers(database, tokens, keys),
    )
