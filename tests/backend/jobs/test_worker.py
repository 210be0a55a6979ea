"""What operators and readers see of a worker: fresh answers, its liveness, its figures, its configuration."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
import uuid

import pytest

from backend import cli
from backend.database import create_pool
from backend.jobs.probe import Pulse
from backend.jobs.stats import QueueStats, queue_stats
from backend.settings import Settings
from tests.backend.jobs.conftest import Desk, eventually
from tests.backend.postgres import PASSWORDS


def test_an_edit_is_seen_also_when_its_process_died_after_the_commit(desk: Desk) -> None:
    desk.start()
    api = desk.api
    seconds = []
    for _ in range(3):
        assert api.call("GET", "/agents/jobs-agent").status_code == 200  # now it is cached
        tagline = uuid.uuid4().hex
        api.sql(
            f"BEGIN; UPDATE plant.agent SET tagline = '{tagline}' WHERE slug = 'jobs-agent'; "
            """INSERT INTO plant.outbox (topic, payload) VALUES ('cache.bump', '{"kind": "catalogue"}'); COMMIT"""
        )
        started = time.monotonic()
        while api.call("GET", "/agents/jobs-agent").json()["tagline"] != tagline:
            assert time.monotonic() - started < 10
        seconds.append(time.monotonic() - started)
    assert sorted(seconds)[1] < 2


def test_an_edit_is_seen_while_other_jobs_hold_every_slot(desk: Desk) -> None:
    with desk.locked("account"):
        desk.start()
        stuck = [desk.put({"event": "hire.start"}) for _ in range(5)]
        eventually(lambda: desk.store().exists("plant:jobs") and desk.store().xlen("plant:jobs") >= 5, 20)
        started = time.monotonic()
        bump = desk.put({"kind": "catalogue"}, topic="cache.bump")
        done = f"SELECT done_at IS NOT NULL FROM plant.outbox WHERE id = {bump}"
        eventually(lambda: desk.api.sql(done) == "t", 4)
        assert time.monotonic() - started < 4
        assert desk.api.sql(f"SELECT count(done_at) FROM plant.outbox WHERE id = ANY('{{{stuck[0]}}}')") == "0"


def test_purging_the_cache_outlives_its_process(desk: Desk) -> None:
    assert desk.api.call("POST", "/admin/cache/purge", "olga").status_code == 204
    (job,) = desk.api.call("GET", "/admin/jobs?name=cache.bump", "olga").json()["items"]
    assert (job["status"], job["payload"]) == ("queued", {"kind": "catalogue"})
    desk.start()
    desk.done(job["id"])
    assert desk.api.sql("SELECT count(*) FROM plant.audit_event WHERE action = 'cache.purge'") != "0"


def test_liveness_and_figures(desk: Desk) -> None:
    worker = desk.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/health", timeout=5) as answer:
        assert (answer.status, json.load(answer)) == (200, {"status": "ok"})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/else", timeout=5)
    line = eventually(lambda: worker.said("runtime.stats"), 10)[0]
    assert set(line["queue"]) == {"depth", "oldest_age_s", "delayed", "dead"}


def test_a_loop_that_stands_still_is_stuck() -> None:
    times = iter([0.0, 0.0, 20.0, 29.0, 31.0])
    pulse = Pulse(lambda: next(times))
    pulse.beat("a")
    pulse.beat("b")
    pulse.beat("b")
    assert pulse.stuck() == []
    assert pulse.stuck() == ["a"]


def test_pages_and_filters_of_jobs(desk: Desk) -> None:
    jobs = [desk.put({"event": str(n)}) for n in range(5)]
    first = desk.api.call("GET", "/admin/jobs?limit=3&status=queued", "olga").json()
    path = f"/admin/jobs?limit=3&status=queued&cursor={first['next_cursor']}"
    second = desk.api.call("GET", path, "olga").json()
    assert [job["id"] for job in first["items"] + second["items"]] == jobs[::-1]
    assert second["next_cursor"] is None
    assert desk.api.call("GET", path.replace("queued", "done"), "olga").status_code == 400
    assert desk.api.call("GET", "/admin/jobs?status=done", "olga").json()["items"] == []
    assert desk.api.call("GET", "/admin/jobs?request_id=nobody", "olga").json()["items"] == []
    for path in ("/admin/jobs/9223372036854775807", "/admin/jobs/1"):
        assert desk.api.call("GET", path, "olga").status_code == 404
    for path in ("/admin/jobs/0", "/admin/jobs/9223372036854775808", "/admin/jobs/x", "/admin/jobs?name=%00"):
        assert desk.api.call("GET", path, "olga").status_code == 422
    assert desk.api.call("POST", "/admin/jobs/9223372036854775807/retry", "olga").status_code == 404


def test_the_queue_in_figures(desk: Desk) -> None:
    settings = Settings.model_validate(
        {
            "environment": "test",
            "db_host": "127.0.0.1",
            "db_port": desk.api.server.port,
            "db_name": desk.api.database,
            "database_password": PASSWORDS["plant_app"],
            "db_ca": desk.api.server.ca,
        }
    )

    async def look() -> QueueStats:
        pool = await create_pool(settings)
        async with pool, pool.acquire() as connection:
            return await queue_stats(connection)

    assert asyncio.run(look()) == QueueStats(0, 0.0, 0, 0)
    for status in ("", "running", "failed", "dead", "dead"):
        job_id = desk.put({})
        if status:
            row = f"('notification.send', '{job_id}', '{status}')"
            desk.api.sql(f"INSERT INTO plant.job_run (name, scheduled_for, status) VALUES {row}")
    desk.api.sql("UPDATE plant.outbox SET created_at = now() - interval '60 s' WHERE id % 2 = 0")
    stats = asyncio.run(look())
    assert (stats.depth, stats.delayed, stats.dead) == (3, 1, 2)
    assert 60 <= stats.oldest_age_s < 90


@pytest.mark.parametrize("command", [["worker"], ["check-config", "--working"]])
def test_a_worker_asks_for_redis_and_for_no_key_of_serving(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    environment = {"ENVIRONMENT": "production", "DB_HOST": "127.0.0.1", "DB_CA": desk.api.server.ca}
    environment |= {"DATABASE_PASSWORD": PASSWORDS["plant_app"]}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cli.main(command) == 3
    output = capsys.readouterr().out
    fields = {json.loads(line)["message"].split(":")[0] for line in output.splitlines()}
    assert fields == {"REDIS_HOST", "REDIS_CA", "REDIS_PASSWORD"}
