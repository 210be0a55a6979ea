"""Indexes are built once, beside writers, and a broken or foreign one is replaced."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from backend import indexes
from tests.backend.conftest import Line, Plant, facts

NAMES = sorted(indexes.DEFINITIONS)


def actions(lines: list[Line]) -> dict[str, str]:
    return {line["name"]: line["action"] for line in lines if "name" in line}


def test_a_second_run_builds_nothing(plant: Plant) -> None:
    before, lines = plant.run("check", "indexes", user="plant_app")
    assert before == 1
    assert {line["state"] for line in lines if "state" in line} == {"missing"}
    first = plant.good("indexes")
    assert actions(first) == dict.fromkeys(NAMES, "created")
    assert all(line["state"] == "valid" for line in first[:-1])
    assert actions(plant.good("indexes")) == dict.fromkeys(NAMES, "none")
    seen = facts(plant.good("check", "indexes", user="plant_app"))
    assert all(seen[name]["indisvalid"] for name in NAMES)


def test_an_invalid_leftover_is_rebuilt(plant: Plant) -> None:
    plant.good("indexes")
    plant.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'plant.agent_search'::regclass")
    code, lines = plant.run("check", "indexes", user="plant_app")
    assert (code, facts(lines)["agent_search"]["reason"]) == (1, "index-invalid")
    assert {name for name, action in actions(plant.good("indexes")).items() if action == "rebuilt"} == {"agent_search"}
    plant.good("check", "indexes", user="plant_app")


def test_another_index_of_the_name_is_replaced(plant: Plant) -> None:
    plant.good("indexes")
    plant.sql("DROP INDEX plant.agent_newest; CREATE INDEX agent_newest ON plant.agent (published_at)")
    code, lines = plant.run("check", "indexes", user="plant_app")
    assert (code, facts(lines)["agent_newest"]["reason"]) == (1, "index-different")
    assert actions(plant.good("indexes"))["agent_newest"] == "rebuilt"
    assert "published_at DESC" in plant.sql("SELECT pg_get_indexdef('plant.agent_newest'::regclass)")


def test_a_build_waits_for_an_old_transaction_and_blocks_no_writer(seeded: Plant) -> None:
    """A plain CREATE INDEX would stand in the writer's way here, or fail at once inside a transaction."""
    writer = "BEGIN; UPDATE plant.agent SET hires_total = 1 WHERE slug = 'assay'; SELECT pg_sleep(5); COMMIT"
    arguments = [str(seeded.server.binaries / "psql"), *seeded.server.at(seeded.database), "-Xq", "-c", writer]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, cwd="/", **seeded.server.popen) as holder:
        _until(seeded, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        command = [sys.executable, "-m", "backend", "indexes"]
        environment = os.environ | seeded.environment()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as job:
            _until(seeded, "SELECT count(*) > 0 FROM pg_stat_progress_create_index")
            seeded.sql("UPDATE plant.agent SET hires_total = 2 WHERE slug = 'forge'")
            assert holder.poll() is None, "the writer was not open any more when the other one wrote"
            output, _ = job.communicate(timeout=30)
    assert job.returncode == 0, output
    seeded.good("check", "indexes", user="plant_app")


def _until(plant: Plant, question: str) -> None:
    deadline = time.monotonic() + 10
    while plant.sql(question) != "t":
        assert time.monotonic() < deadline, question
        time.sleep(0.02)


def test_the_catalogue_queries_can_use_them(seeded: Plant) -> None:
    seeded.good("indexes")
    newest = "SELECT slug FROM agent WHERE listing = 'published' ORDER BY published_at DESC, id DESC LIMIT 20"
    typo = "SELECT slug FROM agent WHERE name % 'Noor Halvorson'"
    words = "SELECT slug FROM agent WHERE search @@ plainto_tsquery('english', 'algebra')"
    settings = "SET search_path = plant; SET enable_seqscan = off; EXPLAIN "
    assert "agent_newest" in seeded.sql(settings + newest)
    assert "agent_name_trgm" in seeded.sql(settings + typo)
    assert "agent_search" in seeded.sql(settings + words)
