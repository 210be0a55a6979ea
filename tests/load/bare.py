"""What the framework alone can do: one FastAPI route, to hold the plant's figures against."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI(docs_url=None, redoc_url=None)


@app.get("/")
async def bare() -> dict[str, str]:
    """A route that does nothing."""
    return {"status": "ok"}
