"""The plan: first checks only, in any state of the world; nothing is written anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from plantctl.engine.drift import record_drift
from plantctl.engine.journal import Journal
from plantctl.engine.recorder import RunRecorder
from plantctl.errors import Interrupted
from plantctl.model.step import Attestation, Change, Finding, Later, Verdict
from tests.unit.engine.toys import BINDING, Bench, World, finds, toy

A, B, C, D = "one.g.a", "one.g.b", "two.g.c", "two.g.d"


def test_what_comes_after_something_missing_is_unknown(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "home", [toy(A), toy(B, A), toy(C, B), toy(D)])
    bench.world.live[D] = {"size": "1"}
    plan = bench.plan()
    found = {item.id: (item.verdict, item.finding.reason if item.finding else "") for item in plan.items}
    assert found == {
        A: (Verdict.MISSING, ""),
        B: (Verdict.UNKNOWN, f"after {A}"),
        C: (Verdict.UNKNOWN, f"after {B}"),
        D: (Verdict.IN_PLACE, ""),
    }
    assert sorted(bench.world.calls) == [("check", A), ("check", D)]
    assert plan.requests == 2
    assert [item.id for item in plan.pending] == [A, B, C]
    assert (plan.exit_code(), plan.exit_code(detailed=True)) == (0, 3)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("verdict", [Verdict.DRIFTED, Verdict.FOREIGN])
def test_what_is_there_but_differs_is_looked_past(tmp_path: Path, verdict: Verdict) -> None:
    differs = Finding(verdict=verdict, changes=(Change(field="size", live="2", desired="1"),), facts={"number": "7"})
    bench = Bench(tmp_path, [finds(toy(A), differs), toy(B, A), toy(C, B), toy(D, B)])
    bench.world.live = {B: {"size": "3"}, C: {"size": "1"}}

    def fail(world: World) -> None:
        raise PermissionError("the API is off")

    bench.world.on["check", D] = fail
    plan = bench.plan()
    found = {item.id: (item.verdict, item.finding.reason if item.finding else "") for item in plan.items}
    assert found == {
        A: (verdict, ""),
        B: (Verdict.DRIFTED, ""),
        C: (Verdict.IN_PLACE, ""),
        D: (Verdict.UNKNOWN, f"after {A}, {B}"),
    }
    assert plan.errors == ()
    assert bench.world.facts.get(A, "number") == "7"


def test_a_plan_says_how_long_by_the_longest_chain(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(B, A), toy(C, lanes=["x"]), toy(D, lanes=["x"])])
    plan = bench.plan()
    assert (plan.expect_s, plan.critical_path_s, len(plan.critical_path)) == (20, 10, 2)
    bench.world.live[A] = {"size": "1"}
    assert bench.plan("one").critical_path_s == 5


def test_a_check_that_raises_is_an_error_of_its_item(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(B, A), toy(D)])

    def fail(world: World) -> None:
        raise KeyError("settings")

    bench.world.on["check", A] = fail
    plan = bench.plan()
    assert plan.exit_code(detailed=True) == 1
    assert [item.id for item in plan.errors] == [A]
    assert "KeyError" in str(plan.errors[0].error)
    assert plan.items[2].verdict is Verdict.MISSING


def test_a_check_that_would_write_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.world.on["check", A] = lambda world: world.write(A, {})
    plan = bench.plan()
    assert plan.errors[0].error is not None
    assert plan.errors[0].error.reference == "write-refused"
    assert bench.world.live == {}


def test_forms_other_than_steps_are_named(tmp_path: Path) -> None:
    review = Attestation(id=B, title="Review", question="Who?", valid_days=9)
    bench = Bench(tmp_path, [review, toy(D, C)], lines=[A, B, C, D], not_applicable={C: "switched off"})
    plan = bench.plan()
    assert [item.form for item in plan.items] == ["no-step", "attestation", "not-applicable", "step"]
    assert plan.items[1].question == "Who?"
    assert plan.items[3].verdict is Verdict.MISSING
    assert [item.id for item in plan.pending] == [D]


def test_evidence_and_later_values_are_shown(tmp_path: Path) -> None:
    later = Finding(verdict=Verdict.MISSING, changes=(Change(field="network", desired=Later(A, "selfLink")),))
    bench = Bench(tmp_path, [toy(A), finds(toy(B), later)])
    bench.run(only=[A])
    plan = bench.plan()
    assert [item.evidence for item in plan.items] == [True, False]
    bench.world.live[A]["createTime"] = "other"
    assert [item.evidence for item in bench.plan().items] == [False, False]


def test_pulled_in_and_checked_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A), toy(C, A)])
    assert [(item.id, item.pulled_in) for item in bench.plan("two").items] == [(A, True), (C, False)]
    assert [item.id for item in bench.plan("two", with_needs=False).items] == [C]


def test_a_stopped_plan_raises(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.world.on["check", A] = lambda world: bench.stop.request()
    with pytest.raises(Interrupted):
        bench.plan()


def test_drift_goes_to_the_journal_and_voids_evidence(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.run()
    bench.world.live[A] = {"size": "7"}
    found = bench.plan()
    with Journal(tmp_path) as journal:
        recorder = RunRecorder(journal, command="drift", binding=BINDING, clock=bench.clock, stop=bench.stop)
        assert record_drift(found, recorder) == (A,)
        assert journal.reader.entries(item=A)[-1].note == "size: 7 -> 1"
    bench.world.live[A] = {"size": "1"}
    bench.run()
    assert bench.world.made("verify") == [A]
