"""Who serves, read from a service's body in the shapes that Cloud Run gives it."""

from __future__ import annotations

import pytest

from plantctl.model.step import Body
from plantctl.steps import traffic

S = "projects/p/locations/l/services/s"
READY = f"{S}/revisions/s-2"
LATEST = {"type": traffic.LATEST, "percent": 100}


@pytest.mark.parametrize(
    ("statuses", "shares", "server"),
    [
        ([LATEST], {"s-2": 100}, "s-2"),
        ([{**LATEST, "revision": "s-2"}], {"s-2": 100}, "s-2"),
        ([{"type": traffic.REVISION, "revision": f"{S}/revisions/s-1", "percent": 100}], {"s-1": 100}, "s-1"),
        (
            [{"type": traffic.REVISION, "revision": "s-1", "percent": 90}, {"type": traffic.LATEST, "percent": 10}],
            {"s-1": 90, "s-2": 10},
            "",
        ),
        ([{"type": traffic.LATEST, "tag": "t"}], {}, ""),
        ([], {}, ""),
    ],
)
def test_shares(statuses: list[Body], shares: dict[str, int], server: str) -> None:
    service = {"latestReadyRevision": READY, "trafficStatuses": statuses}
    assert (traffic.shares(service), traffic.server(service)) == (shares, server)


@pytest.mark.parametrize(
    ("targets", "pinned"),
    [
        ([], False),
        ([LATEST], False),
        ([LATEST, {"type": traffic.REVISION, "revision": "s-1", "tag": "t"}], False),
        ([{"type": traffic.REVISION, "revision": "s-1", "percent": 100}], True),
        ([{"revision": "s-1", "percent": 1}, {"type": traffic.LATEST, "percent": 99}], True),
    ],
)
def test_traffic_is_pinned_when_a_named_revision_gets_some(targets: list[Body], pinned: bool) -> None:
    assert traffic.pinned({"traffic": targets}) is pinned


def test_tags_and_what_is_sent() -> None:
    status = {"type": traffic.REVISION, "revision": "s-1", "tag": "v1", "uri": "https://v1---s.run.app"}
    assert traffic.tags({"trafficStatuses": [LATEST, status]}) == {"v1": traffic.Tag("s-1", "https://v1---s.run.app")}
    assert traffic.split({"s-1": 100, "s-2": 0}, [("v1", "s-2")]) == [
        {"type": traffic.REVISION, "revision": "s-1", "percent": 100},
        {"type": traffic.REVISION, "revision": "s-2", "tag": "v1"},
    ]
    assert traffic.words({"latestReadyRevision": READY, "trafficStatuses": [LATEST]}) == "s-2 100 %"
    assert traffic.words({}) == "nothing"
