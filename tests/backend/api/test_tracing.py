"""Traces: a tenth of what Cloud Run marks as not sampled, under the caller's ids, with the calls to the stores."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from backend import tracing
from backend.context import parent_of
from backend.settings import Settings
from backend.trace_export import ServingAccount, Traces, provider, sampler
from tests.backend.api.conftest import Api, _served, _settings
from tests.backend.wire import Client

REQUESTS, RATE = 2000, 0.1
SPREAD = 3 * (REQUESTS * RATE * (1 - RATE)) ** 0.5
PARENT = "b7ad6b7169203331"


class Receiver:
    """An OTLP collector on loopback: keeps every span as its resource and itself."""

    def __init__(self) -> None:
        self.spans: list[tuple[dict[str, str], Any]] = []
        self.tokens: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.keep(body, self.headers.get("Authorization", ""))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def keep(self, body: bytes, token: str) -> None:
        self.tokens.append(token)
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {pair.key: pair.value.string_value for pair in batch.resource.attributes}
            self.spans += [(resource, span) for scope in batch.scope_spans for span in scope.spans]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join(5)


@contextmanager
def traced(api: Api, receiver: Receiver) -> Iterator[str]:
    """The application with its traces going to the receiver; what is left is sent when the block ends."""
    settings = _settings(api.server, api.database, api.redis)
    with _served(settings.model_copy(update={"otlp_endpoint": receiver.url, "k_revision": "plant-00042"})) as address:
        yield address


def trace_ids(count: int) -> list[str]:
    """The same random ids in every run."""
    source = random.Random(20260114)
    return [f"{source.getrandbits(128):032x}" for _ in range(count)]


def test_a_tenth_of_what_the_platform_did_not_sample_arrives(api: Api, receiver: Receiver) -> None:
    ids = trace_ids(REQUESTS)

    async def send(port: int) -> list[int]:
        async with Client(port) as client:
            answers = [await client.ask("GET", "/version", {"traceparent": f"00-{name}-{PARENT}-00"}) for name in ids]
        return [answer.status for answer in answers]

    with traced(api, receiver) as address:
        assert asyncio.run(send(int(address.rpartition(":")[2]))) == [200] * REQUESTS
    kept = [span.trace_id.hex() for _, span in receiver.spans]
    assert abs(len(kept) - REQUESTS * RATE) <= SPREAD
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(ids)
    assert {span.parent_span_id.hex() for _, span in receiver.spans} == {PARENT}


class Kept(SpanExporter):
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.count += len(spans)
        return SpanExportResult.SUCCESS


@pytest.mark.parametrize(
    ("chosen", "least", "most"),
    [
        (sampler(RATE), REQUESTS * RATE - SPREAD, REQUESTS * RATE + SPREAD),
        (ParentBased(TraceIdRatioBased(RATE)), 0, 0),  # obeys the platform: the trap
        (ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON), REQUESTS, REQUESTS),
        (sampler(0), 0, 0),
    ],
)
def test_the_count_tells_samplers_apart(api: Api, chosen: Sampler, least: float, most: float) -> None:
    kept = Kept()
    made = provider(_settings(api.server, api.database, api.redis), chosen, kept)
    tracer = made.get_tracer("test")
    for name in trace_ids(REQUESTS):
        span = tracing.begin(tracer, "GET", "/", parent_of(f"00-{name}-{PARENT}-00"))
        if span is not None:
            tracing.end(span, "", 200, "")
    made.shutdown()
    assert least <= kept.count <= most


def test_a_sampled_request_shows_its_calls(api: Api, receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    trace = trace_ids(1)[0]
    headers = api.headers("ann") | {"traceparent": f"00-{trace}-{PARENT}-01"}
    with traced(api, receiver) as address:
        assert requests.get(f"{address}/api/v1/hires", headers=headers, timeout=10).status_code == 200
        assert requests.get(f"{address}/health", headers=headers, timeout=10).status_code == 200
    spans = {span.name: span for _, span in receiver.spans}
    root = spans["GET /api/v1/hires"]
    assert set(spans) >= {"GET /api/v1/hires", "redis EVALSHA", "pool acquire", "database read"}
    assert not any("health" in name for name in spans)
    assert {span.trace_id.hex() for span in spans.values()} == {trace}
    assert {span.parent_span_id for span in spans.values()} == {bytes.fromhex(PARENT), root.span_id}
    attributes = {pair.key: pair.value for pair in root.attributes}
    assert attributes["http.route"].string_value == "/api/v1/hires"
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["enduser.id"].string_value == api.people["ann"]["account"]
    resource = receiver.spans[0][0]
    assert (resource["service.name"], resource["service.version"]) == ("plant-backend", "plant-00042")
    assert resource["gcp.project_id"] == "waooaw-prod"
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    access = next(line for line in lines if "httpRequest" in line)
    assert access["logging.googleapis.com/spanId"] == root.span_id.hex()
    assert access["logging.googleapis.com/trace_sampled"] is True


def test_a_failure_is_marked_and_its_words_stay_here(api: Api, receiver: Receiver) -> None:
    headers = api.headers("ann") | {"traceparent": f"00-{trace_ids(1)[0]}-{PARENT}-01"}
    with traced(api, receiver) as address:
        missing = f"{address}/api/v1/hires/00000000-0000-4000-8000-000000000000?secret=words"
        assert requests.get(missing, headers=headers, timeout=10).status_code == 404
    assert {span.status.code for _, span in receiver.spans} == {0}  # not found is an answer
    assert "words" not in str(receiver.spans)


def test_a_collector_that_is_away_holds_nothing_up(api: Api) -> None:
    settings = _settings(api.server, api.database, api.redis)
    away = settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:9/v1/traces", "trace_sample_rate": 1.0})
    traces = Traces(away)
    traces.open()
    span = tracing.begin(traces.tracer, "GET", "/", None)
    assert span is not None
    tracing.end(span, "GET:/x", 200, "")

    async def close() -> float:
        started = asyncio.get_running_loop().time()
        await traces.close()
        return asyncio.get_running_loop().time() - started

    assert asyncio.run(close()) < 1.9
    assert traces.counts is not None
    assert traces.counts.exported == 0


def test_google_gets_the_serving_accounts_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """One token for many batches, from the metadata server."""
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Metadata-Flavor"))
            body = json.dumps({"access_token": f"ya29.{len(asked)}", "expires_in": 3599}).encode()
            self.send_response(200 if self.path.endswith("/service-accounts/default/token") else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
    account = ServingAccount()
    signed = [account(requests.Request("POST", "https://telemetry.googleapis.com/").prepare()) for _ in range(3)]
    server.shutdown()
    server.server_close()
    assert {request.headers["Authorization"] for request in signed} == {"Bearer ya29.1"}
    assert asked == ["Google"]


def test_without_an_endpoint_there_is_neither_tracer_nor_thread() -> None:
    environment = {"environment": "test", "db_host": "127.0.0.1", "database_password": "x", "db_sslmode": "disable"}
    before = set(threading.enumerate())
    traces = Traces(Settings.model_validate(environment))
    traces.open()
    assert traces.tracer is None
    assert set(threading.enumerate()) <= before
    asyncio.run(traces.close())
