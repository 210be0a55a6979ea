"""The application factory and the process that serves it; importing this module starts nothing."""

from __future__ import annotations

from typing import Any

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from backend import errors, health, portal_files
from backend.admin import routes as admin
from backend.agents import routes as agents
from backend.api_keys import routes as api_keys
from backend.auth import routes as auth
from backend.deliverables import routes as deliverables
from backend.deps import limit
from backend.hires import routes as hires
from backend.industries import routes as industries
from backend.job_checks import routes as job_checks
from backend.job_roles import routes as job_roles
from backend.jobs import routes as jobs
from backend.lifespan import lifespan
from backend.listings import routes as listings
from backend.me import routes as me
from backend.middleware import Edge
from backend.openapi import document
from backend.settings import Settings
from backend.skills import routes as skills
from backend.trace_export import Traces

VERSION = "0.1.0"
PREFIX = "/api/v1"
_GRACE_S = 8  # Cloud Run kills 10 s after SIGTERM; 2 s are left for the pool (backend 2.2)


def create_app(settings: Settings) -> FastAPI:
    """Builds the application. Its stores are connected to on first use, so that it starts without them."""
    traces = Traces(settings)
    app = FastAPI(
        title="Plant",
        version=VERSION,
        lifespan=lifespan(settings, traces),
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `backend.tracing` says why
        docs_url=None if settings.is_production else "/docs",
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    _include_api(app)
    app.include_router(health.router, responses={"4XX": errors.RESPONSES["4XX"]})
    errors.install(app)
    if not settings.is_production:
        portal_files.install(app)
    app.add_middleware(Edge, project=settings.google_cloud_project, hops=settings.forwarded_hops, traces=traces)
    setattr(app, "openapi", lambda: document(app))  # noqa: B010 - FastAPI's documented way, which mypy refuses
    return app


def _include_api(app: FastAPI) -> None:
    """Everything below the prefix; each request of it counts against its caller's limit.

    Routes are tried in turn, so the busiest come first. They are added one by one, because a router that is included
    whole is searched in a way of its own, which costs a cached answer a tenth of its time.
    """
    everybody = (agents.router, me.router, industries.router, skills.router, job_roles.router, auth.router)
    customers = (hires.router, deliverables.router)
    partners = (listings.router, hires.partner, api_keys.router)
    operators = (industries.admin, skills.admin, job_roles.admin, listings.admin, admin.router, jobs.admin)
    below = {"": (*everybody, *customers, *partners, job_checks.router), "/admin": operators}
    for prefix, routers in below.items():
        for route in (route for router in routers for route in router.routes):
            assert isinstance(route, APIRoute)
            app.router.add_api_route(
                PREFIX + prefix + route.path,
                route.endpoint,
                methods=route.methods,
                response_model=route.response_model,
                status_code=route.status_code,
                tags=route.tags,
                dependencies=[Depends(limit)],
                responses=errors.RESPONSES,
                name=route.name,
            )


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
        "limit_concurrency": 1000,  # connections, whose refusal is no problem document; `Edge` limits requests
        "server_header": False,
        "date_header": True,
    }
    if settings.web_concurrency == 1:
        uvicorn.run(create_app(settings), **options)
    else:
        uvicorn.run("backend.asgi:app", workers=settings.web_concurrency, **options)
