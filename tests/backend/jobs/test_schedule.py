"""The schedule: each slot once whatever the number of workers, and what time does to hires."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backend.jobs.handlers import BATCH, following
from backend.jobs.schedule import SCHEDULE, Every
from tests.backend.jobs.conftest import Desk, eventually

NAMES = sorted(every.name for every in SCHEDULE)
SLOTS = "SELECT topic FROM plant.outbox WHERE key IS NOT NULL {} ORDER BY topic"


@pytest.fixture
def hires(desk: Desk) -> Callable[..., str]:
    """Adds hires of new customers, and gives the first one's id; those of the test before are gone."""
    due = "(SELECT id FROM plant.customer WHERE business_name = 'due')"
    desk.api.sql(f"DELETE FROM plant.hire WHERE customer_id IN {due}")

    def add(count: int = 1, **columns: str) -> str:
        names, values = ", ".join(columns), ", ".join(columns.values())
        return desk.api.sql(
            "WITH made AS (INSERT INTO plant.customer (business_name, consent_at) "
            f"SELECT 'due', now() FROM generate_series(1, {count}) RETURNING id) "
            f"INSERT INTO plant.hire (customer_id, agent_id, price_minor, currency, {names}) SELECT made.id, a.id, 1, "
            f"'INR', {values} FROM made, plant.agent a WHERE a.slug = 'jobs-agent' RETURNING id"
        ).splitlines()[0]

    return add


def schedule_ran(desk: Desk) -> None:
    """A worker's first deed is the schedule's latest slots; waits until they and what follows from them are done."""
    desk.start()
    done = SLOTS.format("AND done_at IS NOT NULL AND position('/' IN key) = 0")
    eventually(lambda: desk.api.sql(done).splitlines() == NAMES, 20)
    eventually(lambda: desk.api.sql("SELECT count(*) FROM plant.outbox WHERE done_at IS NULL") == "0", 30)


def events(desk: Desk, hire: str) -> list[str]:
    audited = f"SELECT action || ' ' || actor_kind FROM plant.audit_event WHERE entity_id = '{hire}' ORDER BY id"
    told = f"SELECT payload->>'event' FROM plant.outbox WHERE payload->>'hire' = '{hire}' ORDER BY id"
    return [*desk.api.sql(audited).splitlines(), *desk.api.sql(told).splitlines()]


def test_two_workers_do_each_slot_once(desk: Desk) -> None:
    workers = [desk.start(), desk.start()]
    done = SLOTS.format("AND done_at IS NOT NULL")
    eventually(lambda: desk.api.sql(done).splitlines() == NAMES, 20)
    leader = desk.store().get("plant:jobs:leader")
    first = next(worker for worker in workers if f"-{worker.process.pid}-" in leader)
    first.kill()
    second = workers[1 - workers.index(first)]
    assert (len(first.said("leads the schedule")), second.said("leads the schedule")) == (1, [])
    eventually(lambda: f"-{second.process.pid}-" in (desk.store().get("plant:jobs:leader") or ""), 20)
    eventually(lambda: second.said("runtime.stats"), 20)
    runs = "SELECT name FROM plant.job_run ORDER BY name"
    assert desk.api.sql(SLOTS.format("")).splitlines() == desk.api.sql(runs).splitlines() == NAMES
    lines = [line["job"] for worker in workers for line in worker.lines if "job" in line]
    assert sorted(line["name"] for line in lines if line["outcome"] == "done") == NAMES


def test_slots_and_parts() -> None:
    assert Every("x", 300).slot(1795830899.9) == "2026-11-28T01:50:00+00:00"
    assert Every("x", 300).slot(1795830900) == "2026-11-28T01:55:00+00:00"
    assert Every("x", 3600).slot(1795830899.9) == "2026-11-28T01:00:00+00:00"
    assert [following("T"), following("T/2"), following("T/9")] == ["T/2", "T/3", "T/10"]


def test_trials_that_are_over_expire_in_batches(desk: Desk, hires: Callable[..., str]) -> None:
    over = hires(2 * BATCH + 50, state="'trial'", trial_ends_at="now() - interval '1 minute'")
    running = hires(state="'trial'", trial_ends_at="now() + interval '3 days'")
    schedule_ran(desk)
    states = "SELECT state, count(*), count(ended_at), min(end_reason) FROM plant.hire h JOIN plant.customer c"
    found = desk.api.sql(f"{states} ON c.id = h.customer_id WHERE business_name = 'due' GROUP BY state ORDER BY state")
    assert found.splitlines()[0].startswith(f"expired|{2 * BATCH + 50}|")
    assert events(desk, over) == ["hire.expire job", "hire.expire"]
    assert events(desk, running) == []
    parts = desk.api.sql("SELECT key FROM plant.outbox WHERE topic = 'trial_expire' ORDER BY id").splitlines()
    assert [part.partition("/")[2] for part in parts] == ["", "2", "3"]
    rows = "SELECT result->>'rows' FROM plant.job_run WHERE name = 'trial_expire' ORDER BY created_at"
    assert desk.api.sql(rows).splitlines() == ["100", "100", "50"]
    assert desk.api.sql(f"SELECT version, end_reason FROM plant.hire WHERE id = '{over}'") == "2|trial ended"


def test_customers_are_reminded_twice(desk: Desk, hires: Callable[..., str]) -> None:
    early = hires(state="'trial'", trial_ends_at="now() + interval '49 hours'")
    second = hires(state="'trial'", trial_ends_at="now() + interval '47 hours'")
    last = hires(state="'trial'", trial_ends_at="now() + interval '23 hours'", reminders="1")
    late = hires(state="'trial'", trial_ends_at="now() + interval '1 hour'")
    told = hires(state="'trial'", trial_ends_at="now() + interval '1 hour'", reminders="2")
    schedule_ran(desk)
    assert [events(desk, hire) for hire in (early, second, last, late, told)] == [
        [],
        ["hire.remind"],
        ["hire.remind"],
        ["hire.remind"],
        [],
    ]
    query = "SELECT reminders, version FROM plant.hire WHERE id = '{}'"
    assert [desk.api.sql(query.format(hire)) for hire in (second, last, late)] == ["1|1", "2|1", "2|1"]


def test_periods_renew_or_end(desk: Desk, hires: Callable[..., str]) -> None:
    over = {"period_ends_at": "now() - interval '1 hour'"}
    monthly = hires(state="'active'", plan="'monthly'", **over)
    quarterly = hires(state="'active'", plan="'quarterly'", **over)
    ending = hires(state="'active'", plan="'monthly'", cancel_at_period_end="true", end_reason="'too dear'", **over)
    paused = hires(state="'paused'", plan="'monthly'", **over)
    leaving = hires(state="'paused'", plan="'monthly'", cancel_at_period_end="true", **over)
    later = hires(state="'active'", plan="'monthly'", period_ends_at="now() + interval '1 hour'")
    schedule_ran(desk)
    query = (
        "SELECT state, round(extract(epoch FROM period_ends_at - now()) / 86400), coalesce(end_reason, ''), "
        "ended_at IS NOT NULL, version FROM plant.hire WHERE id = '{}'"
    )

    def seen(hire: str) -> tuple[str, int, str]:
        state, days, *rest = desk.api.sql(query.format(hire)).split("|")
        return state, int(days), "|".join(rest)

    assert seen(monthly)[::2] == ("active", "|f|2")
    assert 27 <= seen(monthly)[1] <= 31
    assert 88 <= seen(quarterly)[1] <= 92
    assert seen(ending) == ("cancelled", 0, "too dear|t|2")
    assert seen(paused) == ("paused", 0, "|f|1")
    assert seen(leaving) == ("cancelled", 0, "|t|2")
    assert seen(later) == ("active", 0, "|f|1")
    assert events(desk, monthly) == ["hire.renew job", "hire.renew"]
    assert events(desk, ending) == ["hire.end job", "hire.end"]


def test_what_nobody_needs_goes(desk: Desk) -> None:
    old = "INSERT INTO plant.outbox (topic, key, created_at, published_at, done_at) VALUES"
    week, month = "now() - interval '8 days'", "now() - interval '31 days'"
    desk.api.sql(f"{old} ('x', 'old', {week}, {week}, {week}), ('x', 'new', now(), now(), now())")
    desk.api.sql(f"{old} ('x', 'dead', {month}, {month}, NULL), ('x', 'dying', {week}, {week}, NULL)")
    run = "INSERT INTO plant.job_run (name, scheduled_for, status, finished_at) VALUES"
    desk.api.sql(f"{run} ('x', 'old', 'done', {week}), ('x', 'new', 'done', now())")
    desk.api.sql(f"{run} ('x', 'dead', 'dead', {month}), ('x', 'dying', 'dead', {week})")
    key = "INSERT INTO plant.idempotency_key (account_id, key, route, fingerprint, status_code, expires_at) VALUES"
    for name, expiry in (("gone", "now()"), ("kept", "now() + interval '1 hour'")):
        desk.api.sql(f"{key} (gen_random_uuid(), '{name}', 'x', sha256('x'), 201, {expiry})")
    desk.start()
    done = "SELECT count(*) FROM plant.job_run WHERE name = 'purge' AND status = 'done'"
    eventually(lambda: desk.api.sql(done) == "1", 20)
    left = "SELECT {0} FROM plant.{1} WHERE {2} = 'x' ORDER BY 1"
    assert desk.api.sql(left.format("key", "outbox", "topic")).splitlines() == ["dying", "new"]
    assert desk.api.sql(left.format("scheduled_for", "job_run", "name")).splitlines() == ["dying", "new"]
    kept = "SELECT key FROM plant.idempotency_key WHERE key IN ('gone', 'kept')"
    assert desk.api.sql(kept) == "kept"
