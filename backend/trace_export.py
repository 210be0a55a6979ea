"""Which traces are kept, and how they leave: OTLP over HTTP, in batches, from a thread of their own.

Cloud Run sends `traceparent` with each request and marks hardly any as sampled (0.1 a second and instance, its page
"Using distributed tracing"); a sampler that obeys would keep nothing. So the ratio is taken of those, too, by the
trace's own id, and all processes that see one trace decide alike (backend 0.5).
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Tracer
from requests.auth import AuthBase

from backend.settings import Settings

_GOOGLE = ".googleapis.com"
_TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
_RENEW_S = 60.0  # before it runs out
_TIMEOUT_S = 5.0  # of one batch with its retries
_FLUSH_S = 1.0  # of the two seconds that the process has after its last request


class Counting(SpanExporter):
    """Passes spans on, and counts those that arrived and those that did not."""

    def __init__(self, inner: SpanExporter) -> None:
        self.inner = inner
        self.exported = self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends a batch; runs in the exporting thread."""
        result = self.inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        """Ends waiting between retries."""
        self.inner.shutdown()


class Traces:
    """The tracer of a serving process and the thread behind it; without OTLP_ENDPOINT neither."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tracer: Tracer | None = None
        self.counts: Counting | None = None
        self._provider: TracerProvider | None = None

    def open(self) -> None:
        """Starts the thread. Nothing is sent yet, nor is a token asked for."""
        if not self.settings.otlp_endpoint:
            return
        self.counts = Counting(_exporter(self.settings.otlp_endpoint))
        self._provider = provider(self.settings, sampler(self.settings.trace_sample_rate), self.counts)
        self.tracer = self._provider.get_tracer("backend")

    async def close(self) -> None:
        """Sends what is left, for a second at most: a collector that is away must not hold the process."""
        if self._provider is None:
            return
        thread = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, _FLUSH_S)


def sampler(rate: float) -> Sampler:
    """Keeps `rate` (0 to 1) of all traces but those that a caller had sampled, of which it keeps all."""
    ratio = TraceIdRatioBased(rate)
    return ParentBased(ratio, remote_parent_not_sampled=ratio)


def provider(settings: Settings, chosen: Sampler, exporter: SpanExporter) -> TracerProvider:
    """A provider of its own, never the process's global one. Cloud Trace wants the project in the resource."""
    attributes = {
        "service.name": settings.k_service,
        "service.version": settings.k_revision or "unknown",
        "service.instance.id": socket.gethostname(),
    }
    if settings.google_cloud_project:
        attributes["gcp.project_id"] = settings.google_cloud_project
    made = TracerProvider(chosen, Resource(attributes), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=2000))
    return made


class ServingAccount(AuthBase):
    """Puts the access token of Cloud Run's metadata server on a request; the token is asked for when it is needed.

    GCE_METADATA_HOST names another server, as for Google's own clients, of which this needs no more.
    """

    def __init__(self) -> None:
        host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
        self.url = f"http://{host}{_TOKEN}"
        self._token, self._until = "", 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Signs. Raises a RequestException when there is no token, which the exporter counts as a failed batch."""
        if time.monotonic() >= self._until:
            answer = requests.get(self.url, headers={"Metadata-Flavor": "Google"}, timeout=2)
            answer.raise_for_status()
            body = answer.json()
            self._token = body["access_token"]
            self._until = time.monotonic() + float(body["expires_in"]) - _RENEW_S
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _exporter(endpoint: str) -> OTLPSpanExporter:
    session = requests.Session()
    session.trust_env = False  # no proxy of the environment sees spans
    if (urlsplit(endpoint).hostname or "").endswith(_GOOGLE):
        session.auth = ServingAccount()
    return OTLPSpanExporter(endpoint, timeout=_TIMEOUT_S, compression=Compression.Gzip, session=session)
