"""Jobs that fail, and stores that go away: retries, the dead and their operator, outages, lost streams."""

from __future__ import annotations

import time

import pytest

from backend.jobs.runner import RETRIES
from tests.backend.jobs.conftest import Desk, eventually

QUEUE = "plant:jobs"


def kind(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rsplit(":", 1)[1]  # type: ignore[attr-defined]


def test_a_poisonous_job_ends_with_the_dead_and_an_operator_revives_it(desk: Desk) -> None:
    job_id = desk.put({"event": "no.such"})
    worker = desk.start(JOB_RETRY_S="0.01")
    eventually(lambda: desk.job(job_id)["status"] == "dead", 30)
    dead = desk.job(job_id)
    assert (dead["attempts"], dead["error"]) == (RETRIES + 1, "ValueError: nobody is told of 'no.such'")
    assert [line["outcome"] for line in worker.jobs(job_id)] == ["retry"] * RETRIES + ["dead"]
    eventually(lambda: desk.store().hgetall(f"{QUEUE}:dead") == {str(job_id): dead["error"]}, 5)
    assert (desk.store().zcard(f"{QUEUE}:delayed"), desk.store().xlen(QUEUE)) == (0, 0)
    desk.store().xadd(QUEUE, {"job": job_id})  # a late duplicate does not wake it
    eventually(lambda: desk.store().xlen(QUEUE) == 0, 10)
    assert desk.job(job_id) == dead
    listed = desk.api.call("GET", "/admin/jobs?status=dead&name=notification.send", "olga").json()["items"]
    assert [job["id"] for job in listed] == [job_id]
    desk.api.sql(f"""UPDATE plant.outbox SET payload = '{{"event": "hire.start"}}' WHERE id = {job_id}""")
    again = desk.api.call("POST", f"/admin/jobs/{job_id}/retry", "olga")
    assert (again.status_code, again.json()["status"], again.json()["attempts"]) == (202, "queued", 0)
    desk.done(job_id)
    assert desk.store().exists(f"{QUEUE}:dead") == 0
    assert kind(desk.api.call("POST", f"/admin/jobs/{job_id}/retry", "olga")) == (409, "job-not-dead")
    events = f"SELECT actor_kind, detail->>'attempts' FROM plant.audit_event WHERE entity_id = '{job_id}'"
    assert desk.api.sql(f"{events} AND action = 'job.retry'") == f"operator|{RETRIES + 1}"


def test_retries_come_later_and_later(desk: Desk) -> None:
    job_id = desk.put({}, topic="of.a.newer.image")
    desk.start(JOB_RETRY_S="0.05")
    eventually(lambda: desk.job(job_id)["attempts"] >= 3, 20)
    job = eventually(lambda: (found := desk.job(job_id))["status"] == "failed" and found, 20)
    wait = f"SELECT extract(epoch FROM retry_at - finished_at) FROM plant.job_run WHERE scheduled_for = '{job_id}'"
    pause = float(desk.api.sql(wait))
    assert pause == pytest.approx(0.05 * 4 ** (job["attempts"] - 1), rel=0.11) or desk.job(job_id) != job
    assert "no handler for of.a.newer.image" in job["error"]


def test_a_job_that_kills_its_workers_is_given_up(desk: Desk) -> None:
    job_id = desk.put({"event": "hire.start"})
    row = f"('notification.send', '{job_id}', {RETRIES + 1})"
    desk.api.sql(f"INSERT INTO plant.job_run (name, scheduled_for, attempts) VALUES {row}")
    desk.start()
    eventually(lambda: desk.job(job_id)["status"] == "dead", 20)
    assert "ended in the middle of it 6 times" in desk.job(job_id)["error"]
    assert desk.told(job_id) == []


def test_an_entry_that_names_no_job_is_put_aside(desk: Desk) -> None:
    worker = desk.start()
    entries = [desk.store().xadd(QUEUE, {"job": text}) for text in ("", "x", "9" * 30)]
    desk.store().xadd(QUEUE, {"job": 987654321})  # a job that was purged
    eventually(lambda: desk.store().xlen(QUEUE) == 0, 20)
    assert set(desk.store().hgetall(f"{QUEUE}:dead")) == set(entries)
    assert len(worker.said("names no job")) == 3


def test_redis_away_and_back(desk: Desk) -> None:
    worker = desk.start()
    desk.done(desk.hire())
    desk.api.redis.kill()
    try:
        jobs = [desk.hire() for _ in range(3)]
        eventually(lambda: worker.said("relay plant:jobs: "), 10)
    finally:
        desk.api.redis.start()
    back = time.monotonic()
    for job_id in jobs:
        desk.done(job_id, 10)
    assert time.monotonic() - back < 5
    assert [len(desk.told(job_id)) for job_id in jobs] == [1, 1, 1]
    assert worker.said("relay plant:jobs: goes on")
    assert [line for line in worker.lines if line["severity"] == "ERROR"] == []


def test_a_redis_that_comes_back_empty_has_lost_no_job(desk: Desk) -> None:
    with desk.locked("account") as release:
        worker = desk.start()
        jobs = [desk.put({"event": "hire.start"}) for _ in range(6)]
        waiting = "SELECT count(*) FROM plant.outbox WHERE published_at IS NULL"
        eventually(lambda: desk.api.sql(waiting) == "0", 10)
        desk.api.redis.kill()
        desk.api.redis.start()
        back = time.monotonic()
        release()
        for job_id in jobs:
            desk.done(job_id, 10)
        assert time.monotonic() - back < 5
    assert [len(desk.told(job_id)) for job_id in jobs] == [1] * 6
    assert worker.said("jobs are published again")


def test_an_entry_that_a_failover_forgot_comes_again(desk: Desk) -> None:
    worker = desk.start()
    job_id = desk.hire()
    desk.done(job_id)
    forgotten = desk.put({"event": "hire.start"}, topic="notification.send")
    desk.done(forgotten)
    desk.api.sql(
        "UPDATE plant.outbox SET done_at = NULL, published_at = now() - interval '61 s' "
        f"WHERE id = {forgotten}; DELETE FROM plant.job_run WHERE scheduled_for = '{forgotten}'"
    )
    desk.done(forgotten, 20)
    assert (len(desk.told(job_id)), len(desk.told(forgotten))) == (1, 2)
    assert worker.said("1 jobs of plant:jobs were lost")


def test_the_database_away_and_back(desk: Desk) -> None:
    worker = desk.start()
    desk.done(desk.hire())
    desk.api.sql("ALTER ROLE plant_app CONNECTION LIMIT 0")
    try:
        desk.api.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'plant_app'")
        job_id = desk.put({"event": "hire.start"})
        eventually(lambda: worker.said("relay plant:jobs: too many connections"), 10)
    finally:
        desk.api.sql("ALTER ROLE plant_app CONNECTION LIMIT -1")
    done = f"SELECT done_at IS NOT NULL FROM plant.outbox WHERE id = {job_id}"
    eventually(lambda: desk.api.sql(done) == "t", 5)
    assert [line["severity"] for line in worker.lines if "stack_trace" in line] == []
    assert worker.stop() < 10
