"""The OpenAPI document, with problems as its error bodies. `python -m backend.openapi` writes it to openapi.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457, with the request's id, and what was wrong with which field",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["where", "detail"],
                "properties": {"where": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


_SCHEMES: dict[str, Any] = {
    "HTTPBearer": {
        "type": "http",
        "description": "An access token of POST /auth/token",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    },
    "APIKeyHeader": {
        "type": "apiKey",
        "description": "An API key of a partner, or of a service",
        "in": "header",
        "name": "X-API-Key",
    },
}
"""What `backend.deps.limit` reads on every request of the API."""


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = _PROBLEM
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        made["components"]["securitySchemes"] = _SCHEMES
        for path, operations in made["paths"].items():
            if path.startswith("/api/"):
                for operation in operations.values():
                    operation["security"] = [{name: []} for name in _SCHEMES]
        app.openapi_schema = made
    return app.openapi_schema


def standalone() -> dict[str, Any]:
    """The document without an environment: it depends on none of its values."""
    from backend.main import create_app  # which imports this module
    from backend.settings import Settings

    environment = {"environment": "test", "db_host": "127.0.0.1", "database_password": "none", "db_sslmode": "disable"}
    return document(create_app(Settings.model_validate(environment)))


if __name__ == "__main__":
    (Path(__file__).parent / "openapi.json").write_text(json.dumps(standalone(), indent=1, ensure_ascii=False) + "\n")
