"""The application factory and the process that serves it; importing this module starts nothing."""

from __future__ import annotations

from typing import Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from backend import errors, health
from backend.agents import routes as agents
from backend.deps import limit
from backend.industries import routes as industries
from backend.job_roles import routes as job_roles
from backend.lifespan import lifespan
from backend.middleware import Edge
from backend.openapi import document
from backend.settings import Settings
from backend.skills import routes as skills

VERSION = "0.1.0"
PREFIX = "/api/v1"
_GRACE_S = 8  # Cloud Run kills 10 s after SIGTERM; 2 s are left for the pool (backend 2.2)
_MAX_BODY = 256 * 1024


def create_app(settings: Settings) -> FastAPI:
    """Builds the application. Its stores are connected to on first use, so that it starts without them."""
    app = FastAPI(
        title="Plant",
        version=VERSION,
        lifespan=lifespan(settings),
        docs_url=None if settings.is_production else "/docs",
        redoc_url=None,
        max_body_size=_MAX_BODY,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    app.include_router(health.router)
    app.include_router(_api(), prefix=PREFIX, responses=errors.RESPONSES)
    errors.install(app)
    app.add_middleware(Edge, project=settings.google_cloud_project, hops=settings.forwarded_hops)
    setattr(app, "openapi", lambda: document(app))  # noqa: B010 - FastAPI's documented way, which mypy refuses
    return app


def _api() -> APIRouter:
    """Everything below the prefix; each request of it counts against its caller's limit."""
    api = APIRouter(dependencies=[Depends(limit)])
    for public in (industries.router, skills.router, job_roles.router, agents.router):
        api.include_router(public)
    for operators in (industries.admin, skills.admin, job_roles.admin):
        api.include_router(operators, prefix="/admin")
    return api


def _operation_id(route: APIRoute) -> str:
    return route.name


def serve(settings: Settings) -> None:
    """Serves on 0.0.0.0:$PORT until SIGTERM; requests under way get 8 s. More than one worker: a process each."""
    options: dict[str, Any] = {
        "host": "0.0.0.0",
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "proxy_headers": True,
        "timeout_graceful_shutdown": _GRACE_S,
        "limit_concurrency": 200,
        "server_header": False,
        "date_header": True,
    }
    if settings.web_concurrency == 1:
        uvicorn.run(create_app(settings), **options)
    else:
        uvicorn.run("backend.asgi:app", workers=settings.web_concurrency, **options)
