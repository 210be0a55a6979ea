"""Cloud Monitoring v3: metric descriptors and time series; Cloud Run's requests are counted here by the minute.

Kept: the last POINTS points of at most SERIES series a project. Series are given as they were written: aggregation is
refused, not ignored.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.meters import FINITE, GROWTH, Latencies
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services import monitoring_filter
from plantctl.sandbox.services.monitoring import service

POINTS = 1500
"""A day of minutes, and an hour."""
SERIES = 1000
PER_REQUEST = 200
"""Series in one timeSeries.create (CreateTimeSeriesRequest, quoted in Monitoring's quotas)."""
REQUEST_COUNT = "run.googleapis.com/request_count"
LATENCIES = "run.googleapis.com/request_latencies"
USERS = ("custom.googleapis.com/", "external.googleapis.com/")
DESCRIPTORS = "monitoring.projects.metricDescriptors"
TIME_SERIES = "monitoring.projects.timeSeries"
BUCKETS = {"exponentialBuckets": {"numFiniteBuckets": FINITE, "growthFactor": GROWTH, "scale": 1}}

_RUN_LABELS = [{"key": "response_code"}, {"key": "response_code_class"}]
BUILT_IN: dict[str, Body] = {
    REQUEST_COUNT: {"valueType": "INT64", "unit": "1", "displayName": "Request Count"},
    LATENCIES: {"valueType": "DISTRIBUTION", "unit": "ms", "displayName": "Request Latency"},
}
"""Google's own metrics that are fed here (Cloud Run metrics, by name)."""


# -- what Cloud Run serves


@service.on("request-served")
def count_request(
    world: World, *, project: str, location: str, service: str, revision: str, status: int, latency_s: float
) -> None:
    """One request that a revision answered; minutes that are over are written down."""
    labels = {"project": project, "location": location, "service": service, "revision": revision, "code": str(status)}
    minute = int(world.clock.now().timestamp()) // 60
    if world.meters.count(minute, labels, latency_s * 1000):
        _write_down(world, before=minute)


@service.on("clock-advanced")
def close_minute(world: World, *, seconds: float) -> None:
    """What was counted before the jump belongs to the time before it."""
    _write_down(world)


@service.on("reset")
def forget(world: World) -> None:
    """A new world has served nothing."""
    world.meters.clear()


def _write_down(world: World, before: int | None = None) -> None:
    """What was counted becomes points; all minutes of a series at once, for a body is copied whenever it is touched."""
    with world.store.transaction():
        revisions: dict[str, tuple[dict[str, str], list[tuple[int, Latencies]]]] = {}
        for minute, labels, counted in world.meters.take(before):
            revisions.setdefault(json.dumps(labels), (labels, []))[1].append((minute, counted))
        for labels, minutes in revisions.values():
            for kind in (REQUEST_COUNT, LATENCIES):
                key, body = _series(world, labels["project"], _of_run(kind, labels))
                for minute, counted in minutes:
                    _merge_minute(world, body, minute, counted)
                _keep(world, labels["project"], key, body)


def _of_run(kind: str, labels: dict[str, str]) -> Body:
    return {
        "metric": {
            "type": kind,
            "labels": {"response_code": labels["code"], "response_code_class": f"{labels['code'][0]}xx"},
        },
        "resource": {
            "type": "cloud_run_revision",
            "labels": {
                "project_id": labels["project"],
                "location": labels["location"],
                "service_name": labels["service"],
                "revision_name": labels["revision"],
                "configuration_name": labels["service"],
            },
        },
        "metricKind": "DELTA",
        "valueType": BUILT_IN[kind]["valueType"],
        "unit": BUILT_IN[kind]["unit"],
    }


def _merge_minute(world: World, body: Body, minute: int, counted: Latencies) -> None:
    """A minute may be written down in parts: whoever reads in the middle of it wants what is there."""
    start = _moment(minute * 60)
    points = body["points"]
    earlier = points.pop()["value"] if points and points[-1]["interval"]["startTime"] == start else None
    if body["valueType"] == "DISTRIBUTION":
        value: Body = {"distributionValue": _distribution(counted, (earlier or {}).get("distributionValue"))}
    else:
        value = {"int64Value": str(counted.count + int((earlier or {}).get("int64Value", 0)))}
    end = min(world.clock.now().timestamp(), (minute + 1) * 60.0)
    points.append({"interval": {"startTime": start, "endTime": _moment(max(end, minute * 60 + 0.001))}, "value": value})


def _distribution(counted: Latencies, earlier: Body | None) -> Body:
    """A distribution's body, with what an earlier part of the minute has written down."""
    count, total, square, buckets = counted.count, counted.total, counted.square, dict(counted.buckets)
    if earlier is not None:
        number, mean = int(earlier["count"]), float(earlier["mean"])
        count += number
        total += mean * number
        square += float(earlier["sumOfSquaredDeviation"]) + number * mean * mean
        for bucket, more in enumerate(earlier["bucketCounts"]):
            buckets[bucket] = buckets.get(bucket, 0) + int(more)
    mean = total / count
    return {
        "count": str(count),
        "mean": mean,
        "sumOfSquaredDeviation": max(0.0, square - count * mean * mean),
        "bucketOptions": BUCKETS,
        "bucketCounts": [str(buckets.get(bucket, 0)) for bucket in range(max(buckets) + 1)],
    }


# -- time series


@service.method(f"{TIME_SERIES}.list")
def list_series(call: Call) -> Body:
    """Points of an interval, newest first; the filter names one metric type."""
    _write_down(call.world)
    text = str(call.params.get("filter") or "")
    wanted = monitoring_filter.parse(text)
    if "metric.type" not in wanted.equals:
        raise _bad("filter", text, 'must specify a restriction on "metric.type" in the filter')
    aligners = [call.params.get(f"{one}.perSeriesAligner") for one in ("aggregation", "secondaryAggregation")]
    if any(one not in (None, "ALIGN_NONE") for one in aligners):
        raise errors.ApiError("UNIMPLEMENTED", "the sandbox does not aggregate time series: ask for ALIGN_NONE")
    end = str(call.params.get("interval.endTime") or "")
    if not end:
        raise _bad("interval.end_time", "", "an end is required")
    start = str(call.params.get("interval.startTime") or end)
    headers = call.params.get("view") == "HEADERS"
    found = []
    for _, body in call.store.list(f"monitoring-series/{call.name().split('/')[1]}/"):
        if not wanted.holds(monitoring_filter.of_body(body)):
            continue
        points = [one for one in reversed(body["points"]) if _within(one["interval"], start, end)]
        if points:
            series = {key: value for key, value in body.items() if key not in ("points", "unit")}
            found.append(series if headers else {**series, "points": points, "unit": body["unit"]})
    answer = standard.page(found, call.params, "timeSeries")
    return {**answer, "unit": str(BUILT_IN.get(wanted.equals["metric.type"], {}).get("unit", "1"))}


@service.method(f"{TIME_SERIES}.create")
def create_series(call: Call) -> Body:
    """One point a series, newer than the last one; the first makes the metric's descriptor."""
    given = call.body.get("timeSeries") or []
    if not 1 <= len(given) <= PER_REQUEST:
        raise _bad("time_series", len(given), f"1 to {PER_REQUEST} series are required")
    project = call.name().split("/")[1]
    for one in given:
        _write(call, project, one)
    return {}


def _write(call: Call, project: str, given: Body) -> None:
    kind = str((given.get("metric") or {}).get("type", ""))
    points = given.get("points") or []
    if not kind.startswith(USERS) or len(points) != 1 or len(points[0].get("value") or {}) != 1:
        raise _bad("time_series", kind, "one point with one value of a custom or external metric is required")
    (word,) = points[0]["value"]
    value_type = word.removesuffix("Value").upper()
    series = {
        "metric": {"type": kind, "labels": (given.get("metric") or {}).get("labels", {})},
        "resource": given.get("resource") or {"type": "global", "labels": {"project_id": project}},
        "metricKind": given.get("metricKind", "GAUGE"),
        "valueType": value_type,
        "unit": given.get("unit", "1"),
    }
    interval = points[0].get("interval") or {}
    end = str(interval.get("endTime", ""))
    key, body = _series(call.world, project, series)
    if not end or (body["points"] and _seconds(end) <= _seconds(body["points"][-1]["interval"]["endTime"])):
        # unverified: the words around the reason
        raise _bad("time_series", kind, "Points must be written in order. One or more of the points is too old.")
    body["points"].append({"interval": {"startTime": end, **interval}, "value": points[0]["value"]})
    _keep(call.world, project, key, body)
    descriptor = f"monitoring/projects/{project}/metricDescriptors/{kind}"
    if descriptor not in call.store:
        labels = [{"key": label} for label in sorted(series["metric"]["labels"])]
        kinds = {"metricKind": series["metricKind"], "valueType": value_type}
        call.store.put(descriptor, _descriptor(project, {"type": kind, "labels": labels, **kinds}))


def _series(world: World, project: str, series: Body) -> tuple[str, Body]:
    raw = json.dumps([series["metric"], series["resource"]], sort_keys=True).encode()
    key = f"monitoring-series/{project}/{hashlib.sha256(raw).hexdigest()[:24]}"
    return key, world.store.get(key) or {**series, "points": []}


def _keep(world: World, project: str, key: str, body: Body) -> None:
    if key not in world.store:
        kept = world.store.list(f"monitoring-series/{project}/")
        for old, _ in kept[: max(0, len(kept) + 1 - SERIES)]:
            world.store.delete(old)
    world.store.put(key, {**body, "points": body["points"][-POINTS:]})


# -- descriptors


@service.method(f"{DESCRIPTORS}.create")
def create_descriptor(call: Call) -> Body:
    """Makes or changes it (discovery document): the same create twice is one metric."""
    kind = str(call.body.get("type", ""))
    if not kind.startswith(USERS):
        raise _bad("metric_descriptor.type", kind, "the type must begin with custom.googleapis.com/")
    project = call.name().split("/")[1]
    body = _descriptor(project, call.body)
    return call.store.put(f"monitoring/{body['name']}", body)


@service.method(f"{DESCRIPTORS}.get")
def get_descriptor(call: Call) -> Body:
    """One metric, Google's or the user's."""
    return _found(call)


@service.method(f"{DESCRIPTORS}.list")
def list_descriptors(call: Call) -> Body:
    """Metrics that are fed here, and the user's."""
    project = call.name().split("/")[1]
    wanted = monitoring_filter.parse(str(call.params.get("filter") or ""))
    own = [_descriptor(project, {"type": kind}) for kind in BUILT_IN]
    own += [body for _, body in call.store.list(f"monitoring/projects/{project}/metricDescriptors/")]
    found = [one for one in own if wanted.holds(monitoring_filter.of_body({"metric": one}))]
    return standard.page(found, call.params, "metricDescriptors")


@service.method(f"{DESCRIPTORS}.delete")
def delete_descriptor(call: Call) -> Body:
    """Users' metrics only."""
    body = _found(call)
    if call.store.delete(f"monitoring/{body['name']}") is None:
        raise errors.denied("Only user-created metric descriptors can be deleted.")  # unverified: the words
    return {}


def _descriptor(project: str, given: Body) -> Body:
    kind = str(given["type"])
    if kind in BUILT_IN:
        given = {"metricKind": "DELTA", "labels": _RUN_LABELS, **BUILT_IN[kind], **given}
    return {**given, "name": f"projects/{project}/metricDescriptors/{kind}"}


def _found(call: Call) -> Body:
    name = call.name()
    _, project, _, kind = name.split("/", 3)
    body = call.store.get(f"monitoring/{name}")
    if body is None and kind not in BUILT_IN:
        raise errors.not_found(f"Could not find descriptor for metric '{kind}'.")
    return body or _descriptor(project, {"type": kind})


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def _within(interval: Body, start: str, end: str) -> bool:
    begun, ended = _seconds(str(interval["startTime"])), _seconds(str(interval["endTime"]))
    return begun <= _seconds(end) and ended > _seconds(start) - (0.0005 if start == end else 0.0)


def _bad(field: str, value: Any, why: str) -> errors.ApiError:
    return errors.invalid(f'Field {field} had an invalid value of "{value}": {why}', field)
