"""Cloud Monitoring v3: uptime checks. Kept and shown; nothing is checked. Names are the server's."""

from __future__ import annotations

import re
import secrets
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.service import Body, Call
from plantctl.sandbox.services.monitoring import check_labels, service
from plantctl.sandbox.services.monitoring_filter import of_body, parse

CHECKS = "monitoring.projects.uptimeCheckConfigs"
PERIODS = ("60s", "300s", "600s", "900s")
"""Discovery document, UptimeCheckConfig.period."""
REGIONS_LEAST = 3
"""Locations that a choice of regions must cover (discovery document, selectedRegions)."""
LOCATIONS = {"USA": 3}
"""Locations of a region, where there is more than one (the same)."""
HIDDEN = "******"
IMMUTABLE = ("monitoredResource", "resourceGroup")


@service.method(f"{CHECKS}.create")
def create_check(call: Call) -> Body:
    """The id begins with words of the display name (Monitoring docs); every period, region and port is filled in."""
    body = dict(call.body)
    words = re.sub(r"[^a-z0-9]+", "-", str(body.get("displayName", "")).lower()).strip("-")
    body["name"] = f"{call.name('parent')}/uptimeCheckConfigs/{words}-{secrets.token_urlsafe(8)}"
    return _put(call, body)


@service.method(f"{CHECKS}.get")
def get_check(call: Call) -> Body:
    """One check."""
    return _found(call)


@service.method(f"{CHECKS}.list")
def list_checks(call: Call) -> Body:
    """By filter, with `totalSize`."""
    wanted = parse(str(call.params.get("filter") or ""))
    kept = call.store.list(f"monitoring/{call.name('parent')}/uptimeCheckConfigs/")
    found = [body for _, body in kept if wanted.holds(of_body(body))]
    answer = standard.page(found, call.params, "uptimeCheckConfigs")
    return {**answer, "totalSize": len(found)} if found else answer


@service.method(f"{CHECKS}.patch")
def patch_check(call: Call) -> Body:
    """The masked fields; what is watched, and whether by HTTP or TCP, stays (gcp-edge, read-back differences)."""
    live = _found(call)
    mask = str(call.params.get("updateMask") or "")
    body = standard.masked(live, {k: v for k, v in call.body.items() if k != "name"}, mask)
    if any(body.get(key) != live.get(key) for key in IMMUTABLE) or ("httpCheck" in body) != ("httpCheck" in live):
        raise errors.invalid("The monitored resource and the kind of a check cannot be changed.")  # unverified: words
    return _put(call, body)


@service.method(f"{CHECKS}.delete")
def delete_check(call: Call) -> Body:
    """Gone at once."""
    call.store.delete(f"monitoring/{_found(call)['name']}")
    return {}


def _found(call: Call) -> Body:
    name = call.name()
    body = call.store.get(f"monitoring/{name}")
    if body is None:
        _, project, _, check = name.split("/")
        raise errors.not_found(f"Config not found for check {check} in project {project}")
    return body


def _put(call: Call, given: Body) -> Body:
    body = {"checkerType": "STATIC_IP_CHECKERS", "period": "60s", "timeout": "10s", **given}
    if not body.get("displayName"):
        raise _bad("display_name", "", "a display name is required")
    if body["period"] not in PERIODS:
        raise _bad("period", body["period"], f"it must be one of {', '.join(PERIODS)}")
    if not 1 <= float(body["timeout"].rstrip("s")) <= 60:
        raise _bad("timeout", body["timeout"], "it must be between 1 and 60 seconds")
    regions = body.get("selectedRegions") or []
    if regions and sum(LOCATIONS.get(region, 1) for region in regions) < REGIONS_LEAST:
        raise _bad("selected_regions", ", ".join(regions), "at least 3 locations are required")
    if ("httpCheck" in body) == ("tcpCheck" in body):
        raise _bad("check_request_type", "", "exactly one of http_check and tcp_check is required")
    check_labels(body, "uptime_check_config")
    if "monitoredResource" in body:
        resource = dict(body["monitoredResource"])
        resource["labels"] = {"project_id": call.project, **(resource.get("labels") or {})}
        body["monitoredResource"] = resource
    if "httpCheck" in body:
        body["httpCheck"] = _http(body["httpCheck"])
    return call.store.put(f"monitoring/{body['name']}", body)


def _http(given: dict[str, Any]) -> Body:
    """Passwords and, on request, headers are not read back; false is not said (recorded exchange)."""
    check = {"requestMethod": "GET", **{key: value for key, value in given.items() if value is not False}}
    check["path"] = f"/{str(given.get('path', '')).lstrip('/')}"
    check.setdefault("port", 443 if given.get("useSsl") else 80)
    if given.get("validateSsl") and not given.get("useSsl"):
        raise _bad("http_check.validate_ssl", "true", "it needs use_ssl")  # unverified: that it is refused
    if "authInfo" in check:
        check["authInfo"] = {**check["authInfo"], "password": HIDDEN}
    if check.get("body") and check.get("maskHeaders"):
        check["headers"] = {"Content-Length": "", **(check.get("headers") or {})}
    if check.get("maskHeaders"):
        check["headers"] = dict.fromkeys(check.get("headers") or {}, HIDDEN)
    return check


def _bad(field: str, value: object, why: str) -> errors.ApiError:
    where = f"uptime_check_config.{field}"
    return errors.invalid(f'Field {where} had an invalid value of "{value}": {why}.', where)
