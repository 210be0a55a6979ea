"""Status is a view of the journal: each word, and what turns one into another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plantctl.engine import attest
from plantctl.engine.journal import Journal
from plantctl.engine.reader import Reader
from plantctl.engine.recorder import RunRecorder
from plantctl.engine.records import Binding
from plantctl.engine.status import history, in_place, status
from plantctl.errors import UsageError
from plantctl.model.status import ItemStatus, StatusReport
from plantctl.model.step import Attestation
from tests.unit.engine.toys import BINDING, Bench, World, toy

A, B, C, EXTRA = "one.g.a", "one.g.b", "two.g.c", "two.g.added"
REVIEW = Attestation(id="two.g.review", title="Review", question="Who?", valid_days=10)


def report(bench: Bench, binding: Binding = BINDING) -> StatusReport:
    reader = Reader.open(bench.home)
    try:
        return status(bench.catalog, reader, binding=binding, now=bench.clock.now(), environment="production")
    finally:
        reader.close()


def words(bench: Bench, binding: Binding = BINDING) -> dict[str, str]:
    return {item.id: str(item.status) for item in report(bench, binding).items}


def line(bench: Bench, item: str) -> ItemStatus:
    return next(found for found in report(bench).items if found.id == item)


def recorder(journal: Journal, bench: Bench) -> RunRecorder:
    return RunRecorder(journal, command="item", binding=BINDING, clock=bench.clock, stop=bench.stop)


def test_without_a_journal_everything_is_pending_and_none_is_made(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "home", [toy(A), REVIEW], lines=[A, REVIEW.id, B])
    assert set(words(bench).values()) == {"pending"}
    assert [line(bench, item).note for item in (A, REVIEW.id, B)] == ["", "Who?", "no step yet"]
    assert not (tmp_path / "home").exists()


def test_verified_with_evidence_since_and_by_whom(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(B, A)])
    bench.run()
    found = line(bench, B)
    assert found.status == "verified"
    assert found.evidence == (f"{B} answers", "from a toy")
    assert found.since == bench.clock.now()
    assert found.by != ""
    assert found.needs == (A,)
    assert in_place(report(bench)) == {A, B}


def test_failed_blocked_and_waiting(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(B, A), REVIEW])

    def fail(world: World) -> None:
        raise ValueError("broken")

    bench.world.on["apply", A] = fail
    bench.run()
    assert words(bench) == {A: "failed", B: "blocked", REVIEW.id: "waiting"}
    assert "broken" in line(bench, A).note


def test_a_block_that_is_over_reads_verified_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(B, A)])
    bench.run()

    def fail(world: World) -> None:
        raise ValueError("for once")

    bench.world.on["check", A] = fail
    bench.run()
    assert words(bench) == {A: "failed", B: "blocked"}
    bench.world.on.clear()
    bench.run()
    assert words(bench) == {A: "verified", B: "verified"}
    assert bench.world.made("verify") == [A]  # B's evidence still counts


def test_old_evidence_is_stale_until_verified_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.run()
    bench.clock.advance(31 * 86400)
    assert words(bench) == {A: "stale"}
    bench.run()
    assert words(bench) == {A: "stale"}  # age alone never starts a probe
    bench.run(renew=True)
    assert words(bench) == {A: "verified"}


def test_a_write_to_a_need_makes_stale(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(B, A)])
    bench.run()
    bench.world.live[A] = {}
    bench.run(only=[A])
    assert words(bench) == {A: "verified", B: "stale"}
    assert line(bench, B).note == f"{A} was written to since"


def test_another_incarnation_or_project_is_stale_and_another_target_says_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(B)])
    bench.run(only=[A])
    for other in (replace(BINDING, incarnation="two"), replace(BINDING, project="q")):
        assert words(bench, other) == {A: "stale", B: "pending"}
    assert words(bench, replace(BINDING, target="gcp")) == {A: "pending", B: "pending"}


def test_running_while_the_run_lives(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    seen: list[str] = []
    bench.world.on["apply", A] = lambda world: seen.append(words(bench)[A])
    bench.run()
    assert seen == ["running"]


def test_drifted_after_a_verify_found_it_changed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.run()
    bench.world.live[A] = {"size": "8"}
    bench.run(renew=True)
    assert words(bench) == {A: "drifted"}


def test_attested_waived_withdrawn_and_expired(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), REVIEW], lines=[A, REVIEW.id, B])
    with Journal(tmp_path) as journal:
        attest.attest(bench.catalog, recorder(journal, bench), REVIEW.id, note="minutes", by="ada")
        attest.waive(bench.catalog, recorder(journal, bench), B, note="not this year", valid_days=5)
    assert words(bench) == {A: "pending", REVIEW.id: "attested", B: "waived"}
    assert (line(bench, REVIEW.id).by, line(bench, REVIEW.id).evidence) == ("ada", ("minutes",))
    assert line(bench, B).note == "not this year"
    bench.clock.advance(6 * 86400)
    assert words(bench)[B] == "stale"
    with Journal(tmp_path) as journal:
        attest.withdraw(recorder(journal, bench), REVIEW.id, note="by mistake")
    assert words(bench)[REVIEW.id] == "pending"


@pytest.mark.parametrize(
    ("item", "note", "says"),
    [(A, "x", "not a matter of a person's word"), (REVIEW.id, " ", "a note is needed"), ("no.g.x", "x", "no item")],
)
def test_words_that_cannot_be_given(tmp_path: Path, item: str, note: str, says: str) -> None:
    bench = Bench(tmp_path, [toy(A), REVIEW])
    with Journal(tmp_path) as journal, pytest.raises(UsageError, match=says):
        attest.attest(bench.catalog, recorder(journal, bench), item, note=note)


def test_not_applicable(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)], not_applicable={A: "database.dr_replica is off"})
    bench.run()
    assert (words(bench), line(bench, A).note) == ({A: "not-applicable"}, "database.dr_replica is off")


def test_the_summary_counts_added_items_apart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(EXTRA)], lines=[A, B, EXTRA])
    bench.run(only=[A, EXTRA])
    found = report(bench)
    assert (found.summary()["total"], found.summary()["verified"], found.summary()["pending"]) == (2, 1, 1)
    assert (found.summary(added=True)["total"], found.summary(added=True)["verified"]) == (1, 1)


def test_history_of_an_item(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.run()
    reader = Reader.open(tmp_path)
    lines = history(reader, A)
    reader.close()
    assert [entry.kind for entry in lines] == ["intent", "changed"]
    assert lines[0].note == "make size"
    assert lines[1].evidence == (f"{A} answers",)
