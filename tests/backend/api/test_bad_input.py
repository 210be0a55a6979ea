"""Bad input is a 4xx problem, never a 500; and every answer carries what it should."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.backend.api.conftest import Api

JSON = {"Content-Type": "application/json"}
KEYED = JSON | {"Idempotency-Key": "bad-input"}
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("path", "headers", "body", "statuses"),
    [
        ("/hires", KEYED, b'{"agent_slug": "' + b"a" * 300_000 + b'"}', {413}),
        ("/hires", KEYED, b'{"agent_slug": "x"', {422}),
        ("/hires", KEYED, b"\xff\xfe{}", {400, 422}),
        ("/hires", KEYED, b'{"agent_slug": "\xff"}', {400, 422}),
        ("/hires", KEYED, b'{"agent_slug": "\\ud800"}', {422}),
        ("/hires", KEYED, b'{"agent_slug": "a\\u0000b"}', {422}),
        ("/hires", KEYED, b'{"agent_slug": ["x"]}', {422}),
        ("/hires", KEYED, b'{"agent_slug": "x", "price_minor": 0}', {422}),
        ("/hires", KEYED, b"null", {422}),
        ("/hires", KEYED, b"", {422}),
        ("/hires", KEYED, DEEP, {400, 422}),
        ("/hires", KEYED | {"Content-Type": "text/plain"}, b'{"agent_slug": "x"}', {415, 422}),
        ("/hires", {"Idempotency-Key": "x"}, b'{"agent_slug": "x"}', {415, 422}),
        ("/hires", JSON | {"Idempotency-Key": "k" * 300}, b'{"agent_slug": "noor-halvorsen"}', {422}),
        ("/hires", JSON | {"Idempotency-Key": "\xfc"}, b'{"agent_slug": "noor-halvorsen"}', {400}),
        ("/hires/not-an-id/pause", {"If-Match": '"v1"'}, b"", {422}),
        ("/deliverables/%00/decision", JSON, b'{"decision": "approve"}', {422}),
        ("/auth/token", JSON, b"{}", {422}),
        ("/auth/token", {"Content-Type": "application/x-www-form-urlencoded"}, b"username=%00&password=x", {422}),
        ("/auth/token", {"Content-Type": "application/x-www-form-urlencoded"}, b"username=%ff&password=%ff", {401}),
        ("/auth/token", {"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\nbroken", {400, 422}),
        ("/no-such-path", JSON, b"{}", {404}),
        ("/industries", JSON, b"{}", {405}),
    ],
)
def test_bodies(api: Api, path: str, headers: dict[str, str], body: bytes, statuses: set[int]) -> None:
    who = "" if path.startswith("/auth") else "ann"
    check(api.call("POST", path, who, headers=headers, data=body), statuses)


def check(answer: Any, statuses: set[int]) -> None:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "request_id"} <= set(problem)
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=99999999999999999999",
        "limit=x",
        "max_price=-1",
        "max_price=99999999999999999999999",
        "max_price=1e9",
        "max_price=NaN",
        "q=%00",
        f"q={'a' * 201}",
        "industry=Not%20A%20Slug",
        "industry=%27%3B%20DROP%20TABLE",
        "sort=magic",
        "availability=asleep",
        f"cursor={'a' * 501}",
    ],
)
def test_queries(api: Api, query: str) -> None:
    check(api.call("GET", f"/agents?{query}"), {422})


@pytest.mark.parametrize("query", ["q=%ff%fe", "q=%F0%9F%8C%B1", "q=%27%20%26%20|%20!", "q=(((", "q=\\", "q=-"])
def test_odd_words_are_searched_for(api: Api, query: str) -> None:
    assert api.call("GET", f"/agents?{query}").status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("monthly_price_minor", 2**31),
        ("monthly_price_minor", -1),
        ("monthly_price_minor", 10**30),
        ("monthly_price_minor", 1.5),
        ("trial_days", 31),
        ("name", ""),
        ("name", "a" * 121),
        ("tagline", "a\u0000"),
        ("slug", "Not A Slug"),
        ("slug", "a" * 81),
        ("currency", "inr"),
        ("industry", "no-such"),
        ("job_role", "no-such"),
        ("skills", ["no-such"]),
        ("skills", ["copywriting", "copywriting"]),
        ("skills", ["copywriting"] * 21),
        ("partner_id", "00000000-0000-4000-8000-000000000000"),
    ],
)
def test_fields_of_an_agent(api: Api, field: str, value: Any) -> None:
    right = {"slug": "bad-input", "name": "x", "industry": "sales", "job_role": "content-strategist"}
    body = right | {"monthly_price_minor": 1} | {field: value}
    answer = api.call("POST", "/partner/agents", "pia", data=json.dumps(body), headers=JSON)
    check(answer, {422})
    assert any(field in error["where"] for error in answer.json()["errors"])
    assert api.sql("SELECT count(*) FROM plant.agent WHERE slug = 'bad-input'") == "0"


def test_a_body_that_grows_without_telling_its_size(api: Api) -> None:
    chunks = (b"x" * 50_000 for _ in range(7))
    check(api.call("POST", "/hires", "ann", headers=KEYED, data=chunks), {413})


def test_headers_of_every_answer(api: Api) -> None:
    for path, status in (("/agents", 200), ("/nowhere", 404), ("/me", 401), ("/health", 200)):
        answer = api.call("GET", path, headers={"X-Request-Id": "abc-12345"})
        assert answer.status_code == status
        assert answer.headers["X-Request-Id"] == "abc-12345"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers
        public = path == "/agents"
        assert answer.headers["Cache-Control"].startswith("public" if public else "private, no-store")
    strange = api.call("GET", "/health", headers={"X-Request-Id": "a b"}).headers["X-Request-Id"]
    assert re.fullmatch("[0-9a-f]{32}", strange)


def test_the_access_line(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    """The application runs in this process, so its lines come out here."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Forwarded-For": "203.0.113.7, 10.0.0.1"}
    capfd.readouterr()
    api.call("GET", "/agents?q=secret-words", headers=headers)
    api.call("GET", "/health")
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(lines) == 1  # probes are not told
    line = lines[0]
    assert line["severity"] == "INFO"
    assert line["logging.googleapis.com/trace"] == f"projects/waooaw-prod/traces/{trace}"
    assert (line["logging.googleapis.com/spanId"], line["logging.googleapis.com/trace_sampled"]) == (
        "b7ad6b7169203331",
        True,
    )
    request = line["httpRequest"]
    assert (request["requestMethod"], request["status"], request["remoteIp"]) == ("GET", 200, "203.0.113.7")
    assert re.fullmatch(r"\d+\.\d{6}s", request["latency"])
    assert "secret-words" not in json.dumps(line)
