"""`/health` (alive, touches nothing), `/health/ready` (both stores within one second) and `/version`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from backend.deps import Held
from backend.failures import reason_of
from backend.lifespan import Resources

router = APIRouter(tags=["health"])
_LIMIT_S = 1.0
_KEEP_S = 1.0
_REVISION = "SELECT version_num FROM plant.alembic_version"
_VERSIONS = Path(__file__).parent / "migrations" / "versions"


@router.get("/health")
async def health(request: Request, held: Held) -> dict[str, str]:
    """Liveness: 200 whenever the process answers; an outage of a store must not restart every instance."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"status": "ok", "version": request.app.version, "revision": held.settings.k_revision, "time": now}


@router.get("/health/ready", responses={503: {"description": "Not ready; the same body"}})
async def ready(request: Request, held: Held, strict: bool = False) -> JSONResponse:
    """200 when the database answers, else 503. Without Redis it is degraded: 200, with `strict` 503."""
    known = getattr(request.app.state, "readiness", None)
    if known is None or time.monotonic() - known[0] > _KEEP_S:
        known = (time.monotonic(), await _checks(held))
        request.app.state.readiness = known
    checks = known[1]
    status = "ok"
    if not checks["redis"]["ok"]:
        status = "degraded"
    if not checks["database"]["ok"]:
        status = "unavailable"
    bad = status == "unavailable" or (strict and status != "ok")
    return JSONResponse({"status": status, "checks": checks}, 503 if bad else 200)


@router.get("/version")
async def version(request: Request, held: Held) -> dict[str, str]:
    """What is running: the application's version and Cloud Run's names for it."""
    settings = held.settings
    return {"version": request.app.version, "service": settings.k_service, "revision": settings.k_revision}


async def _checks(held: Resources) -> dict[str, dict[str, Any]]:
    found: dict[str, Any] = {}

    async def database() -> None:
        found["current"] = await held.database.pool.fetchval(_REVISION)

    async def redis() -> None:
        await held.store.client.ping()

    answers = await asyncio.gather(_timed(database), _timed(redis))
    migrations = {"current": found.get("current"), "head": head()}
    return {"database": answers[0], "redis": answers[1], "migrations": migrations}


@cache
def head() -> str:
    """The newest revision in this image, by its file's name: serving loads no Alembic."""
    return max(path.name.split("_")[0] for path in _VERSIONS.glob("[0-9]*.py"))


async def _timed(look: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_LIMIT_S):
            await look()
    except Exception as error:  # whatever it is, the answer is "not ready", with the reason
        return {"ok": False, "ms": _ms(started), "reason": reason_of(error)}
    return {"ok": True, "ms": _ms(started)}


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
