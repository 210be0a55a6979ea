"""Positive controls of the join of wire and journal: what was cut, sent twice or swallowed shows as just that."""

from __future__ import annotations

from tests.e2e.between import something_between
from tests.e2e.joins import Joined, join
from tests.e2e.operator import Done, Operator

PATCH = "sql.instances.patch"
HOUR = {"settings": {"backupConfiguration": {"startTime": "07:00"}}}


def repair(operator: Operator) -> tuple[Done, int]:
    """A run that has one thing to put right: the hour of the backup."""
    since = operator.mark()
    return operator.run("--only", "database.instance.backup"), since


def joined_of(operator: Operator, done: Done, since: int) -> Joined:
    """The join of that run alone."""
    with operator.journal() as journal:
        return join(operator.wire(since), journal, done.finished["run"])


def hour(operator: Operator) -> str:
    """The hour as it is."""
    instance = operator.resources("sqladmin/")["sqladmin/projects/waooaw-prod/instances/plant-postgres"]
    return str(instance["settings"]["backupConfiguration"]["startTime"])


def test_a_request_cut_before_the_handler_shows_as_cut(mended: Operator) -> None:
    mended.sql("PATCH", body=HOUR)
    mended.faults({"match": PATCH, "when": "before", "do": "reset"})
    done, since = repair(mended)
    assert done.code == 0, done.failures
    assert not mended.unfired()
    joined = joined_of(mended, done, since)
    assert len(joined.cut) == 1
    assert joined.one_to_one
    with mended.journal() as journal:
        attempts = journal.attempts(run=done.finished["run"], method_id=PATCH)
    cut = [attempt for attempt in attempts if f"plantctl/{attempt.run}/{attempt.id}" in joined.cut]
    assert [(attempt.status, attempt.answered_at) for attempt in cut] == [(0, None)]
    # it was sent again, as an attempt of its own, and is counted
    assert len(attempts) == 2
    assert done.finished["writes"] == 2 == len(mended.writes(since))
    assert done.finished["requests"] == len(mended.wire(since))
    assert hour(mended) == "03:00"


def test_a_request_that_something_sends_twice_shows_as_sent_twice(mended: Operator) -> None:
    mended.sql("PATCH", body=HOUR)
    with something_between(mended, "^PATCH /sqladmin/", "twice") as proxy:
        done, since = repair(mended)
        assert proxy.done == 1
    assert done.code == 0, done.failures
    joined = joined_of(mended, done, since)
    assert not joined.one_to_one
    assert len(joined.repeated) == 1
    assert not joined.only_wire
    assert not joined.only_journal
    assert len(mended.writes(since)) == done.finished["writes"] + 1
    assert len(mended.wire(since)) == done.finished["requests"] + 1
    assert hour(mended) == "03:00"


def test_a_request_that_something_swallows_is_in_the_journal_only(mended: Operator) -> None:
    mended.sql("PATCH", body=HOUR)
    with something_between(mended, "^PATCH /sqladmin/", "swallowed") as proxy:
        done, since = repair(mended)
        assert proxy.done == 1
    assert done.code == 0, done.failures
    joined = joined_of(mended, done, since)
    assert len(joined.only_journal) == 1
    assert not joined.only_wire
    assert not joined.repeated
    assert len(mended.writes(since)) == done.finished["writes"] - 1
    assert hour(mended) == "03:00"
