"""One run on an empty project: 27 items proved, in words that were really seen; wire and journal agree one to one."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.conftest import Finished, Maker
from tests.e2e.joins import join, keys_of
from tests.e2e.operator import Operator


def said(checklist: dict[str, dict[str, object]], item: str) -> str:
    """The evidence of an item as one text."""
    entry = checklist[item]
    assert entry["status"] == "verified", f"{item}: {entry}"
    words = entry["evidence"]
    assert isinstance(words, list)
    return "\n".join(str(word) for word in words)


def phase(checklist: dict[str, dict[str, object]], name: str, *, added: bool = False) -> dict[str, str]:
    """Statuses of the items of a phase; of the added ones when asked."""
    return {
        item: str(entry["status"])
        for item, entry in checklist.items()
        if entry["phase"] == name and bool(entry["added"]) is added
    }


def test_all_items_of_both_phases_are_verified(finished: Finished, still: Operator) -> None:
    checklist = still.checklist()
    predeploy, database = phase(checklist, "predeploy"), phase(checklist, "database")
    assert (len(predeploy), len(database)) == (15, 12)
    assert set(predeploy.values()) | set(database.values()) == {"verified"}
    added = {**phase(checklist, "predeploy", added=True), **phase(checklist, "database", added=True)}
    assert set(added.values()) == {"verified", "not-applicable"}
    assert added["database.instance.dr_replica"] == "not-applicable"
    assert finished.run.finished["failed"] == finished.run.finished["blocked"] == 0


def test_the_evidence_quotes_what_was_seen(still: Operator) -> None:
    checklist = still.checklist()
    connect = said(checklist, "database.proxy.connect")
    assert "the server is PostgreSQL 1" in connect
    assert "connected as plant_app on plant_db" in connect
    assert "from inside job plant-ops" in connect
    tls = said(checklist, "database.proxy.tls")
    assert "TLSv1.3 with TLS_" in tls
    assert "plaintext is refused:" in tls
    assert "no encryption" in tls
    migrate = said(checklist, "database.init.migrate")
    assert "head 0" in migrate
    assert "plant_app is refused `CREATE TABLE" in migrate
    assert "permission denied for schema plant" in migrate
    assert "must be owner of table" in migrate
    indexes = said(checklist, "database.init.indexes")
    assert "12 indexes are there and valid" in indexes
    assert "agent_search" in indexes
    seed = said(checklist, "database.init.seed")
    for count in ("industry: 4 rows", "skill: 34 rows", "agent: 53 rows", "checksum: "):
        assert count in seed
    instance = said(checklist, "database.instance.create")
    assert "no public one" in instance
    assert "alerts at" in said(checklist, "predeploy.project.billing_alerts")


def test_each_write_is_journalled_and_each_journalled_write_was_sent(finished: Finished, still: Operator) -> None:
    totals = finished.run.finished
    with still.journal() as journal:
        joined = join(finished.wire, journal, totals["run"])
        sent = journal.sent(totals["run"])
        unanswered = journal.unanswered()
    assert joined.one_to_one, joined
    assert joined.pairs == sum(entry["mutating"] for entry in finished.wire) == sum(sent.values())
    assert totals["writes"] == sent["apply"]
    assert totals["requests"] == len(finished.wire)
    assert not unanswered
    assert not joined.cut
    print(f"{joined.pairs} mutating requests, {len(finished.wire)} requests, run {finished.run.seconds:.1f} s")


def test_nothing_was_made_twice(finished: Finished) -> None:
    twice = {key: count for key, count in keys_of(finished.resources).items() if count > 1}
    # migrate, seed, indexes: three executions of one job; three of the logs' own
    assert twice == {key: 3 for key in twice if key.endswith("plant-migrate/executions/plant-migrate")}, twice
    versions = [key for key in finished.resources if "/versions/" in key and key.startswith("secretmanager/")]
    assert len(versions) == 4
    assert all(version.endswith("/versions/1") for version in versions)


def test_the_instance_and_the_image_are_made_at_the_same_time(finished: Finished) -> None:
    spans = {
        entry["method_id"]: (entry["seq"], entry["at"])
        for entry in finished.wire
        if entry["method_id"] in ("sql.instances.insert", "cloudbuild.projects.locations.builds.create")
    }
    ends = Counter[str]()
    for operation in finished.operations:
        ends[operation["method_id"]] = operation["end_time"]
    build, instance = (spans[m][1] for m in ("cloudbuild.projects.locations.builds.create", "sql.instances.insert"))
    assert build < str(ends["sql.instances.insert"])
    assert instance < str(ends["cloudbuild.projects.locations.builds.create"])


@pytest.mark.acceptance
def test_the_database_phase_alone_pulls_in_what_it_needs(fresh: Maker) -> None:
    operator = fresh()
    run = operator.run("database")
    assert run.code == 0, run.failures
    found = phase(operator.checklist(), "database")
    assert len(found) == 12
    assert set(found.values()) == {"verified"}
    assert operator.run("database").finished["writes"] == 0
