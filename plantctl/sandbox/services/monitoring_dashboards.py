"""Cloud Monitoring v1: dashboards. Kept and shown with the defaults that recordings show; nothing is drawn."""

from __future__ import annotations

import re
import uuid
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.service import Body, Call
from plantctl.sandbox.services.monitoring import service

V1 = ("v1",)
DASHBOARDS = "monitoring.projects.dashboards"
LAYOUTS = ("gridLayout", "mosaicLayout", "rowLayout", "columnLayout")
ID = re.compile(r"[A-Za-z0-9_-]{1,63}")


@service.method(f"{DASHBOARDS}.create", versions=V1)
def create_dashboard(call: Call) -> Body:
    """The name may be chosen in the body (hazards section 2: then a second create is refused)."""
    project = call.name("parent").split("/")[1]
    chosen = str(call.body.get("name") or uuid.uuid4()).rsplit("/", 1)[-1]
    if call.body.get("etag"):
        raise errors.invalid("Field etag must not be set when a dashboard is created.", "dashboard.etag")
    if not ID.fullmatch(chosen):
        raise errors.invalid(f"Invalid dashboard id: {chosen}", "dashboard.name")
    key = f"monitoring/projects/{project}/dashboards/{chosen}"
    if key in call.store:
        raise errors.already_exists(f"Dashboard {chosen} already exists.")
    return _put(call, key, call.body)


@service.method(f"{DASHBOARDS}.get", versions=V1)
def get_dashboard(call: Call) -> Body:
    """One dashboard."""
    return _found(call)[1]


@service.method(f"{DASHBOARDS}.list", versions=V1)
def list_dashboards(call: Call) -> Body:
    """All dashboards of the project."""
    found = [body for _, body in call.store.list(f"monitoring/{call.name('parent')}/dashboards/")]
    return standard.page(found, call.params, "dashboards")


@service.method(f"{DASHBOARDS}.patch", versions=V1)
def patch_dashboard(call: Call) -> Body:
    """Replaces the whole definition; an etag that no longer holds answers 409 (hazards O07)."""
    key, live = _found(call)
    given = call.body.get("etag")
    if given and standard.stale(given, live["etag"]):
        raise errors.aborted("The etag of the dashboard does not match.")  # unverified: the words
    return _put(call, key, call.body)


@service.method(f"{DASHBOARDS}.delete", versions=V1)
def delete_dashboard(call: Call) -> Body:
    """Gone at once."""
    call.store.delete(_found(call)[0])
    return {}


def _found(call: Call) -> tuple[str, Body]:
    key = f"monitoring/{call.name()}"
    body = call.store.get(key)
    if body is None:
        raise errors.not_found("Requested entity was not found.")
    return key, body


def _put(call: Call, key: str, given: Body) -> Body:
    if not given.get("displayName"):
        raise errors.invalid("Field displayName must not be empty.", "dashboard.display_name")
    if sum(layout in given for layout in LAYOUTS) > 1:
        raise errors.invalid("A dashboard has one layout.", "dashboard.layout")
    _, _, project, _, chosen = key.split("/")
    body: Body = {field: _filled(value) for field, value in given.items() if field != "etag"}
    # the project's number stands in the name, whichever was given (recorded exchange)
    body["name"] = f"projects/{call.world.project_number(project)}/dashboards/{chosen}"
    body["etag"] = standard.etag(body)
    if call.params.get("validateOnly"):
        return body
    return call.store.put(key, body)


def _filled(value: Any) -> Any:
    """What the server adds to widgets, wherever they stand (recorded exchanges)."""
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if not isinstance(value, dict):
        return value
    body = {key: _filled(inner) for key, inner in value.items()}
    if "text" in body and isinstance(body["text"], dict):
        body["text"] = {"format": "MARKDOWN", "style": {}, **body["text"]}
    if "xyChart" in body:
        body["xyChart"] = _each(body["xyChart"], {"targetAxis": "Y1"})
    if "timeSeriesTable" in body:
        body["timeSeriesTable"] = _each(body["timeSeriesTable"], {"minAlignmentPeriod": "0s"})
    return body


def _each(chart: Body, default: Body) -> Body:
    return {**chart, "dataSets": [{**default, **one} for one in chart.get("dataSets", [])]}
