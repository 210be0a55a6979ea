"""The portals' files, served by the backend itself outside production; there a bucket serves them on the same origin.

`portals/headers.json` holds the headers of every answer: the bucket's custom response headers are made of it, too.
"""

from __future__ import annotations

import json
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PORTALS = Path(__file__).parent / "portals"
FOLDERS = ("customer", "partner", "shared")
HEADERS: dict[str, str] = json.loads((PORTALS / "headers.json").read_text())


class _Folder(StaticFiles):
    """A folder whose files all carry the portals' headers; a minute in caches, so that no page mixes old and new."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file; 404 as an HTTPException."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def install(app: FastAPI) -> None:
    """Serves the folders below `/`; the portals' own addresses lead on to their first page."""
    for name in FOLDERS:
        app.mount(f"/{name}", _Folder(directory=PORTALS / name, html=True), name=name)
    for name in FOLDERS[:2]:
        app.add_route(f"/{name}", _to_folder, include_in_schema=False)
    app.add_route("/", _to_customers, include_in_schema=False)


async def _to_folder(request: Request) -> Response:
    return RedirectResponse(f"{request.url.path}/", headers=HEADERS)


async def _to_customers(_: Request) -> Response:
    return RedirectResponse("/customer/", headers=HEADERS)
