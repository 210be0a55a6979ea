"""Rows for load tests: there once, by ids that anybody can compute, and never in production."""

from __future__ import annotations

from backend.load_rows import CUSTOMERS, DELIVERABLES, HIRES, PARTNERS, row_id
from tests.backend.conftest import Plant

WANTED = {
    "agent": 1000,
    "agent_skill": 1000,
    "customer": CUSTOMERS,
    "partner": PARTNERS,
    "account": CUSTOMERS + PARTNERS,
    "hire": CUSTOMERS * HIRES,
    "deliverable": CUSTOMERS * HIRES * DELIVERABLES,
}


def test_the_rows_are_added_once(seeded: Plant) -> None:
    first = seeded.good("seed", "--load", "1000", ENVIRONMENT="staging")
    assert next(line["added"] for line in first if "added" in line) == WANTED
    again = seeded.good("seed", "--load", "1000", ENVIRONMENT="staging")
    assert next(line["added"] for line in again if "added" in line) == dict.fromkeys(WANTED, 0)
    more = seeded.good("seed", "--load", "1200", ENVIRONMENT="staging")
    assert next(line["added"] for line in more if "added" in line)["agent"] == 200


def test_the_ids_are_those_that_the_generator_computes(seeded: Plant) -> None:
    seeded.good("seed", "--load", "1000", ENVIRONMENT="staging")
    for kind, parts in (("agent", (7,)), ("hire", (600, 3)), ("deliverable", (1, 2, 3)), ("account", ("customer", 5))):
        found = seeded.sql(f"SELECT count(*) FROM plant.{kind} WHERE id = '{row_id(kind, *parts)}'")
        assert found == "1", (kind, parts)
    assert seeded.sql("SELECT count(*) FROM plant.agents WHERE slug LIKE 'load-agent-%'") == "1000"


def test_production_and_too_few_are_refused(seeded: Plant) -> None:
    code, lines = seeded.run("seed", "--load", "1000")
    assert (code, lines[-1]["reason"]) == (1, "not-in-production")
    code, lines = seeded.run("seed", "--load", "10", ENVIRONMENT="staging")
    assert (code, lines[-1]["reason"]) == (1, "too-few")
    assert seeded.sql("SELECT count(*) FROM plant.customer") == "0"
