"""Cloud SQL Admin, v1 and v1beta4: the service with all its handlers, and what the sandbox's clock has to call.

Sources of its rules: recorded exchanges with the real API for what the server fills in, gcp-foundation 0.2-0.4, 2
and 5, hazards 3.7, Google's documentation pages where named; what has no source is marked `unverified` where it stands.
"""

from __future__ import annotations

from plantctl.sandbox.services import (
    sqladmin_actions,
    sqladmin_connect,
    sqladmin_databases,
    sqladmin_instances,
    sqladmin_transfer,
    sqladmin_users,
)
from plantctl.sandbox.services.sqladmin_backups import on_tick
from plantctl.sandbox.services.sqladmin_base import service

PARTS = (
    sqladmin_actions,
    sqladmin_connect,
    sqladmin_databases,
    sqladmin_instances,
    sqladmin_transfer,
    sqladmin_users,
)
"""The files whose handlers `service` holds; importing them is what registers them."""

__all__ = ["PARTS", "on_tick", "service"]
