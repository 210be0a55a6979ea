"""Alert policies, channels and filters of Cloud Monitoring by REST; by gRPC: test_grpc."""

from __future__ import annotations

from typing import Any

import pytest

from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.services.monitoring_filter import of_body, parse
from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

BASE = f"monitoring/v3/projects/{PROJECT}"
FILTER = 'metric.type="run.googleapis.com/request_count" AND resource.type="cloud_run_revision"'
THRESHOLD: dict[str, Any] = {
    "filter": FILTER,
    "comparison": "COMPARISON_GT",
    "thresholdValue": 5,
    "duration": "0s",
    "aggregations": [{"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_RATE", "crossSeriesReducer": "REDUCE_SUM"}],
}


def policy(threshold: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A policy with one threshold."""
    condition = {"displayName": "c", "conditionThreshold": threshold or THRESHOLD}
    return {"displayName": "p", "combiner": "OR", "conditions": [condition], **more}


def create(sandbox: Sandbox, body: dict[str, Any]) -> Any:
    """A policy that has to be made."""
    return sandbox.ok("POST", f"{BASE}/alertPolicies", body)


def test_the_same_create_twice_makes_two(sandbox: Sandbox) -> None:
    one, two = (create(sandbox, policy()) for _ in range(2))
    assert one["name"] != two["name"]
    listed = sandbox.ok("GET", f"{BASE}/alertPolicies")
    assert listed["totalSize"] == 2
    assert sandbox.ok("GET", f"{BASE}/alertPolicies?filter=display_name%3D%22other%22") == {}


def test_a_mask_keeps_the_rest_and_no_mask_replaces_it(sandbox: Sandbox) -> None:
    made = create(sandbox, policy(userLabels={"team": "plant"}))
    path = f"monitoring/v3/{made['name']}"
    disabled = sandbox.ok("PATCH", f"{path}?updateMask=enabled", {"enabled": False})
    assert (disabled["enabled"], disabled["userLabels"]) == (False, {"team": "plant"})
    assert disabled["conditions"] == made["conditions"]
    assert disabled["mutationRecord"]["mutateTime"] > made["mutationRecord"]["mutateTime"]
    replaced = sandbox.ok("PATCH", path, policy())
    assert "userLabels" not in replaced
    assert replaced["creationRecord"] == made["creationRecord"]
    assert replaced["conditions"][0]["name"] != made["conditions"][0]["name"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (policy(conditions=[]), "one to six"),
        (policy({**THRESHOLD, "filter": 'metric.type="a/b"'}), 'restriction on "resource.type"'),
        (policy({**THRESHOLD, "filter": 'resource.type="r"'}), 'restriction on "metric.type"'),
        (policy({**THRESHOLD, "filter": 'metric.type="a" OR resource.type="b"'}), "restriction"),
        (policy({**THRESHOLD, "filter": "metric.type="}), "cannot be parsed"),
        (policy({**THRESHOLD, "comparison": "COMPARISON_GE"}), "COMPARISON_GT"),
        (policy({**THRESHOLD, "duration": "90s"}), "multiple of one minute"),
        (policy({**THRESHOLD, "aggregations": [{"alignmentPeriod": "30s", "perSeriesAligner": "ALIGN_MEAN"}]}), "60 s"),
        (policy({**THRESHOLD, "aggregations": [{"crossSeriesReducer": "REDUCE_SUM"}]}), "aligner"),
        (policy(userLabels={"Team": "plant"}), "user_labels"),
        (policy(combiner="COMBINE_UNSPECIFIED"), "combiner"),
        (policy(displayName=""), "display_name"),
        (policy(conditions=[{"displayName": "none"}]), "exactly one kind"),
        (policy(conditions=[{"conditionMatchedLog": {"filter": "severity>=ERROR"}}]), "rate limit"),
    ],
)
def test_what_the_documents_forbid_is_refused(sandbox: Sandbox, body: dict[str, Any], says: str) -> None:
    answer = sandbox.post(f"{BASE}/alertPolicies", body)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["error"]["message"]
    assert sandbox.ok("GET", f"{BASE}/alertPolicies") == {}


def test_a_metric_of_the_users_must_be_there_first(sandbox: Sandbox) -> None:
    kind = "custom.googleapis.com/plant/depth"
    wanted = policy({**THRESHOLD, "filter": f'metric.type="{kind}" AND resource.type="global"'})
    missing = sandbox.post(f"{BASE}/alertPolicies", wanted)
    assert missing.status_code == 404
    assert "Cannot find metric(s) that match type" in missing.json()["error"]["message"]
    descriptor = {"type": kind, "metricKind": "GAUGE", "valueType": "INT64"}
    sandbox.ok("POST", f"{BASE}/metricDescriptors", descriptor)
    assert create(sandbox, wanted)["enabled"]


def test_a_channel_needs_the_labels_of_its_type_and_hides_secrets(sandbox: Sandbox) -> None:
    path = f"{BASE}/notificationChannels"
    for wrong in (
        {"type": "email"},
        {"type": "email", "labels": {"email_address": "nobody"}},
        {"type": "email", "labels": {"email_address": "a@example.com", "colour": "red"}},
        {"type": "pigeon", "labels": {}},
    ):
        assert sandbox.post(path, wrong).status_code == 400, wrong
    made = sandbox.ok("POST", path, {"type": "pagerduty", "labels": {"service_key": "the-key"}})
    assert "the-key" not in str(sandbox.ok("GET", f"monitoring/v3/{made['name']}"))
    assert sandbox.ok("POST", path, {"type": "sms", "labels": {"number": "+1"}})["verificationStatus"] == "UNVERIFIED"
    assert sandbox.post(f"{BASE}/alertPolicies", policy(notificationChannels=[f"{made['name']}9"])).status_code == 404


LIVE = {
    "displayName": "cpu is high",
    "enabled": True,
    "userLabels": {"team": "plant", "plantctl-item": "cache.instance.monitoring"},
    "count": 3,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ('user_labels.team="plant"', True),
        ("user_labels.team='other'", False),
        ('user_labels.plantctl-item = "cache.instance.monitoring"', True),
        ('user_labels."plantctl-item" = "cache.instance.monitoring"', True),
        ("user_labels:team", True),
        ("user_labels:colour", False),
        ('display_name=starts_with("cpu") AND enabled=true', True),
        ('display_name=has_substring("disk") OR count>2', True),
        ('NOT display_name:"cpu"', False),
        ('-display_name:"disk" count>=3', True),
        ('(count<3 OR count=3) AND user_labels.team=one_of("a","plant")', True),
        ('display_name=monitoring.regex.full_match("cpu.*")', True),
        ('user_labels.colour!="red"', True),
    ],
)
def test_filters_hold_as_they_read(text: str, holds: bool) -> None:
    assert parse(text).holds(of_body(LIVE)) is holds


@pytest.mark.parametrize("text", ["a", "a=", "a=b)", "(a=b", "a=unknown(1)", "=b", 'a="b', "a=one_of()"])
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(ApiError):
        parse(text)


def test_a_dashboard_by_a_name_of_its_own(sandbox: Sandbox) -> None:
    path = f"monitoring/v1/projects/{PROJECT}/dashboards"
    text = {"columns": "2", "widgets": [{"text": {"content": "hello"}}]}
    chart: dict[str, Any] = {"dataSets": [{"timeSeriesQuery": {"timeSeriesFilter": {"filter": FILTER}}}]}
    body = {"name": f"projects/{PROJECT}/dashboards/plant", "displayName": "Plant", "gridLayout": text}
    made = sandbox.ok("POST", path, body)
    assert made["name"] == f"projects/{NUMBER}/dashboards/plant"
    assert made["gridLayout"]["widgets"][0]["text"] == {"content": "hello", "format": "MARKDOWN", "style": {}}
    assert sandbox.post(path, body).status_code == 409
    changed = {**body, "gridLayout": {"widgets": [{"xyChart": chart}]}, "etag": made["etag"]}
    after = sandbox.ok("PATCH", f"{path}/plant", changed)
    assert after["gridLayout"]["widgets"][0]["xyChart"]["dataSets"][0]["targetAxis"] == "Y1"
    assert sandbox.call("PATCH", f"{path}/plant", changed).status_code == 409
    assert sandbox.ok("GET", path)["dashboards"] == [after]
    # clients generated from protobuf ask for numbers, which for reducers are not positions
    by_number: dict[str, Any] = {"alignmentPeriod": "60s", "perSeriesAligner": 18, "crossSeriesReducer": 9}
    chart["dataSets"][0]["timeSeriesQuery"]["timeSeriesFilter"]["aggregation"] = by_number
    kept = sandbox.ok("PATCH", f"{path}/plant", {**body, "gridLayout": {"widgets": [{"xyChart": chart}]}})
    assert "ALIGN_PERCENTILE_99" in str(kept)
    assert "REDUCE_PERCENTILE_99" in str(kept)
    numbers = sandbox.ok("GET", f"{path}/plant?$alt=json;enum-encoding=int")
    found = numbers["gridLayout"]["widgets"][0]["xyChart"]["dataSets"][0]
    assert found["targetAxis"] == 1
    assert found["timeSeriesQuery"]["timeSeriesFilter"]["aggregation"] == by_number
    sandbox.ok("DELETE", f"{path}/plant")
    assert sandbox.get(f"{path}/plant").status_code == 404


CHECK: dict[str, Any] = {
    "displayName": "Plant health",
    "monitoredResource": {"type": "uptime_url", "labels": {"host": "api.example.com"}},
    "httpCheck": {"path": "health", "useSsl": True, "authInfo": {"username": "u", "password": "secret-word"}},
    "period": "60s",
    "timeout": "5s",
}


def test_an_uptime_check_fills_in_and_hides(sandbox: Sandbox) -> None:
    path = f"{BASE}/uptimeCheckConfigs"
    made = sandbox.ok("POST", path, CHECK)
    assert made["name"].startswith(f"projects/{PROJECT}/uptimeCheckConfigs/plant-health-")
    assert made["httpCheck"]["path"] == "/health"
    assert made["httpCheck"]["port"] == 443
    assert made["monitoredResource"]["labels"]["project_id"] == PROJECT
    assert "secret-word" not in str(sandbox.ok("GET", f"monitoring/v3/{made['name']}"))
    slower = sandbox.ok("PATCH", f"monitoring/v3/{made['name']}?updateMask=period", {"period": "300s"})
    assert (slower["period"], slower["timeout"]) == ("300s", "5s")
    elsewhere = {"monitoredResource": {"type": "uptime_url", "labels": {"host": "other"}}}
    moved = sandbox.call("PATCH", f"monitoring/v3/{made['name']}?updateMask=monitoredResource", elsewhere)
    assert moved.status_code == 400
    sandbox.ok("DELETE", f"monitoring/v3/{made['name']}")
    assert sandbox.ok("GET", path) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"period": "30s"},
        {"timeout": "90s"},
        {"displayName": ""},
        {"tcpCheck": {"port": 1}},
        {"selectedRegions": ["EUROPE", "ASIA_PACIFIC"]},
        {"httpCheck": {"validateSsl": True}},
    ],
)
def test_an_uptime_check_that_the_documents_forbid(sandbox: Sandbox, change: dict[str, Any]) -> None:
    assert sandbox.post(f"{BASE}/uptimeCheckConfigs", {**CHECK, **change}).status_code == 400
