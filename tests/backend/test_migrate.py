"""Migrations up, down and up again, side by side, and what the schema refuses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from backend import migrate
from backend.database import exclusive
from backend.failures import BackendError
from backend.settings import load
from tests.backend.conftest import Plant

ACCOUNT = "INSERT INTO plant.account (email, display_name, kind, customer_id) VALUES"
HIRE = (
    "WITH made AS (INSERT INTO plant.customer (business_name, consent_at) VALUES ('x', now()) RETURNING id) "
    "INSERT INTO plant.hire (customer_id, agent_id, price_minor, currency, state, trial_ends_at) "
    "SELECT made.id, a.id, 1, 'INR',"
)
REVISIONS = ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010"]


def test_a_second_run_applies_nothing(empty: Plant) -> None:
    first = empty.good("migrate")[0]
    second = empty.good("migrate")[0]
    assert first["before"] is None
    assert (first["after"], first["applied"]) == (migrate.head(), REVISIONS)
    assert (second["before"], second["after"], second["applied"]) == (migrate.head(), migrate.head(), [])


def test_down_and_up_again_gives_the_same_schema(plant: Plant) -> None:
    up = plant.server.dump(plant.database)
    down = plant.good("migrate", "--down-to", "base", ENVIRONMENT="development")[0]
    assert down["applied"] == REVISIONS[::-1]
    left = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'plant'::regnamespace"
    assert plant.sql(left) == "alembic_version,alembic_version_pkc"
    assert plant.sql("SELECT count(*) FROM pg_proc WHERE pronamespace = 'plant'::regnamespace") == "0"
    plant.good("migrate")
    assert plant.server.dump(plant.database) == up
    assert "CREATE VIEW plant.agents" in up


def test_each_revision_goes_down_alone(plant: Plant) -> None:
    up = plant.server.dump(plant.database)
    for target in REVISIONS[-2::-1]:
        plant.good("migrate", "--down-to", target, ENVIRONMENT="development")
        plant.good("migrate")
        assert plant.server.dump(plant.database) == up


def test_production_refuses_to_go_down(plant: Plant) -> None:
    code, lines = plant.run("migrate", "--down-to", "base")
    assert (code, lines[0]["reason"]) == (1, "refused")
    assert plant.sql("SELECT count(*) FROM plant.agent") == "0"


def test_two_at_once_both_end_well(empty: Plant) -> None:
    command = [sys.executable, "-m", "backend", "migrate"]
    environment = os.environ | empty.environment()
    jobs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [job.communicate(timeout=60)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs
    assert sorted(f"{len(REVISIONS)} revisions" in output for output in outputs) == [False, True]


def test_a_held_lock_is_told(plant: Plant) -> None:
    for name, value in plant.environment().items():
        plant.monkeypatch.setenv(name, value)

    async def both() -> None:
        async with exclusive(load()), exclusive(load(), wait_s=0.3):
            raise AssertionError("two holders of one lock")

    with pytest.raises(BackendError) as caught:
        asyncio.run(both())
    assert caught.value.reason == "lock-held"


def test_check_only_tells_pending_migrations(empty: Plant) -> None:
    code, lines = empty.run("migrate", "--check")
    assert (code, lines[0]["reason"], lines[0]["current"]) == (1, "migration-pending", None)
    empty.good("migrate", "--to", "0002")
    code, lines = empty.run("migrate", "--check")
    assert (code, lines[0]["current"]) == (1, "0002")
    empty.good("migrate")
    empty.good("migrate", "--check")


def test_an_older_image_does_not_touch_a_newer_database(plant: Plant) -> None:
    plant.sql("UPDATE plant.alembic_version SET version_num = '9999'")
    code, lines = plant.run("migrate")
    assert (code, lines[-1]["reason"]) == (1, "migration-ahead")


def test_the_serving_role_cannot_migrate(empty: Plant) -> None:
    code, lines = empty.run("migrate", user="plant_app")
    assert (code, lines[0]["reason"]) == (1, "wrong-role")


def test_a_missing_serving_role_is_told(empty: Plant) -> None:
    code, lines = empty.run("migrate", DB_APP_USER="somebody_else")
    assert (code, lines[0]["reason"]) == (1, "app-role-missing")


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("INSERT INTO plant.industry (slug, name) VALUES ('Not A Slug', 'x')", "industry_slug_check"),
        ("INSERT INTO plant.skill (slug, name, category) VALUES ('x', 'x', 'magic')", "skill_category_check"),
        (
            "INSERT INTO plant.skill (slug, name, category, status) VALUES ('x', 'x', 'technical', 'certified')",
            "skill_check",
        ),
        ("INSERT INTO plant.job_role (slug, name, seniority) VALUES ('x', 'x', 'guru')", "job_role_seniority_check"),
        ("INSERT INTO plant.account (email, display_name, kind) VALUES ('a@b', 'x', 'partner')", "account_check"),
        ("UPDATE plant.agent SET monthly_price_minor = -1", "agent_monthly_price_minor_check"),
        ("UPDATE plant.agent SET trial_days = 31", "agent_trial_days_check"),
        ("UPDATE plant.agent SET listing = 'published', published_at = NULL", "agent_check1"),
        ("UPDATE plant.agent SET rating_count = 1, rating_sum = 6", "agent_check"),
        ("DELETE FROM plant.industry WHERE slug = 'sales'", "industry_id_fkey"),
        ("UPDATE plant.agent SET industry_id = (SELECT id FROM plant.industry WHERE slug = 'sales')", "cannot change"),
        ("UPDATE plant.agent_skill SET is_primary = true", "agent_skill_one_primary"),
        (f"{ACCOUNT} ('a@b', 'x', 'customer', gen_random_uuid())", "account_customer_id_fkey"),
        (f"{HIRE} 'trial', NULL FROM plant.agent a, made LIMIT 1", "hire_trial"),
        (f"{HIRE} 'active', now() FROM plant.agent a, made LIMIT 1", "hire_plan"),
        (f"{HIRE} 'expired', now() FROM plant.agent a, made LIMIT 1", "hire_ended"),
        (f"{HIRE} 'trial', now() FROM plant.agent a, made, generate_series(1, 2) LIMIT 2", "hire_one_open"),
        ("INSERT INTO plant.audit_event (actor_kind, action, entity, entity_id) VALUES ('x', 'x', 'x', 'x')", "actor"),
    ],
)
def test_the_schema_refuses(shared: Plant, statement: str, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        shared.sql(statement)


def test_touch_rating_search_and_case_folding_work(seeded: Plant) -> None:
    where = "WHERE slug = 'noor-halvorsen'"
    seeded.sql(f"UPDATE plant.agent SET rating_sum = 14, rating_count = 3, updated_at = 'epoch' {where}")
    assert seeded.sql(f"SELECT rating_avg, updated_at > now() - interval '1 min' FROM plant.agent {where}") == "4.67|t"
    assert seeded.sql("SELECT slug FROM plant.agent WHERE search @@ plainto_tsquery('english', 'fraction fears')") == (
        "noor-halvorsen"
    )
    seeded.sql("INSERT INTO plant.account (email, display_name, kind) VALUES ('Ann@example.com', 'Ann', 'operator')")
    with pytest.raises(AssertionError, match="account_email_key"):
        seeded.sql("INSERT INTO plant.account (email, display_name, kind) VALUES ('ann@EXAMPLE.com', 'x', 'operator')")


def test_the_export_view_shows_published_agents_only(shared: Plant) -> None:
    assert shared.sql("SELECT count(*) FROM plant.agents") == "48"
    columns = shared.sql(
        "SELECT string_agg(column_name, ',') FROM information_schema.columns "
        "WHERE table_schema = 'plant' AND table_name = 'agents'"
    )
    assert "email" not in columns
