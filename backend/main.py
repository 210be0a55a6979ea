"""The application factory and the process that serves it; importing this module starts nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypedDict

import uvicorn
from fastapi import FastAPI

from backend import health
from backend.database import Pool, create_pool
from backend.settings import Settings

VERSION = "0.1.0"
_GRACE_S = 8  # Cloud Run kills 10 s after SIGTERM; 2 s are left for the pool (backend 2.2)
_CLOSE_S = 1.5
_MAX_BODY = 256 * 1024


@dataclass(frozen=True)
class Resources:
    """What a process holds open while it serves; handlers find it in `request.state.resources`."""

    settings: Settings
    database: Pool


class State(TypedDict):
    """The lifespan's state, as Starlette copies it into each request."""

    resources: Resources


def create_app(settings: Settings) -> FastAPI:
    """Builds the application. Its pool connects on first use, so that it starts without a database."""
    app = FastAPI(
        title="Plant",
        version=VERSION,
        lifespan=_lifespan(settings),
        docs_url=None if settings.is_production else "/docs",
        redoc_url=None,
        max_body_size=_MAX_BODY,
    )
    app.include_router(health.router)
    return app


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        pool = await create_pool(settings)
        try:
            yield {"resources": Resources(settings, pool)}
        finally:
            try:
                await asyncio.wait_for(pool.close(), _CLOSE_S)
            except TimeoutError:
                pool.terminate()

    return lifespan


def serve(settings: Settings) -> None:
    """Serves on 0.0.0.0:$PORT until SIGTERM; requests under way get 8 s."""
    uvicorn.run(
        create_app(settings),
        host="0.0.0.0",
        port=settings.port,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        timeout_graceful_shutdown=_GRACE_S,
        limit_concurrency=200,
        server_header=False,
    )
