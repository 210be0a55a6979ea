"""The catalogue: filters, search, paging by key, validators and the cache."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.backend.api.conftest import Api


def every(api: Api, query: str) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        body = api.call("GET", f"/agents?{query}{cursor}").json()
        items += body["items"]
        if body["next_cursor"] is None:
            return items
        cursor = f"&cursor={body['next_cursor']}"


@pytest.mark.parametrize(
    ("sort", "column", "falling"),
    [("newest", "published_at", True), ("rating", "rating_avg", True), ("price", "monthly_price_minor", False)],
)
def test_pages_hold_every_agent_once_and_in_order(api: Api, sort: str, column: str, falling: bool) -> None:
    found = every(api, f"sort={sort}&limit=7")
    assert len(found) == len({item["slug"] for item in found}) == 48
    values = [item[column] or 0 for item in found]
    assert values == sorted(values, reverse=falling)


def test_filters_narrow(api: Api) -> None:
    marketing = every(api, "industry=marketing&limit=100")
    assert marketing
    assert {item["industry"]["slug"] for item in marketing} == {"marketing"}
    cheap = every(api, "max_price=900000&limit=100")
    assert cheap
    assert max(item["monthly_price_minor"] for item in cheap) <= 900000
    skilled = {item["slug"] for item in every(api, "skill=copywriting&limit=100")}
    assert "quillan-vale" in skilled
    role = every(api, "role=content-strategist&availability=available&limit=100")
    assert {(item["job_role"]["slug"], item["availability"]) for item in role} == {("content-strategist", "available")}
    assert every(api, "industry=no-such-industry") == []


def test_search_finds_words_and_parts_of_names(api: Api) -> None:
    assert [item["slug"] for item in every(api, "q=fraction fears")] == ["noor-halvorsen"]
    assert [item["slug"] for item in every(api, "q=halvors")] == ["noor-halvorsen"]
    assert every(api, "q=100%25") == []  # a percent sign is a percent sign
    assert every(api, "q=%27%22%3B--") == []


def test_detail_summary_and_lists(api: Api) -> None:
    agent = api.call("GET", "/agents/noor-halvorsen").json()
    assert [skill["slug"] for skill in agent["skills"] if skill["is_primary"]] == ["mathematics-teaching"]
    assert agent["industry"] == {"slug": "education", "name": "Education"}
    summary = api.call("GET", "/marketplace/summary").json()
    assert summary["agents"] == sum(row["agents"] for row in summary["industries"]) == 48
    assert len(api.call("GET", "/industries").json()["items"]) == 4
    assert len(api.call("GET", "/skills").json()["items"]) == 34
    roles = api.call("GET", "/job-roles?industry=sales").json()["items"]
    assert {role["industry"] for role in roles} == {"sales"}
    assert api.call("GET", f"/job-roles/{roles[0]['slug']}").json() == roles[0]


def test_drafts_are_not_shown(api: Api) -> None:
    draft = api.sql("SELECT slug FROM plant.agent WHERE listing <> 'published' LIMIT 1")
    answer = api.call("GET", f"/agents/{draft}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:plant:problem:not-found")


def test_validators_and_shared_caches(api: Api) -> None:
    first = api.call("GET", "/agents?limit=3")
    assert first.headers["Cache-Control"].startswith("public, max-age=60")
    again = api.call("GET", "/agents?limit=3", headers={"If-None-Match": f'"x", W/{first.headers["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert api.call("GET", "/agents?limit=4").headers["ETag"] != first.headers["ETag"]


def test_an_answer_is_read_from_redis(api: Api) -> None:
    """A change behind the application's back stays unseen until the generation moves."""
    path = "/agents/ezra-collins"
    before = api.call("GET", path).json()["tagline"]
    api.sql("UPDATE plant.agent SET tagline = 'changed behind' WHERE slug = 'ezra-collins'")
    assert api.call("GET", path).json()["tagline"] == before
    api.redis.ask("INCR", "cachegen:catalogue")
    deadline = time.monotonic() + 2
    while api.call("GET", path).json()["tagline"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("cursor", ["x", "%00", "AAAA", "WzEsMl0", "e30", "a" * 500, "WyJ4IiwieCIsIngiXQ", "ü"])
def test_a_broken_cursor_is_a_400(api: Api, cursor: str) -> None:
    answer = api.call("GET", f"/agents?cursor={cursor}")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:plant:problem:cursor")


def test_a_cursor_of_another_list_is_a_400(api: Api) -> None:
    cursor = api.call("GET", "/agents?limit=2").json()["next_cursor"]
    assert api.call("GET", f"/agents?limit=2&cursor={cursor}").status_code == 200
    assert api.call("GET", f"/agents?limit=2&sort=price&cursor={cursor}").status_code == 400
