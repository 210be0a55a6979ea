"""JSON of runs, plans and tables: one object a line or one document, with a schema version, without secrets."""

from __future__ import annotations

import io
import json
from typing import Any

from plantctl.model.checklist import parse
from plantctl.views import tables
from plantctl.views.human import run_view
from plantctl.views.json_lines import JsonLinesView
from plantctl.views.plan import plan_document
from plantctl.views.text import Page
from tests.unit.views import samples


def events() -> list[dict[str, Any]]:
    out = io.StringIO()
    view = run_view("json", out=out, err=io.StringIO(), env={})
    assert isinstance(view, JsonLinesView)
    for event in samples.run():
        view(event)
    view.close()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_event_is_one_object_with_name_and_version() -> None:
    found = events()
    assert len(found) == len(samples.run())
    assert {event["schema_version"] for event in found} == {1}
    assert [event["event"] for event in found][:4] == ["run-started", "item-started", "item-checked", "item-finished"]


def test_a_run_ends_with_its_totals() -> None:
    last = events()[-1]
    assert last == {
        "schema_version": 1,
        "event": "run-finished",
        "at": "2026-11-23T10:24:45.000000Z",
        "run": "r1",
        "outcome": "failed",
        "changed": 1,
        "unchanged": 1,
        "failed": 1,
        "blocked": 2,
        "waiting": 1,
        "writes": 2,
        "requests": 41,
        "duration_s": 813.21,
        "critical_path_s": 797,
    }


def test_findings_have_changes_and_no_secret_or_fact() -> None:
    out = json.dumps(events()) + json.dumps(plan_document(samples.plan()))
    assert samples.HIDDEN not in out
    checked = [event for event in events() if event["event"] == "item-checked"][1]
    assert checked["finding"]["verdict"] == "missing"
    changes = {change["field"]: change for change in checked["finding"]["changes"]}
    assert changes["password"]["desired"] == "(sensitive)"
    assert changes["rootPassword"]["desired"] == "***"
    assert changes["settings.ipConfiguration.privateNetwork"]["desired"] == {
        "later": "(known after predeploy.network.vpc: selfLink)"
    }
    assert changes["settings.tier"]["restarts"] is True


def test_a_finished_item_tells_cause_and_hint() -> None:
    (failed,) = [event for event in events() if event.get("outcome") == "failed" and "item" in event]
    assert failed["hint"] == f"plantctl phase run --only {samples.TIER}"
    assert failed["reference"] == "operation-failed"


def test_a_plan_is_one_document() -> None:
    document: dict[str, Any] = json.loads(json.dumps(plan_document(samples.plan())))
    assert document["schema_version"] == 1
    assert document["summary"]["missing"] == 1
    assert document["summary"]["critical_path"] == [samples.SQL, samples.TIER]
    items = {item["id"]: item for item in document["items"]}
    assert items[samples.TIER]["restarts"] is True
    assert items[samples.USER]["reason"] == f"after {samples.SQL}"
    assert items[samples.SEED]["error"]["reference"] == "api-failure"
    assert items[samples.REVIEW]["question"]


def test_the_checklist_is_the_design_s_document() -> None:
    document: dict[str, Any] = json.loads(json.dumps(tables.status_document(samples.report())))
    assert list(document) == ["schema_version", "environment", "target", "summary", "items"]
    assert document["summary"]["total"] == 6
    assert document["summary"]["verified"] == 2
    assert document["summary"]["added"]["total"] == 1
    assert set(document["summary"]["added"]) == set(document["summary"]) - {"added"}
    sql = document["items"][1]
    assert sql | {"needs": [samples.PASSWORD], "since": "2026-11-23T10:11:12.000000Z", "by": "ada"} == sql
    assert sql["evidence"][1] == "job plant-ops-x7k2p"


def test_item_runs_lock_and_lists() -> None:
    item: dict[str, Any] = tables.item_document(samples.report().items[1], samples.history())
    assert [entry["kind"] for entry in item["history"]] == ["intent", "changed"]
    runs: dict[str, Any] = tables.runs_document(samples.runs())
    assert runs["runs"][1]["finished"] == "2026-11-22T11:11:12.000000Z"
    lock: dict[str, Any] = tables.lock_document(samples.lock(True))
    assert lock["lock"]["held"] is True
    assert tables.listing_document("backups", [{"started": samples.AT}])["backups"] == [
        {"started": "2026-11-23T10:11:12.000000Z"}
    ]


def test_phases() -> None:
    page = "# One\n> Note.\n\n## Group\n- [ ] Do it `one.g.a`\n  > How.\n- [ ] Then `one.g.b`\n  > How.\n"
    checklist = parse({"0-one.md": page})
    document: dict[str, Any] = tables.phases_document(checklist, with_step=frozenset({"one.g.a"}))
    assert document["phases"] == [{"id": "one", "title": "One", "items": ["one.g.a", "one.g.b"], "steps": 1}]
    assert tables.phases_text(checklist, Page()).splitlines()[1].split() == ["one", "2", "0", "One"]
