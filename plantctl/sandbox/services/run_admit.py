"""Who may call a Cloud Run service: its ingress setting, and `run.routes.invoke` for the caller's token."""

from __future__ import annotations

import time
from collections.abc import Callable

from plantctl.sandbox import errors
from plantctl.sandbox.access import ANYBODY
from plantctl.sandbox.service import World
from plantctl.sandbox.services import run_addresses

INVOKE = "run.routes.invoke"
REMEMBERED_S = 0.5
"""Policies take longer to get about on Google Cloud (hazards I09); this keeps thousands of requests cheap."""


def doorkeeper(world: World, key: str) -> Callable[[str, str], int]:
    """A callable for the front door: (Authorization header, `https://host`) -> 0, or the status of the refusal."""
    remembered: dict[tuple[str, str], tuple[float, int]] = {}

    def admit(credential: str, audience: str) -> int:
        known = remembered.get((credential, audience))
        now = time.monotonic()
        if known is not None and now - known[0] < REMEMBERED_S:
            return known[1]
        if len(remembered) > 1000:
            remembered.clear()
        status = _decide(world, key, credential, audience)
        remembered[credential, audience] = (now, status)
        return status

    return admit


def _decide(world: World, key: str, credential: str, audience: str) -> int:
    body = world.store.get(key)
    # everything that comes to this door comes from the internet (Cloud Run documentation, "ingress")
    if body is None or body.get("ingress") != "INGRESS_TRAFFIC_ALL":
        return 404
    if body.get("invokerIamDisabled") or world.access.allows(ANYBODY, INVOKE, key):
        return 0
    kind, _, token = credential.partition(" ")
    if kind.lower() != "bearer" or not token:
        return 403
    try:
        principal = world.access.principal_of(token)
    except errors.ApiError:
        return 401
    asked = world.access.audience_of(token)
    if asked and asked.rstrip("/") not in _audiences(world, body["name"], audience, body.get("customAudiences", [])):
        return 401  # an identity token for somebody else (Cloud Run documentation, "service-to-service")
    return 0 if world.access.allows(principal, INVOKE, key) else 403


def _audiences(world: World, name: str, asked: str, custom: list[str]) -> set[str]:
    own = {f"https://{host}" for host in run_addresses.hosts(world, name)}
    return own | {asked} | {one.rstrip("/") for one in custom}
