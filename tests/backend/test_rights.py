"""The serving role starts with everything an API-made user gets, and ends with DML."""

from __future__ import annotations

import pytest

from tests.backend.conftest import Plant, facts
from tests.backend.postgres import PASSWORDS

REFUSED = {
    "create_in_plant",
    "create_in_public",
    "create_schema",
    "drop_table",
    "alter_table",
    "change_audit",
    "delete_audit",
    "write_revision",
    "become_owner",
}


def test_an_api_made_user_could_create_before(empty: Plant) -> None:
    empty.sql("SET ROLE plant_app; CREATE TABLE public.t (id int); CREATE SCHEMA s; DROP TABLE public.t")


def test_ddl_is_refused_and_dml_is_allowed(plant: Plant) -> None:
    seen = facts(plant.good("check", "rights", user="plant_app"))
    assert {name for name, line in seen.items() if "refusal" in line} == REFUSED
    assert seen["create_in_plant"]["refusal"] == "permission denied for schema plant"
    assert seen["create_in_public"]["refusal"] == "permission denied for schema public"
    assert {"insert", "select", "update", "delete"} < set(seen)
    assert plant.sql("SELECT count(*) FROM plant.industry") == "0"


def test_what_is_left_depends_on_the_version(plant: Plant) -> None:
    """From 16 on only the API can take CREATEROLE and the membership away, so the database changes hands instead."""
    rights = plant.good("migrate")[0]["rights"]
    residual = facts(plant.good("check", "rights", user="plant_app"))["residual"]
    owner = plant.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
    if plant.server.major < 16:
        assert (residual["value"], owner) == ([], "cloudsqlsuperuser")
    else:
        assert (residual["value"], owner) == (["createdb", "createrole", "member of cloudsqlsuperuser"], "plant_owner")
    assert rights["residual"] == residual["value"]


def test_a_user_made_again_is_narrowed_again(plant: Plant) -> None:
    """users.delete and users.insert: grants are gone and the wide rights are back; `migrate` without news mends it."""
    plant.sql("DROP OWNED BY plant_app")
    plant.sql("GRANT cloudsqlsuperuser TO plant_app; ALTER ROLE plant_app CREATEDB CREATEROLE")
    code, _ = plant.run("check", "rights", user="plant_app")
    assert code == 1
    plant.good("migrate")
    plant.good("check", "rights", user="plant_app")


def test_tables_of_later_migrations_are_granted(plant: Plant) -> None:
    plant.sql("SET ROLE plant_owner; CREATE TABLE plant.later (id bigint GENERATED ALWAYS AS IDENTITY, x text)")
    plant.sql("SET ROLE plant_app; INSERT INTO plant.later (x) VALUES ('a'); DELETE FROM plant.later")


def test_a_session_of_the_application_finds_its_tables(seeded: Plant) -> None:
    """`search_path` is a setting of the role or the database, not of one session."""
    address = f"host=127.0.0.1 port={seeded.server.port} dbname={seeded.database} "
    login = f"user=plant_app password={PASSWORDS['plant_app']}"
    assert seeded.server.run("psql", address + login, "-XqAt", "-c", "SELECT count(*) FROM agent").strip() == "53"


def test_a_right_too_many_fails_the_look(plant: Plant) -> None:
    grants = {
        "create_in_plant": "CREATE ON SCHEMA plant",
        "create_in_public": "CREATE ON SCHEMA public",
        "write_revision": "UPDATE ON plant.alembic_version",
        "change_audit": "UPDATE ON plant.audit_event",
        "delete_audit": "DELETE ON plant.audit_event",
        "become_owner": "plant_owner",
    }
    for fact, right in grants.items():
        plant.sql(f"GRANT {right} TO plant_app")
        code, lines = plant.run("check", "rights", user="plant_app")
        plant.sql(f"REVOKE {right} FROM plant_app")
        assert code == 1
        assert facts(lines)[fact]["reason"] == "rights-too-wide"
        assert facts(lines)["verdict"]["ok"] is False
    assert plant.sql("SELECT to_regclass('plant.rights_probe'), to_regclass('public.rights_probe')") == "|"


def test_a_right_too_few_fails_the_look(plant: Plant) -> None:
    plant.sql("REVOKE DELETE ON plant.industry FROM plant_app")
    code, lines = plant.run("check", "rights", user="plant_app")
    assert (code, facts(lines)["delete"]["reason"]) == (1, "permission-denied")


def test_the_look_is_made_as_the_serving_role(plant: Plant) -> None:
    code, lines = plant.run("check", "rights", user="plant_owner")
    assert (code, lines[0]["reason"]) == (1, "wrong-role")


def test_rights_that_the_owner_cannot_narrow_fail_the_migration(plant: Plant) -> None:
    plant.sql("ALTER SCHEMA public OWNER TO postgres; GRANT CREATE ON SCHEMA public TO plant_app")
    code, lines = plant.run("migrate")
    assert (code, lines[-1]["reason"]) == (1, "rights-too-wide")
    assert "create_in_public" in lines[-1]["message"]


def test_audit_events_can_be_added_and_read_only(plant: Plant) -> None:
    added = "SET ROLE plant_app; INSERT INTO plant.audit_event (actor_kind, action, entity, entity_id) "
    plant.sql(added + "VALUES ('job', 'test', 'agent', 'x')")
    assert plant.sql("SET ROLE plant_app; SELECT action FROM plant.audit_event").splitlines()[-1] == "test"
    for statement in ("UPDATE plant.audit_event SET action = 'y'", "DELETE FROM plant.audit_event"):
        with pytest.raises(AssertionError, match="permission denied"):
            plant.sql(f"SET ROLE plant_app; {statement}")
    plant.good("migrate")  # renews the rights, and must not give these back
    with pytest.raises(AssertionError, match="permission denied"):
        plant.sql("SET ROLE plant_app; TRUNCATE plant.audit_event")
