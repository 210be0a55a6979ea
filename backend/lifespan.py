"""What a serving process holds open. Neither store is asked for at the start: a revision becomes ready without them."""

from __future__ import annotations

import asyncio
import gc
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
from backend.stats import Stats
from backend.trace_export import Traces


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


def _calm_collector() -> None:
    """What is there now stays for good, so the collector need not walk it; and a request is no reason to collect.

    Nearly all garbage of a request is freed by counting references: the usual thresholds cost a twentieth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def lifespan(settings: Settings, traces: Traces) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """The lifespan of an application: opened in order, closed within two seconds (Cloud Run kills then)."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[State]:
        database = Database(await create_pool(settings))
        store = Store(create_client(settings))
        held = assemble(settings, database, store)
        traces.open()
        stats = Stats(database=database, store=store, cache=held.cache, limiter=held.limiter, traces=traces)
        told = asyncio.create_task(stats.run(settings.stats_period_s))
        _calm_collector()
        try:
            yield {"resources": held}
        finally:
            told.cancel()
            await asyncio.gather(told, return_exceptions=True)
            await asyncio.gather(traces.close(), store.close(), database.close())
            stats.write({})  # what happened since the last line, when nothing can be asked any more

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
