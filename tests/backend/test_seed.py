"""Seed rows: how many, the same everywhere, and what a second run or a changed row does."""

from __future__ import annotations

from uuid import uuid5

from backend import seed
from tests.backend.conftest import Line, Plant, facts

COUNTS = {"industry": 4, "skill": 34, "job_role": 13, "team": 6, "agent": 53}


def by_table(lines: list[Line]) -> dict[str, Line]:
    return {line["table"]: line for line in lines if "table" in line}


def test_a_second_run_changes_nothing(plant: Plant) -> None:
    first = by_table(plant.good("seed"))
    assert {name: first[name]["inserted"] for name in COUNTS} == COUNTS
    before = plant.server.run("pg_dump", *plant.server.at(plant.database), "--data-only", "-n", "plant", "--inserts")
    second = plant.good("seed")
    after = plant.server.run("pg_dump", *plant.server.at(plant.database), "--data-only", "-n", "plant", "--inserts")
    assert second[-1]["changed"] == 0
    assert {name: by_table(second)[name]["unchanged"] for name in COUNTS} == COUNTS
    assert _rows(before) == _rows(after)


def _rows(dump: str) -> list[str]:
    return [line for line in dump.splitlines() if line.startswith("INSERT")]


def test_the_same_slug_has_the_same_id_everywhere(shared: Plant) -> None:
    assert shared.sql("SELECT id FROM plant.skill WHERE slug = 'copywriting'") == str(
        uuid5(seed.NAMESPACE, "skill/copywriting")
    )


def test_a_changed_row_is_brought_back_and_a_decision_stays(seeded: Plant) -> None:
    changed = "tagline = 'x', availability = 'offline', hires_total = 9"
    seeded.sql(f"UPDATE plant.agent SET {changed} WHERE slug = 'ezra-collins'")
    seeded.sql("DELETE FROM plant.job_role_skill WHERE skill_id = (SELECT id FROM plant.skill WHERE slug = 'coaching')")
    lines = seeded.good("seed")
    assert (by_table(lines)["agent"]["updated"], by_table(lines)["agent"]["unchanged"]) == (1, 52)
    assert by_table(lines)["job_role_skill"]["inserted"] == 2
    row = "SELECT tagline, availability, hires_total FROM plant.agent WHERE slug = 'ezra-collins'"
    assert seeded.sql(row) == "Trade fairs before and after|offline|9"


def test_a_skill_too_many_goes_and_the_primary_one_moves_back(seeded: Plant) -> None:
    agent = "(SELECT id FROM plant.agent WHERE slug = 'noor-halvorsen')"
    seeded.sql(f"UPDATE plant.agent_skill SET is_primary = false WHERE agent_id = {agent}")
    seeded.sql(
        "INSERT INTO plant.agent_skill (agent_id, skill_id, is_primary) "
        f"SELECT {agent}, id, true FROM plant.skill WHERE slug = 'paid-search'"
    )
    lines = by_table(seeded.good("seed"))
    assert (lines["agent_skill"]["removed"], lines["agent_skill"]["updated"]) == (1, 1)
    primary = f"SELECT s.slug FROM plant.agent_skill JOIN plant.skill s ON s.id = skill_id WHERE agent_id = {agent}"
    assert seeded.sql(f"{primary} AND is_primary") == "mathematics-teaching"


def test_a_row_that_somebody_made_keeps_its_id(plant: Plant) -> None:
    made = "00000000-0000-4000-8000-000000000001"
    plant.sql(f"INSERT INTO plant.industry (id, slug, name) VALUES ('{made}', 'sales', 'Vendors')")
    lines = by_table(plant.good("seed"))
    assert (lines["industry"]["inserted"], lines["industry"]["updated"]) == (3, 1)
    assert plant.sql("SELECT id, name FROM plant.industry WHERE slug = 'sales'") == f"{made}|Sales"
    assert plant.sql(f"SELECT count(*) FROM plant.agent WHERE industry_id = '{made}'") == "15"


def test_a_failure_leaves_nothing_behind(plant: Plant) -> None:
    plant.sql("ALTER TABLE plant.team ADD CONSTRAINT no_team CHECK (slug <> 'pipeline-desk')")
    code, lines = plant.run("seed")
    assert code == 1
    assert "no_team" in lines[-1]["message"]
    assert plant.sql("SELECT count(*) FROM plant.industry") == "0"


def test_the_demo_partner_stays_out_of_production(seeded: Plant) -> None:
    assert seeded.sql("SELECT count(*) FROM plant.partner") == "0"
    lines = by_table(seeded.good("seed", ENVIRONMENT="staging"))
    assert lines["partner"]["inserted"] == 1


def test_before_the_migration_it_says_so(empty: Plant) -> None:
    code, lines = empty.run("seed")
    assert (code, lines[0]["reason"]) == (1, "schema-missing")


def test_the_data_keep_their_own_rules() -> None:
    skills = {row["slug"] for row in seed.rows("skill")}
    roles = {row["slug"]: row for row in seed.rows("job_role")}
    for role in roles.values():
        asked = role["required_skills"] + role["optional_skills"]
        assert 2 <= len(asked) <= 5
        assert len(set(asked)) == len(asked)
        assert skills.issuperset(asked)
    for agent in seed.rows("agent"):
        role = roles[agent["job_role"]]
        assert set(agent["skills"]) <= set(role["required_skills"] + role["optional_skills"]), agent["slug"]
        assert agent["industry"] == role["industry"]
    assert {table.name: len(seed.rows(table.name)) for table in seed.TABLES} == COUNTS


def test_a_lost_row_fails_the_look(seeded: Plant) -> None:
    whole = facts(seeded.good("check", "rows", user="plant_app"))
    assert (whole["agent"]["rows"], whole["agent"]["seeded"], whole["agent"]["expected"]) == (53, 53, 53)
    assert whole["checksum"]["value"] == whole["checksum"]["expected"]
    seeded.sql("DELETE FROM plant.agent WHERE slug = 'assay'")
    seeded.sql("INSERT INTO plant.industry (slug, name) VALUES ('x', 'X')")
    code, lines = seeded.run("check", "rows", user="plant_app")
    seen = facts(lines)
    assert code == 1
    assert seen["agent"]["reason"] == "rows-missing"
    assert (seen["industry"]["rows"], seen["industry"]["seeded"], seen["industry"]["ok"]) == (5, 4, True)
    assert seen["checksum"]["ok"] is False
