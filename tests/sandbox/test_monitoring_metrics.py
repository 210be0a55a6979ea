"""Time series by Google's own client: what Cloud Run served, counted by the minute, and users' own points."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.types import Point, TimeSeries

from plantctl.sandbox.app import App
from plantctl.sandbox.services import monitoring_metrics
from tests.sandbox.conftest import PROJECT, Sandbox

NAME = f"projects/{PROJECT}"
COUNT = "run.googleapis.com/request_count"
LATENCIES = "run.googleapis.com/request_latencies"
DEPTH = "custom.googleapis.com/plant/depth"


@pytest.fixture
def metrics(sandbox: Sandbox, sandbox_app: App) -> Iterator[Any]:
    """Google's client for metrics."""
    kind = monitoring_v3.MetricServiceClient
    with grpc.insecure_channel(sandbox_app.endpoints["grpc"]) as channel:
        yield kind(transport=kind.get_transport_class("grpc")(channel=channel))


def serve(app: App, status: int = 200, latency_s: float = 0.02, revision: str = "plant-backend-00001-abc") -> None:
    """One request, as Cloud Run tells of it."""
    app.world.fire(
        "request-served",
        project=PROJECT,
        location="us-central1",
        service="plant-backend",
        revision=revision,
        status=status,
        latency_s=latency_s,
    )


def series(metrics: Any, kind: str, *, more: str = "", ahead_s: float = 60, **fields: Any) -> list[TimeSeries]:
    """What the last hour has of a metric."""
    now = time.time()
    interval = {"start_time": {"seconds": int(now - 3600)}, "end_time": {"seconds": int(now + ahead_s)}}
    asked = {"name": NAME, "filter": f'metric.type="{kind}"{more}', "interval": interval, "view": "FULL"}
    return list(metrics.list_time_series(request={**asked, **fields}))


def test_requests_are_counted_by_revision_and_code(metrics: Any, sandbox_app: App) -> None:
    for _ in range(3):
        serve(sandbox_app)
    serve(sandbox_app, status=503)
    serve(sandbox_app, revision="plant-backend-00002-def")
    found = {
        (one.resource.labels["revision_name"][14:19], one.metric.labels["response_code"]): one
        for one in series(metrics, COUNT)
    }
    total = {key: sum(point.value.int64_value for point in one.points) for key, one in found.items()}
    assert total == {("00001", "200"): 3, ("00001", "503"): 1, ("00002", "200"): 1}
    bad = found["00001", "503"]
    assert bad.metric.labels["response_code_class"] == "5xx"
    assert bad.resource.type == "cloud_run_revision"
    assert bad.resource.labels["service_name"] == "plant-backend"
    assert bad.metric_kind == 2  # google.api.MetricDescriptor: DELTA
    only = series(metrics, COUNT, more=' AND metric.labels.response_code_class="5xx"')
    assert [one.metric.labels["response_code"] for one in only] == ["503"]


def test_a_minute_read_in_parts_is_one_point(metrics: Any, sandbox_app: App) -> None:
    for latency_s in (0.010, 0.020):
        serve(sandbox_app, latency_s=latency_s)
    assert len(series(metrics, LATENCIES)) == 1
    serve(sandbox_app, latency_s=0.090)
    (one,) = series(metrics, LATENCIES)
    told = [point.value.distribution_value for point in one.points]
    assert sum(part.count for part in told) == 3
    if len(told) == 1:  # unless the minute turned meanwhile
        assert told[0].mean == pytest.approx(40)
        assert told[0].sum_of_squared_deviation == pytest.approx(3800)
        assert sum(told[0].bucket_counts) == 3
        # the slowest lies in the last bucket: its bounds hold 90 ms
        growth = told[0].bucket_options.exponential_buckets.growth_factor
        last = len(told[0].bucket_counts) - 1
        assert growth ** (last - 1) <= 90 < growth**last
    (counted,) = series(metrics, COUNT)
    assert sum(point.value.int64_value for point in counted.points) == 3


def test_time_that_passes_makes_points_newest_first(metrics: Any, sandbox: Sandbox, sandbox_app: App) -> None:
    serve(sandbox_app)
    sandbox.ok("PUT", "_sandbox/clock", {"advance_s": 600})
    serve(sandbox_app)
    (one,) = series(metrics, COUNT, ahead_s=1200)
    told: list[Any] = [point.interval for point in one.points]
    ends = [interval.end_time.timestamp() for interval in told]
    assert len(ends) == 2
    assert ends[0] - ends[1] > 500
    assert all(interval.end_time > interval.start_time for interval in told)
    assert series(metrics, COUNT, view="HEADERS", ahead_s=1200)[0].points == []
    sandbox.reset()
    assert series(metrics, COUNT) == []


def test_what_is_kept_is_bounded(sandbox: Sandbox, sandbox_app: App, metrics: Any) -> None:
    world = sandbox_app.world
    labels = {"project": PROJECT, "location": "r", "service": "s", "revision": "v", "code": "200"}
    begin = int(world.clock.now().timestamp()) // 60 - 5000
    for minute in range(begin, begin + monitoring_metrics.POINTS + 20):
        world.meters.count(minute, labels, 5.0)
    series(metrics, COUNT)
    bodies = [body for _, body in world.store.list(f"monitoring-series/{PROJECT}/")]
    assert [len(body["points"]) for body in bodies] == [monitoring_metrics.POINTS] * 2
    assert "monitoring-series" not in json.dumps(sandbox.ok("GET", "_sandbox/state"))


def point(value: int, ago_s: float = 0) -> TimeSeries:
    """One point of a user's metric."""
    end = time.time() - ago_s
    one = Point({"interval": {"end_time": {"seconds": int(end)}}, "value": {"int64_value": value}})
    return TimeSeries({"metric": {"type": DEPTH, "labels": {"queue": "mail"}}, "points": [one]})


def test_a_users_metric_is_made_by_its_first_point(metrics: Any) -> None:
    with pytest.raises(exceptions.NotFound):
        metrics.get_metric_descriptor(name=f"{NAME}/metricDescriptors/{DEPTH}")
    metrics.create_time_series(name=NAME, time_series=[point(3, ago_s=60)])
    descriptor = metrics.get_metric_descriptor(name=f"{NAME}/metricDescriptors/{DEPTH}")
    assert (descriptor.metric_kind, descriptor.value_type) == (1, 2)  # GAUGE, INT64
    assert [label.key for label in descriptor.labels] == ["queue"]
    metrics.create_time_series(name=NAME, time_series=[point(5)])
    (one,) = series(metrics, DEPTH)
    assert [read.value.int64_value for read in one.points] == [5, 3]
    assert one.resource.type == "global"
    with pytest.raises(exceptions.InvalidArgument, match="in order"):
        metrics.create_time_series(name=NAME, time_series=[point(4, ago_s=300)])
    metrics.delete_metric_descriptor(name=descriptor.name)
    kinds = [one.type for one in metrics.list_metric_descriptors(name=NAME)]
    assert kinds == [COUNT, LATENCIES]


def test_what_is_not_done_is_refused(metrics: Any) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=r"metric\.type"):
        series(metrics, COUNT, filter='resource.type="cloud_run_revision"')
    rate = {"alignment_period": {"seconds": 60}, "per_series_aligner": "ALIGN_RATE"}
    with pytest.raises(exceptions.MethodNotImplemented, match="aggregate"):
        series(metrics, COUNT, aggregation=rate)
    foreign = TimeSeries({"metric": {"type": COUNT}, "points": point(1).points})
    with pytest.raises(exceptions.InvalidArgument):
        metrics.create_time_series(name=NAME, time_series=[foreign])
