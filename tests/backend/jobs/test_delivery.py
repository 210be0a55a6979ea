"""A job is done soon, and once, whatever happens to the worker that has it."""

from __future__ import annotations

import time

from tests.backend.jobs.conftest import Desk, eventually

QUEUE, GROUP = "plant:jobs", "workers"


def holder(desk: Desk, job_id: int) -> int:
    """The process that has the job."""

    def look() -> int:
        store = desk.store()
        for entry in store.xpending_range(QUEUE, GROUP, "-", "+", 50):
            fields = store.xrange(QUEUE, entry["message_id"], entry["message_id"])
            if fields and fields[0][1] == {"job": str(job_id)}:
                return int(entry["consumer"].rsplit("-", 2)[1])
        return 0

    eventually(lambda: desk.store().exists(QUEUE), 20)
    return eventually(look, 20)


def added(desk: Desk) -> int:
    """How many entries were ever put into the stream."""
    store = desk.store()
    return int(store.xinfo_stream(QUEUE)["entries-added"]) if store.exists(QUEUE) else 0


def test_a_job_of_the_api_is_done_within_ten_seconds(desk: Desk) -> None:
    worker = desk.start()
    started = time.monotonic()
    job_id = desk.hire()
    desk.done(job_id, 10)
    assert time.monotonic() - started < 10
    job = desk.job(job_id)
    assert (job["name"], job["attempts"], job["result"]) == ("notification.send", 1, {"recipients": 1})
    assert [told["recipients"] for told in desk.told(job_id)] == [[desk.api.people["pia"]["account"]]]
    listed = desk.api.call("GET", f"/admin/jobs?request_id={job['request_id']}", "olga").json()["items"]
    assert listed == [job]
    line = next(line for line in worker.lines if line.get("job", {}).get("id") == job_id)
    assert (line["severity"], line["request_id"]) == ("INFO", job["request_id"])
    assert {"name": "notification.send", "outcome": "done", "attempts": 1}.items() <= line["job"].items()
    assert 0 < line["job"]["duration_s"] < 5
    eventually(lambda: desk.store().xlen(QUEUE) == 0, 10)


def test_also_when_its_worker_is_killed_in_the_middle(desk: Desk) -> None:
    first, second = desk.start(), desk.start()
    desk.api.call("GET", "/me", "olga")  # the API knows her, and needs no account below
    desk.api.add("jobber", "customer")
    with desk.locked("agent_skill") as release:
        desk.api.sql(
            "CREATE OR REPLACE FUNCTION plant.held() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM FROM plant.agent_skill; RETURN new; END $$; "
            "CREATE TRIGGER held BEFORE UPDATE OF done_at ON plant.outbox FOR EACH ROW EXECUTE FUNCTION plant.held()"
        )
        try:
            started = time.monotonic()
            job_id = desk.hire()
            victim = {worker.process.pid: worker for worker in (first, second)}[holder(desk, job_id)]
            eventually(lambda: desk.job(job_id)["status"] == "running", 5)
            victim.kill()
            release()
            desk.done(job_id, 10)
            assert time.monotonic() - started < 10
        finally:
            release()
            desk.api.sql("DROP TRIGGER held ON plant.outbox; DROP FUNCTION plant.held()")
    assert desk.job(job_id)["attempts"] == 2
    survivor = second if victim is first else first
    assert [line["outcome"] for line in survivor.jobs(job_id)] == ["done"]
    assert victim.jobs(job_id) == []


def test_a_job_that_is_delivered_often_is_done_once(desk: Desk) -> None:
    jobs = [desk.hire() for _ in range(3)]
    for job_id in jobs:
        for _ in range(5):
            desk.store().xadd(QUEUE, {"job": job_id})
    desk.start(JOB_IDLE_S="0.5")
    desk.start(JOB_IDLE_S="0.5")
    for job_id in jobs:
        desk.done(job_id)
    eventually(lambda: desk.store().xlen(QUEUE) == 0, 20)
    desk.store().xadd(QUEUE, {"job": jobs[0]})  # and long after
    desk.api.sql("UPDATE plant.outbox SET published_at = NULL")
    eventually(lambda: desk.api.sql("SELECT count(*) FROM plant.outbox WHERE published_at IS NULL") == "0", 10)
    eventually(lambda: desk.store().xlen(QUEUE) == 0, 20)
    assert [len(desk.told(job_id)) for job_id in jobs] == [1, 1, 1]
    assert [desk.job(job_id)["attempts"] for job_id in jobs] == [1, 1, 1]


def test_a_job_stays_with_the_worker_that_keeps_it_alive(desk: Desk) -> None:
    with desk.locked("account"):
        workers = [desk.start(JOB_IDLE_S="0.6") for _ in range(2)]
        job_id = desk.put({"event": "hire.start"})
        first = holder(desk, job_id)
        time.sleep(2)  # more than three times as long as a silent one would keep it
        (entry,) = desk.store().xpending_range(QUEUE, GROUP, "-", "+", 50)
        assert (holder(desk, job_id), entry["times_delivered"]) == (first, 1)
    desk.done(job_id)
    assert [len(worker.jobs(job_id)) for worker in workers if worker.process.pid == first] == [1]


def test_a_relay_that_dies_before_its_commit_publishes_twice_and_harms_nothing(desk: Desk) -> None:
    desk.api.sql(
        "CREATE FUNCTION plant.held() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM FROM plant.agent_skill; RETURN new; END $$; "
        "CREATE TRIGGER held BEFORE UPDATE OF published_at ON plant.outbox FOR EACH ROW EXECUTE FUNCTION plant.held()"
    )
    try:
        with desk.locked("agent_skill, plant.job_run"):  # the second keeps its own consumer from beginning
            job_id = desk.hire()
            first = desk.start(JOB_IDLE_S="60")
            eventually(lambda: added(desk) > 0, 20)
            first.kill()
            once = added(desk)
            assert desk.api.sql(f"SELECT published_at IS NULL FROM plant.outbox WHERE id = {job_id}") == "t"
    finally:
        desk.api.sql("DROP TRIGGER held ON plant.outbox; DROP FUNCTION plant.held()")
    desk.start()
    desk.done(job_id)
    eventually(lambda: desk.store().xlen(QUEUE) == 0, 20)
    assert added(desk) > once
    assert len(desk.told(job_id)) == 1


def test_sigterm_lets_a_job_finish(desk: Desk) -> None:
    job_id = desk.hire()
    with desk.locked("account") as release:
        worker = desk.start()
        holder(desk, job_id)
        worker.process.terminate()
        eventually(lambda: worker.said("stops taking jobs"), 10)
        release()
        assert worker.process.wait(10) == 0
    assert desk.job(job_id)["status"] == "done"
    assert worker.said("worker stopped")
    assert desk.store().xinfo_consumers(QUEUE, GROUP) == []
    assert desk.store().get("plant:jobs:leader") is None


def test_sigterm_does_not_wait_for_ever_and_loses_nothing(desk: Desk) -> None:
    job_id = desk.hire()
    with desk.locked("account"):
        worker = desk.start()
        holder(desk, job_id)
        assert worker.stop() < 10
    assert desk.api.sql(f"SELECT done_at IS NULL FROM plant.outbox WHERE id = {job_id}") == "t"
    desk.start()
    desk.done(job_id)


def test_an_idle_worker_ends_at_once(desk: Desk) -> None:
    assert desk.start().stop() < 5
