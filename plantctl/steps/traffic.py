"""Which revision of a Cloud Run service serves, read from the service's body; and traffic as `release` writes it. Pure.

`revision` is a short name everywhere here (`plant-backend-00002-abc`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from plantctl.model.step import Body

LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
WHOLE = 100


class Tag(NamedTuple):
    """A tag of the service: the revision that it leads to, and the address of its own."""

    revision: str
    uri: str


def short(name: object) -> str:
    """Last part of a resource's name; empty for nothing."""
    return str(name or "").rsplit("/", 1)[-1]


def latest_created(service: Body) -> str:
    """The revision made last, ready or not."""
    return short(service.get("latestCreatedRevision"))


def shares(service: Body) -> dict[str, int]:
    """Percent by revision, as it is now. `latest` means the latest that is ready (run v2 discovery, TrafficTarget)."""
    found: dict[str, int] = {}
    for status in service.get("trafficStatuses") or []:
        name = short(status.get("revision") or service.get("latestReadyRevision"))
        if name and status.get("percent"):
            found[name] = found.get(name, 0) + int(status["percent"])
    return found


def server(service: Body) -> str:
    """The revision that gets all traffic; empty when none does, or traffic is split."""
    return next((name for name, percent in shares(service).items() if percent == WHOLE), "")


def pinned(service: Body) -> bool:
    """True when a new revision would not get traffic by itself."""
    return any(_named(target) and target.get("percent") for target in service.get("traffic") or [])


def _named(target: Body) -> bool:
    return target.get("type") == REVISION or (not target.get("type") and bool(target.get("revision")))


def tags(service: Body) -> dict[str, Tag]:
    """Tags by name."""
    return {
        str(status["tag"]): Tag(
            short(status.get("revision") or service.get("latestReadyRevision")), str(status.get("uri", ""))
        )
        for status in service.get("trafficStatuses") or []
        if status.get("tag")
    }


def split(parts: Mapping[str, int], tagged: Iterable[tuple[str, str]] = ()) -> list[Body]:
    """Traffic by named revisions, which no later revision takes away; `tagged` are (tag, revision)."""
    found: list[Body] = [
        {"type": REVISION, "revision": revision, "percent": percent} for revision, percent in parts.items() if percent
    ]
    return found + [{"type": REVISION, "revision": revision, "tag": tag} for tag, revision in tagged]


def to_latest() -> list[Body]:
    """All traffic to the newest revision that is ready, now and later."""
    return [{"type": LATEST, "percent": WHOLE}]


def words(service: Body) -> str:
    """`plant-backend-00001-abc 90 %, plant-backend-00002-def 10 %`."""
    return ", ".join(f"{name} {percent} %" for name, percent in shares(service).items()) or "nothing"
