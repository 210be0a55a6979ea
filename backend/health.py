"""`/health` (alive, touches nothing), `/health/ready` (the database within one second) and `/version`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from backend.failures import reason_of

router = APIRouter(tags=["health"])
_LIMIT_S = 1.0


@router.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Liveness: 200 whenever the process answers; a database outage must not restart every instance."""
    settings = request.state.resources.settings
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"status": "ok", "version": request.app.version, "revision": settings.k_revision, "time": now}


@router.get("/health/ready")
async def ready(request: Request) -> JSONResponse:
    """200 when the database answers within a second, else 503 with the reason."""
    database = await _database(request.state.resources.database)
    status = "ok" if database["ok"] else "unavailable"
    return JSONResponse({"status": status, "checks": {"database": database}}, 200 if database["ok"] else 503)


@router.get("/version")
async def version(request: Request) -> dict[str, str]:
    """What is running: the application's version and Cloud Run's names for it."""
    settings = request.state.resources.settings
    return {"version": request.app.version, "service": settings.k_service, "revision": settings.k_revision}


async def _database(pool: Any) -> dict[str, object]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_LIMIT_S):
            await pool.fetchval("SELECT 1")
    except Exception as error:  # whatever it is, the answer is "not ready", with the reason
        return {"ok": False, "ms": _ms(started), "reason": reason_of(error)}
    return {"ok": True, "ms": _ms(started)}


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
