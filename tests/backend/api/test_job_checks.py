"""A service's look at the queue: a job that leaves nothing behind, seen by nobody else."""

from __future__ import annotations

from tests.backend.api.conftest import Api

PATH = "/service/job-checks"


def test_a_service_enqueues_a_job_and_sees_what_became_of_it(api: Api) -> None:
    made = api.call("POST", PATH, "service")
    assert made.status_code == 202
    job = made.json()["id"]
    assert made.json() == {"id": job, "status": "open", "attempts": 0, "error": None}
    assert api.sql(f"SELECT topic, payload FROM plant.outbox WHERE id = {job}") == 'cache.bump|{"kind": "job-check"}'
    api.sql(
        "INSERT INTO plant.job_run (name, scheduled_for, status, attempts) "
        f"VALUES ('cache.bump', '{job}', 'done', 2) RETURNING id"
    )
    seen = api.call("GET", f"{PATH}/{job}", "service")
    assert (seen.status_code, seen.json()["status"], seen.json()["attempts"]) == (200, "done", 2)


def test_other_jobs_are_not_shown(api: Api) -> None:
    other = api.sql("INSERT INTO plant.outbox (topic, payload) VALUES ('cache.bump', '{\"kind\": \"x\"}') RETURNING id")
    for job in (other.splitlines()[0], "999999"):
        assert api.call("GET", f"{PATH}/{job}", "service").status_code == 404


def test_only_a_service_whose_key_allows_it_may_ask(api: Api) -> None:
    for who, status in (("", 401), ("ann", 403), ("pia", 403), ("olga", 403)):
        assert api.call("POST", PATH, who).status_code == status
