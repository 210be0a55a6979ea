"""The application of a worker process, made from its environment; `serve` names this module to uvicorn."""

from __future__ import annotations

from backend import logs
from backend.main import create_app
from backend.settings import load_serving

_settings = load_serving()
logs.configure(_settings.log_level)
app = create_app(_settings)
