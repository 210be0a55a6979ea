"""The checklist as code against the checklist as pages, against Google's one-writer rules, and against the clock."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pytest

from plantctl.cli.checklists import load
from plantctl.engine.graph import require_acyclic
from plantctl.gcp.operations import EXPECT_S
from plantctl.model.plant import Database, Plant
from plantctl.model.step import Step
from plantctl.sandbox.durations import DURATIONS
from plantctl.steps import STEPS, not_applicable
from plantctl.steps.context import Context
from tests.unit.source_tree import ROOT

LINES = {item.id: item for item in load().items}
BY_ID = {entry.id: entry for entry in STEPS}
ACTIONS: list[Step[Context]] = [entry for entry in STEPS if isinstance(entry, Step)]
CASES = ROOT / "tests/steps/cases"
EXPORT = "redis.projects.locations.instances.export"
RUN = "run.projects.locations.jobs.run"
SYNCHRONOUS_S = 6
"""Steps without a long-running operation: some requests, each with its way there and back."""


def test_every_step_is_a_line_with_the_same_title_in_the_same_order() -> None:
    assert {entry.id: entry.title for entry in STEPS} == {entry.id: LINES[entry.id].title for entry in STEPS}
    order = [item for item in LINES if item in BY_ID]
    assert [entry.id for entry in STEPS] == order
    assert len(BY_ID) == len(STEPS)


def test_the_first_phases_are_whole() -> None:
    lacking = [
        item
        for item in LINES
        if item.startswith(("predeploy.", "database.", "cache.", "backend.")) and item not in BY_ID
    ]
    assert lacking == list(not_applicable(Plant()))
    assert not_applicable(Plant(database=Database(dr_replica=True))) == {}


def test_needs_are_steps_and_lead_nowhere_twice() -> None:
    assert [(entry.id, need) for entry in STEPS for need in entry.needs if need not in BY_ID] == []
    assert [entry.id for entry in STEPS if len(set(entry.needs)) != len(entry.needs)] == []
    require_acyclic({entry.id: entry.needs for entry in STEPS})


def test_what_a_step_builds_on_it_also_needs() -> None:
    """Every fact that a body waits for is that of an item among the step's needs, direct or not."""
    created = {need: all_needs(need) for need in BY_ID}
    wants = {
        "predeploy.network.psa": {"predeploy.project.create", "predeploy.network.vpc"},
        "database.instance.create": {"predeploy.network.psa", "predeploy.project.apis"},
        "database.instance.users": {"predeploy.secret.database_password", "predeploy.secret.database_owner_password"},
        "database.ops.job": {"backend.image.push", "database.instance.create", "predeploy.network.connector"},
        "database.init.migrate": {"backend.image.push", "database.instance.database", "predeploy.sa.migrator"},
        "backend.service.deploy": {"backend.image.push", "cache.instance.create", "cache.instance.secrets"},
        "backend.worker.deploy": {"backend.image.push", "cache.instance.secrets", "predeploy.secret.api_keys"},
        "cache.instance.secrets": {"cache.instance.create", "predeploy.secret.redis_password"},
        "cache.instance.alerting": {"cache.instance.create", "monitoring.channel.create"},
        "cache.client.connect": {"backend.image.push", "cache.instance.secrets", "predeploy.network.connector"},
        "backend.image.build": {"predeploy.registry.repository", "predeploy.storage.buckets", "predeploy.sa.roles"},
    }
    assert {item: needed - created[item] for item, needed in wants.items()} == {item: set() for item in wants}


def all_needs(item: str) -> set[str]:
    """Direct and indirect needs."""
    direct = set(BY_ID[item].needs)
    return direct.union(*(all_needs(need) for need in direct)) if direct else set()


def written(item: str) -> set[str]:
    """What the cases of an item write to that takes one writer at a time."""
    found: set[str] = set()
    for path in (CASES / item).glob("*.json"):
        for call in json.loads(path.read_text()).get("calls", []):
            method, params = call["method"], call.get("params", {})
            if method.startswith("redis."):
                found.add("instance plant-redis")
            elif method.startswith("monitoring."):
                found.add("monitoring of the project")
            elif method.startswith("sql."):
                found.add(f"instance {params.get('instance', 'plant-postgres')}")
            elif method.endswith("setIamPolicy"):
                found.add(f"policy of {params.get('resource') or params['bucket']}")
            elif method.startswith("run.") and "name" in params:
                found.add(params["name"])
    return found


def test_two_steps_that_write_to_one_thing_share_a_lane() -> None:
    writers: defaultdict[str, list[Step[Context]]] = defaultdict(list)
    for step in ACTIONS:
        for thing in written(step.id):
            writers[thing].append(step)
    apart = [
        (thing, one.id, other.id)
        for thing, steps in writers.items()
        for one, other in combinations(steps, 2)
        if not set(one.lanes) & set(other.lanes)
    ]
    assert apart == []
    assert len(writers["instance plant-postgres"]) == 7
    assert len(writers["instance plant-redis"]) == 4
    assert len(writers["monitoring of the project"]) == 2
    assert len(writers["policy of projects/waooaw-prod"]) == 3
    assert len(writers["projects/waooaw-prod/locations/us-central1/jobs/plant-migrate"]) == 3
    assert len(writers["projects/waooaw-prod/locations/us-central1/services/plant-backend"]) == 5
    # secrets, bucket and repository have policies of their own: no lane makes them wait for each other
    assert {thing for thing, steps in writers.items() if len(steps) == 1 and "policy" in thing} >= {
        "policy of projects/waooaw-prod/secrets/JWT_SECRET_KEY",
        "policy of waooaw-prod-plant-source",
        "policy of projects/waooaw-prod/locations/us-central1/repositories/plant",
    }


def table_seconds(step: Step[Context]) -> float:
    """What the local durations say that making (else: mending) it and looking at it from inside takes."""
    states = [path for name in ("missing", "drifted-all", "drifted", "pending") if (path := case(step, name)).is_file()]
    made = json.loads(states[0].read_text()) if states else {}
    methods = [call["method"] for call in made.get("calls", [])]
    seconds = sum(DURATIONS.get(aliases(method), 0.0) for method in methods)
    seconds += DURATIONS["run.projects.locations.services.patch"] * step.id.endswith(".lifecycle")
    seconds += DURATIONS["containeranalysis.scan"] * ("scan" in step.id) + DURATIONS[EXPORT] * ("export" in step.id)
    return seconds + DURATIONS[RUN] * LOOKS.get(step.id, 0)


LOOKS = {
    "database.ops.job": 1,
    "database.init.migrate": 2,
    "database.init.seed": 1,
    "database.init.indexes": 1,
    "database.proxy.install": 1,
    "database.proxy.connect": 1,
    "database.proxy.tls": 1,
    "cache.client.install": 1,
    "cache.client.connect": 1,
    "cache.client.pool": 1,
    "cache.client.failover": 1,
}
"""Executions of plant-ops, or of its sister, that a verify (or the drill) runs."""


def case(step: Step[Context], name: str) -> Path:
    """The file of one case."""
    return CASES / step.id / f"{name}.json"


def aliases(method: str) -> str:
    """The name that the table of durations has for a method."""
    return method.replace("cloudbuild.projects.locations.builds", "cloudbuild.projects.builds")


@pytest.mark.parametrize("step", ACTIONS, ids=lambda step: step.id)
def test_a_steps_usual_duration_agrees_with_the_rehearsals(step: Step[Context]) -> None:
    seconds = table_seconds(step)
    if seconds == 0:
        assert step.expect_s <= SYNCHRONOUS_S
    else:
        assert seconds / 1.25 <= step.expect_s <= seconds * 1.25
    assert step.deadline_s >= 2 * step.expect_s


def test_the_durations_that_progress_lines_quote_agree_with_the_rehearsals() -> None:
    apart = {
        method: (seconds, DURATIONS.get(aliases(method)))
        for method, seconds in EXPECT_S.items()
        if not DURATIONS[aliases(method)] / 1.25 <= seconds <= DURATIONS[aliases(method)] * 1.25
    }
    assert apart == {}
