"""Cloud Monitoring v3: alert policies. Names are the server's, so that the same create twice makes two of them.

Kept and shown; nothing evaluates them. Limits without another source are those of the discovery document's words.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.service import Body, Call, Service
from plantctl.sandbox.services import monitoring_filter

service = Service("monitoring", versions=("v3",))

POLICIES = "monitoring.projects.alertPolicies"
READ_ONLY = ("name", "creationRecord", "mutationRecord", "validity")
KINDS = (
    "conditionThreshold", "conditionAbsent", "conditionMatchedLog", "conditionMonitoringQueryLanguage",
    "conditionPrometheusQueryLanguage", "conditionSql",
)  # fmt: skip
LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
USERS = ("custom.googleapis.com/", "external.googleapis.com/", "logging.googleapis.com/user/")
"""Metrics that exist only once somebody made them (hazards O02)."""
MAX_FILTER = 2048
MAX_ALIGNMENT_S = 90_000.0


@service.method(f"{POLICIES}.create")
def create_policy(call: Call) -> Body:
    """Ids are assigned to the policy and its conditions; enabled unless said otherwise (recorded exchange)."""
    project = call.name().split("/")[1]
    name = f"projects/{project}/alertPolicies/{number()}"
    record = {"mutateTime": call.clock.rfc3339(), "mutatedBy": call.email}
    body = {**_given(call), "name": name, "creationRecord": record, "mutationRecord": record}
    return _put(call, body)


@service.method(f"{POLICIES}.get")
def get_policy(call: Call) -> Body:
    """One policy."""
    return _found(call)


@service.method(f"{POLICIES}.list")
def list_policies(call: Call) -> Body:
    """By filter; `totalSize` counts all pages (recorded exchange)."""
    return listed(call, "alertPolicies")


@service.method(f"{POLICIES}.patch")
def patch_policy(call: Call) -> Body:
    """The masked fields, or all of them without a mask; id and record of its creation stay."""
    live = _found(call)
    mask = str(call.params.get("updateMask") or "")
    body = standard.masked(live, _given(call), mask) if mask else _given(call)
    body |= {key: live[key] for key in ("name", "creationRecord")}
    body["mutationRecord"] = {"mutateTime": call.clock.rfc3339(), "mutatedBy": call.email}
    return _put(call, body)


@service.method(f"{POLICIES}.delete")
def delete_policy(call: Call) -> Body:
    """Gone at once."""
    call.store.delete(f"monitoring/{_found(call)['name']}")
    return {}


def number() -> str:
    """An id as Monitoring assigns them: up to 20 digits."""
    return str(secrets.randbelow(9 * 10**18) + 10**18)


def listed(call: Call, collection: str) -> Body:
    """A page of a collection of this project, by `filter` and `orderBy`, with `totalSize`."""
    prefix = f"monitoring/{call.name()}/{collection}/"
    wanted = monitoring_filter.parse(str(call.params.get("filter") or ""))
    found = [body for _, body in call.store.list(prefix) if wanted.holds(monitoring_filter.of_body(body))]
    for field in reversed([one.strip() for one in str(call.params.get("orderBy") or "").split(",") if one.strip()]):
        selector = field.removeprefix("-")
        found.sort(key=lambda body: str(monitoring_filter.of_body(body)(selector) or ""), reverse=field.startswith("-"))
    answer = standard.page(found, call.params, collection)
    return {**answer, "totalSize": len(found)} if found else answer


def check_labels(body: Body, field: str) -> None:
    """userLabels: at most 64, in lower case."""
    labels = body.get("userLabels") or {}
    bad = [key for key, value in labels.items() if not (LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value))]
    if bad or len(labels) > 64:
        text = f"Field {field}.user_labels had an invalid value: {bad[0] if bad else 'more than 64 entries'}"
        raise errors.invalid(text, f"{field}.user_labels")


def _given(call: Call) -> Body:
    return {key: value for key, value in call.body.items() if key not in READ_ONLY and value is not None}


def _found(call: Call) -> Body:
    body = call.store.get(f"monitoring/{call.name()}")
    if body is None:  # unverified: no recording has these words
        raise errors.not_found(f"Cannot find alert policy with id {call.name().rsplit('/', 1)[-1]}.")
    return body


def _put(call: Call, body: Body) -> Body:
    _check(call, body)
    conditions = []
    for condition in body["conditions"]:
        kept = str(condition.get("name", ""))
        name = kept if kept.startswith(f"{body['name']}/conditions/") else f"{body['name']}/conditions/{number()}"
        conditions.append({**condition, "name": name})
    body = {"enabled": True, **body, "conditions": conditions}
    return call.store.put(f"monitoring/{body['name']}", body)


def _check(call: Call, body: Body) -> None:
    conditions = body.get("conditions") or []
    if not 1 <= len(conditions) <= 6:
        _bad("conditions", len(conditions), "a policy can have from one to six conditions")
    if body.get("combiner", "COMBINE_UNSPECIFIED") == "COMBINE_UNSPECIFIED":  # unverified: that it is refused
        _bad("combiner", "COMBINE_UNSPECIFIED", "a combiner is required")
    if not body.get("displayName") or len(body["displayName"]) > 512:
        _bad("display_name", body.get("displayName", ""), "a name of at most 512 characters is required")
    check_labels(body, "alert_policy")
    for name in body.get("notificationChannels") or []:
        if f"monitoring/{call.world.canonical(name)}" not in call.store:  # unverified: code and words
            raise errors.not_found(f"Cannot find notification channel {name}.")
    logs = [one for one in conditions if "conditionMatchedLog" in one]
    if logs and (len(conditions) > 1 or not (body.get("alertStrategy") or {}).get("notificationRateLimit")):
        _bad("conditions", "condition_matched_log", "it must be the only condition, with a notification rate limit")
    for index, condition in enumerate(conditions):
        kinds = [kind for kind in KINDS if kind in condition]
        if len(kinds) != 1:
            _bad(f"conditions[{index}]", ", ".join(kinds), "exactly one kind of condition is required")
        if kinds[0] in ("conditionThreshold", "conditionAbsent"):
            where = f"conditions[{index}].condition_{kinds[0].removeprefix('condition').lower()}"
            _check_metric(call, condition[kinds[0]], where)


def _check_metric(call: Call, given: Body, where: str) -> None:
    _check_filter(call, str(given.get("filter", "")), f"{where}.filter", resource=True)
    if given.get("denominatorFilter"):
        _check_filter(call, given["denominatorFilter"], f"{where}.denominator_filter", resource=False)
    if given.get("comparison", "COMPARISON_GT") not in ("COMPARISON_GT", "COMPARISON_LT"):
        _bad(f"{where}.comparison", given["comparison"], "only COMPARISON_LT and COMPARISON_GT are supported")
    if _seconds(given.get("duration", "0s")) % 60:
        _bad(f"{where}.duration", given["duration"], "it must be a multiple of one minute")
    periods = [check_aggregation(one, where) for one in given.get("aggregations") or []]
    ratio = [check_aggregation(one, where) for one in given.get("denominatorAggregations") or []]
    if ratio and ratio != periods:
        _bad(f"{where}.denominator_aggregations", ratio, "both must use the same alignment period")


def _check_filter(call: Call, text: str, where: str, *, resource: bool) -> None:
    wanted = monitoring_filter.parse(text, f"alert_policy.{where}").equals
    for selector in ("metric.type", "resource.type") if resource else ("metric.type",):
        if selector not in wanted:
            _bad(where, text, f'must specify a restriction on "{selector}" in the filter')
    if len(text) > MAX_FILTER:
        _bad(where, text, f"at most {MAX_FILTER} characters")
    metric = wanted["metric.type"]
    project = call.name().split("/")[1]
    if metric.startswith(USERS) and f"monitoring/projects/{project}/metricDescriptors/{metric}" not in call.store:
        raise errors.not_found(
            f'Cannot find metric(s) that match type = "{metric}". If a metric was created recently, it could take up '
            "to 10 minutes to become available. Please try again soon."  # hazards O02
        )


def check_aggregation(given: Body, where: str) -> float:
    """Its alignment period in seconds; 400 where aligner, reducer and period do not go together."""
    aligner = given.get("perSeriesAligner", "ALIGN_NONE")
    reducer = given.get("crossSeriesReducer", "REDUCE_NONE")
    period = _seconds(given.get("alignmentPeriod", "0s"))
    if reducer != "REDUCE_NONE" and aligner == "ALIGN_NONE":
        _bad(f"{where}.aggregations", reducer, "a reducer needs an aligner other than ALIGN_NONE")
    if aligner != "ALIGN_NONE" and not 60 <= period <= MAX_ALIGNMENT_S:
        _bad(f"{where}.aggregations", f"{period:.0f}s", "the alignment period must be 60 s to 25 hours")
    return period


def _seconds(duration: Any) -> float:
    return float(str(duration).rstrip("s") or 0)


def _bad(field: str, value: object, why: str) -> None:
    where = f"alert_policy.{field}"
    raise errors.invalid(f'Field {where} had an invalid value of "{value}": {why}.', where)
