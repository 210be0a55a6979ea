"""The cache phase on an empty project, silent after that, repaired when somebody meddles, failed over on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.operator import PROJECT, Done, Operator

INSTANCE = f"redis/v1/projects/{PROJECT}/locations/us-central1/instances/plant-redis"
JOB = f"cloudscheduler/v1/projects/{PROJECT}/locations/us-central1/jobs/plant-redis-export"
POLICIES = f"monitoring/v3/projects/{PROJECT}/alertPolicies"
SECRET = f"secretmanager/v1/projects/{PROJECT}/secrets/REDIS_PASSWORD"
RUN = "run.projects.locations.jobs.run"
FAILOVER = "redis.projects.locations.instances.failover"
DAY_S = 86_400


@pytest.fixture(scope="module")
def first(ground: Path, source: Path) -> Iterator[tuple[Operator, Done]]:
    """`phase run cache` on an empty project, for the tests of this file; each leaves it whole."""
    operator = Operator(ground / "cache", source=source)
    operator.up()
    try:
        yield operator, operator.run("cache")
    finally:
        operator.leave()


@pytest.fixture
def cache(first: tuple[Operator, Done]) -> Operator:
    """The operator after the first run."""
    operator, run = first
    assert run.code == 0, run.failures
    return operator


def change(operator: Operator, body: dict[str, Any], mask: str) -> None:
    """Patch the instance behind plantctl's back, to the operation's end."""
    operation = operator.call("PATCH", f"{INSTANCE}?updateMask={mask}", body)
    deadline = time.monotonic() + 60
    while not operation.get("done"):
        assert time.monotonic() < deadline, operation
        time.sleep(0.02)
        operation = operator.call("GET", f"redis/v1/{operation['name']}")
    assert "error" not in operation, operation


def applied(operator: Operator, since: int) -> list[str]:
    """Writes that are no looks from inside."""
    return [entry["method_id"] for entry in operator.writes(since) if entry["method_id"] != RUN]


def planned(done: Done) -> dict[str, str]:
    """Fields that differ, by item."""
    return {
        item["id"]: ", ".join(str(change["field"]) for change in item["changes"])
        for item in done.document["items"]
        if item.get("changes")
    }


def test_an_empty_project_ends_verified_without_a_person(first: tuple[Operator, Done]) -> None:
    operator, run = first
    assert run.code == 0, run.failures
    checklist = operator.checklist()
    items = {item: entry["status"] for item, entry in checklist.items() if item.startswith("cache.")}
    assert len(items) == 10
    assert set(items.values()) == {"verified"}
    assert checklist["monitoring.channel.create"]["status"] == "verified"
    assert not [item for item in run.items("changed", "unchanged") if item.startswith("database.")]
    words = {item: "\n".join(checklist[item]["evidence"]) for item in items}
    assert "without AUTH: refused" in words["cache.client.connect"]
    assert "by a client that does not know the CA: refused" in words["cache.client.connect"]
    assert "without TLS: refused" in words["cache.client.connect"]
    assert "acknowledged writes are gone" in words["cache.client.failover"]
    assert "next by the schedule" in words["cache.instance.export"]
    assert [entry["method_id"] for entry in operator.wire() if entry["method_id"] == FAILOVER] == [FAILOVER]


def test_a_second_run_is_silent_also_on_the_next_day(cache: Operator) -> None:
    since = cache.mark()
    again = cache.run("cache")
    assert (again.code, again.finished["writes"]) == (0, 0)
    assert cache.writes(since) == []
    cache.control("PUT", "clock", {"advance_s": DAY_S})
    exports = len(cache.do("backup", "list", "cache", "--format", "json").document["exports"])
    deadline = time.monotonic() + 60
    while exports < 2:  # the schedule, not plantctl, has exported
        assert time.monotonic() < deadline
        exports = len(cache.do("backup", "list", "cache", "--format", "json").document["exports"])
    next_day = cache.run("cache")
    assert (next_day.code, next_day.finished["writes"]) == (0, 0)
    assert cache.writes(since) == []


def evict_anything(operator: Operator) -> None:
    """The policy under which the job queue's keys would go."""
    change(operator, {"redisConfigs": {"maxmemory-policy": "allkeys-lru"}}, "redisConfigs")


def pause(operator: Operator) -> None:
    """The schedule of the export."""
    operator.call("POST", f"{JOB}:pause", {})


def delete_policy(operator: Operator) -> None:
    """The alert for memory."""
    found = operator.call("GET", POLICIES)["alertPolicies"]
    memory = next(policy for policy in found if policy["userLabels"]["plantctl-item"] == "redis-memory")
    operator.call("DELETE", f"monitoring/v3/{memory['name']}")


def mute(operator: Operator) -> None:
    """The channel, so that alerts reach nobody."""
    [channel] = operator.call("GET", f"monitoring/v3/projects/{PROJECT}/notificationChannels")["notificationChannels"]
    operator.call("PATCH", f"monitoring/v3/{channel['name']}?updateMask=enabled", {"enabled": False})


TAMPERINGS = (
    (evict_anything, "cache.instance.create", "redisConfigs", "redis.projects.locations.instances.patch"),
    (pause, "cache.instance.export", "plant-redis-export state", "cloudscheduler.projects.locations.jobs.resume"),
    (delete_policy, "cache.instance.alerting", "redis-memory", "monitoring.projects.alertPolicies.create"),
    (mute, "monitoring.channel.create", "enabled", "monitoring.projects.notificationChannels.patch"),
)


def test_what_somebody_changed_is_named_and_repaired(cache: Operator) -> None:
    before = cache.mark()
    for tamper, *_ in TAMPERINGS:
        tamper(cache)
    plan = cache.do("phase", "plan", "cache", "--detailed-exitcode", "--format", "json")
    assert plan.code == 3, plan.out + plan.err
    found = planned(plan)
    assert set(found) == {item for _, item, _, _ in TAMPERINGS}
    assert [item for _, item, field, _ in TAMPERINGS if field not in found[item]] == [], found
    assert cache.writes(before) == []
    done = cache.run("cache")
    assert done.code == 0, done.failures
    assert sorted(applied(cache, before)) == sorted(method for *_, method in TAMPERINGS)
    assert cache.run("cache").finished["writes"] == 0


def test_a_rotated_password_is_noticed_and_stored_once(cache: Operator) -> None:
    old = cache.call("GET", f"{SECRET}/versions")["versions"]
    change(cache, {"authEnabled": False}, "authEnabled")
    change(cache, {"authEnabled": True}, "authEnabled")
    before = cache.mark()
    plan = cache.do("phase", "plan", "cache", "--detailed-exitcode", "--format", "json")
    assert plan.code == 3, plan.out + plan.err
    assert "REDIS_PASSWORD" in planned(plan)["cache.instance.secrets"]
    done = cache.run("cache")
    assert done.code == 0, done.failures
    added, patched = "secretmanager.projects.secrets.addVersion", "run.projects.locations.jobs.patch"
    assert applied(cache, before) == [added, patched], "and no failover: that was proved on this instance"
    versions = cache.call("GET", f"{SECRET}/versions")["versions"]
    assert len(versions) == len(old) + 1
    assert {version["state"] for version in versions} == {"ENABLED"}, "what serves still pins the old one"
    auth = cache.call("GET", f"{INSTANCE}/authString")["authString"]
    assert auth not in done.out + done.err + plan.out + plan.err
    again = cache.run("cache")
    assert again.finished["writes"] == 0


def test_a_drill_tells_gap_and_loss(cache: Operator) -> None:
    zone = cache.call("GET", INSTANCE)["currentLocationId"]
    since = cache.mark()
    done = cache.do("drill", "failover", "redis", "--format", "json")
    assert done.code == 0, done.out + done.err
    drill = done.document["drill"]
    assert (drill["target"], drill["before"]) == ("redis", zone)
    assert drill["after"] == cache.call("GET", INSTANCE)["currentLocationId"] != zone
    assert 0 < drill["gap_s"] < 60
    assert 0 <= drill["lost"] < drill["acknowledged"]
    assert applied(cache, since) == [FAILOVER]
    assert cache.run("cache").finished["writes"] == 0


def test_a_drill_without_a_cache_says_what_to_type(fresh: Callable[..., Operator]) -> None:
    operator = fresh()
    done = operator.do("drill", "failover", "redis")
    assert done.code == 1
    assert "plantctl phase run" in done.err


def test_an_export_on_demand_is_listed_first(cache: Operator) -> None:
    before = cache.do("backup", "list", "cache", "--format", "json").document["exports"]
    made = cache.do("backup", "create", "cache", "--format", "json")
    assert made.code == 0, made.err
    after = cache.do("backup", "list", "cache", "--format", "json").document["exports"]
    assert after[0] == made.document["export"]
    assert len(after) == len(before) + 1
    assert [export["current"] for export in after] == [True] + [False] * len(before)


@pytest.mark.acceptance
def test_a_run_killed_in_the_middle_of_the_failover_does_not_call_it_twice(fresh: Callable[..., Operator]) -> None:
    operator = fresh()
    operator.up()
    process = operator.start("phase", "run", "cache", "--format", "json")
    deadline = time.monotonic() + 200
    seen: list[dict[str, Any]] = []
    while FAILOVER not in [entry["method_id"] for entry in seen]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        seen += operator.wire(seen[-1]["seq"] if seen else 0)  # short answers: the sandbox has other work to do
        time.sleep(0.1)
    process.kill()
    operator.end(process)
    done = operator.run("cache")
    assert done.code == 0, done.failures
    assert [entry["method_id"] for entry in operator.wire()].count(FAILOVER) == 1
    assert operator.checklist()["cache.client.failover"]["status"] == "verified"
    assert operator.run("cache").finished["writes"] == 0
