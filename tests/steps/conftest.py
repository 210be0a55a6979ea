"""The sandbox of the service tests, for steps that are worth testing against it."""

from __future__ import annotations

from tests.sandbox.conftest import sandbox, sandbox_app

__all__ = ["sandbox", "sandbox_app"]
