"""Golden lines: what sinks, filters, log-based metrics and Error Reporting read is named as Google names it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message

from backend import logs
from backend.context import REQUEST, RequestContext, parent_of, trace_fields
from backend.middleware import Edge
from backend.settings import Settings
from backend.trace_export import Traces

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-00"
REPORTED = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
SETTINGS = {"environment": "test", "db_host": "127.0.0.1", "database_password": "x", "db_sslmode": "disable"}


@pytest.fixture(autouse=True)
def _revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "plant-backend")
    monkeypatch.setenv("K_REVISION", "plant-backend-00007-abc")


@pytest.fixture
def in_request() -> Iterator[None]:
    fields = trace_fields(parent_of(PARENT), "waooaw-prod")
    context = RequestContext("req-12345678", "203.0.113.7", fields, account_id="acc", method="GET", path="/x")
    token = REQUEST.set(context)
    yield
    REQUEST.reset(token)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_in_a_request(in_request: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.emit("NOTICE", "hello", hire="h1")
    (line,) = lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "severity": "NOTICE",
        "message": "hello",
        "logging.googleapis.com/trace": f"projects/waooaw-prod/traces/{TRACE}",
        "logging.googleapis.com/spanId": "b7ad6b7169203331",
        "logging.googleapis.com/trace_sampled": False,
        "request_id": "req-12345678",
        "hire": "h1",
    }


def test_a_line_of_the_standard_library(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logging.getLogger("uvicorn.error").warning("slow %s", "start")
    (line,) = lines(capsys)
    assert (line["severity"], line["message"]) == ("WARNING", "slow start")
    assert line["logging.googleapis.com/labels"] == {"logger": "uvicorn.error"}
    where = line["logging.googleapis.com/sourceLocation"]
    assert where["file"].endswith("test_logs.py")
    assert where["line"].isdigit()
    assert where["function"] == "test_a_line_of_the_standard_library"
    assert "@type" not in line


def test_an_error_without_a_stack_trace_is_reported_by_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logging.getLogger("relay").error("gave up")
    (line,) = lines(capsys)
    assert (line["severity"], line["@type"]) == ("ERROR", REPORTED)
    assert line["serviceContext"] == {"service": "plant-backend", "version": "plant-backend-00007-abc"}
    place = line["context"]["reportLocation"]
    assert (place["functionName"], place["lineNumber"] > 0) == (
        "test_an_error_without_a_stack_trace_is_reported_by_its_place",
        True,
    )


def ask(app: FastAPI, path: str, headers: dict[str, str]) -> list[Message]:
    """What an application sends for a GET."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET"}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"q=secret", "headers": raw, "scheme": "http"}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def broken() -> None:
    raise ZeroDivisionError("nothing left")


def test_an_exception_is_an_error_report(in_request: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    try:
        broken()
    except ZeroDivisionError:
        logging.getLogger("backend").exception("could not")
    (line,) = lines(capsys)
    assert (line["severity"], line["message"], line["@type"]) == ("ERROR", "could not", REPORTED)
    assert line["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert line["stack_trace"].endswith("ZeroDivisionError: nothing left\n")
    assert line["context"]["user"] == "acc"
    assert line["context"]["reportLocation"]["functionName"] == "broken"
    assert line["context"]["httpRequest"] == {
        "method": "GET",
        "url": "/x",
        "userAgent": "",
        "remoteIp": "203.0.113.7",
    }


@pytest.mark.parametrize("text", ["two\nlines\r\n", "\ud800", '"}, {"severity": "EMERGENCY"', "\u2028", "\x00", "ü"])
def test_whatever_a_message_holds_it_stays_one_line(capsys: pytest.CaptureFixture[str], text: str) -> None:
    logs.emit("INFO", text, agent=text)
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert json.loads(output)["message"] == json.loads(output)["agent"] == text


def test_a_request_that_breaks_gives_its_report_and_its_access_line(capsys: pytest.CaptureFixture[str]) -> None:
    app = FastAPI()

    @app.get("/broken")
    async def fail() -> None:
        broken()

    traces = Traces(Settings.model_validate(SETTINGS))
    app.add_middleware(Edge, project="waooaw-prod", hops=2, traces=traces)
    headers = {"traceparent": PARENT, "User-Agent": "probe/1", "X-Forwarded-For": "203.0.113.7, 10.0.0.1"}
    start, body = ask(app, "/broken", headers)
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    assert (start["status"], answered["content-type"]) == (500, "application/problem+json")
    assert b"ZeroDivision" not in body["body"]
    report, access = lines(capsys)
    assert report["severity"] == "ERROR"
    assert report["context"]["httpRequest"] == {
        "method": "GET",
        "url": "/broken",
        "userAgent": "probe/1",
        "remoteIp": "203.0.113.7",
        "responseStatusCode": 500,
    }
    assert report["context"]["reportLocation"]["functionName"] == "broken"
    assert access["severity"] == "ERROR"
    request = access["httpRequest"]
    assert re.fullmatch(r"\d+\.\d{6}s", request.pop("latency"))
    assert request == {
        "requestMethod": "GET",
        "requestUrl": "/broken",
        "status": 500,
        "responseSize": str(len(body["body"])),
        "userAgent": "probe/1",
        "remoteIp": "203.0.113.7",
        "protocol": "HTTP/1.1",
    }
    for line in (report, access):
        assert line["logging.googleapis.com/trace"] == f"projects/waooaw-prod/traces/{TRACE}"
        assert line["request_id"] == answered["x-request-id"]
    assert "secret" not in json.dumps([report, access])


@pytest.mark.parametrize(
    "header",
    ["", "x", PARENT.upper(), f"ff{PARENT[2:]}", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{TRACE}-{'0' * 16}-01"],
)
def test_what_is_no_parent(header: str) -> None:
    assert parent_of(header) is None
    assert trace_fields(parent_of(header), "waooaw-prod") == {}
