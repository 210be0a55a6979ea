"""The loop of one item and the run around it: outcomes, order, second runs, evidence, stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plantctl.engine import attest
from plantctl.engine.journal import Journal
from plantctl.engine.recorder import RunRecorder
from plantctl.errors import GateFailed, JournalError, StepBlocked, StepConflict
from plantctl.model.events import (
    ApplyStarted,
    ItemFinished,
    Note,
    OperationFinished,
    RunFinished,
    RunStarted,
    VerifyStarted,
)
from plantctl.model.step import Attestation, Change, Finding, Outcome, Verdict
from tests.unit.engine.toys import BINDING, Bench, World, finds, toy

A, B, C, D = "one.g.a", "one.g.b", "two.g.c", "two.g.d"
REVIEW = Attestation(id="two.g.review", title="Review", question="Who reviewed it?", valid_days=90)


def chain(home: Path) -> Bench:
    """a <- b <- c, and d alone."""
    return Bench(home, [toy(A), toy(B, A), toy(C, B), toy(D)])


def finished(bench: Bench, item: str) -> ItemFinished:
    """The last event of an item."""
    return next(event for event in bench.events if isinstance(event, ItemFinished) and event.item == item)


def test_first_run_changes_and_second_writes_and_probes_nothing(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    first = bench.run()
    assert first.exit_code == 0
    assert set(first.outcomes.values()) == {Outcome.CHANGED}
    assert (first.finished.writes, first.finished.requests) == (4, 12)
    assert bench.kinds(A) == ["intent", "changed"]
    second = bench.run()
    assert set(second.outcomes.values()) == {Outcome.UNCHANGED}
    assert bench.world.made("apply") == bench.world.made("verify") == []
    assert (second.finished.writes, second.finished.requests, second.finished.outcome) == (0, 4, "succeeded")
    assert bench.kinds(A) == ["intent", "changed"]
    assert finished(bench, A).evidence is not None
    assert finished(bench, A).evidence == first_evidence(A)


def first_evidence(item: str) -> object:
    return toy(item).verify(_spoken(item))


def _spoken(item: str) -> World:
    world = World()
    world.note = lambda verb, item: None  # type: ignore[method-assign]
    return world


def test_events_come_in_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.run(target="toy p")
    kinds = [type(event).__name__ for event in bench.events]
    assert kinds == ["RunStarted", "ItemStarted", "ItemChecked", "ApplyStarted", "VerifyStarted", "ItemFinished",
                     "RunFinished"]  # fmt: skip
    assert isinstance(bench.events[0], RunStarted)
    assert bench.events[0].target == "toy p"


def test_the_intent_is_on_disk_before_the_first_write(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    seen: list[list[str]] = []
    bench.world.on["apply", A] = lambda world: seen.append(bench.kinds(A))
    bench.run()
    assert seen == [["intent"]]


def test_in_place_without_evidence_is_verified_and_unchanged(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.world.live[A] = {"size": "1"}
    assert bench.run().outcomes == {A: Outcome.UNCHANGED}
    assert bench.world.made("verify") == [A]
    assert bench.kinds(A) == ["verified"]


def test_evidence_is_void_when_facts_of_a_need_differ(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    bench.run()
    bench.world.live[A] = {"size": "1", "createTime": "later"}  # made again behind our back: another identity
    bench.run()
    assert bench.world.made("apply") == []
    assert sorted(bench.world.made("verify")) == [A, B, C]


def test_evidence_is_void_after_a_need_was_changed(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    bench.run()
    bench.world.live[A] = {"size": "0"}
    result = bench.run()
    assert result.outcomes == {A: Outcome.CHANGED, B: Outcome.UNCHANGED, C: Outcome.UNCHANGED, D: Outcome.UNCHANGED}
    assert sorted(bench.world.made("verify")) == [A, B, C]
    bench.run()
    assert bench.world.made("verify") == []


def test_a_failure_blocks_only_what_needs_it_and_is_taken_up_later(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    bench.world.on["apply", A] = _raise(ValueError("no such thing"))
    result = bench.run()
    assert result.exit_code == 1
    assert result.outcomes == {A: Outcome.FAILED, B: Outcome.BLOCKED, C: Outcome.BLOCKED, D: Outcome.CHANGED}
    assert finished(bench, A).message == f"{A} broke off: ValueError: no such thing"
    assert "no such thing" in getattr(result.errors[A], "trace", "")
    assert finished(bench, B).message == f"{B} needs {A} (failed)"
    assert finished(bench, C).message == f"{C} needs {B} (blocked)"
    bench.world.on.clear()
    assert bench.run().exit_code == 0


def _raise(error: Exception) -> Callable[[World], None]:
    def work(world: World) -> None:
        raise error

    return work


def test_errors_decide_the_exit_code(tmp_path: Path) -> None:
    for number, (error, outcome, code) in enumerate(
        [
            (StepConflict("dropped", hint="--recreate"), Outcome.FAILED, 1),
            (StepBlocked("not without a flag"), Outcome.BLOCKED, 4),
            (GateFailed("too slow"), Outcome.FAILED, 6),
        ]
    ):
        bench = Bench(tmp_path / str(number), [toy(A)])
        bench.world.on["apply", A] = _raise(error)
        result = bench.run()
        assert (result.outcomes[A], result.exit_code) == (outcome, code)


def test_pending_only_waits_and_what_is_found_then_is_applied(tmp_path: Path) -> None:
    drifted = Finding(verdict=Verdict.DRIFTED, changes=(Change(field="size", live="0", desired="1"),))
    there = Finding(verdict=Verdict.IN_PLACE)
    step = finds(toy(A), Finding(verdict=Verdict.PENDING), *[drifted] * 5, there)
    bench = Bench(tmp_path, [step])
    assert bench.run().outcomes == {A: Outcome.CHANGED}
    assert bench.world.made("apply") == [A, A]
    assert [len(event.changes) for event in bench.events if isinstance(event, ApplyStarted)] == [0, 1]


def test_stale_reads_are_read_again(tmp_path: Path) -> None:
    missing = Finding(verdict=Verdict.MISSING)
    bench = Bench(tmp_path, [finds(toy(A), missing, missing, missing, missing, Finding(verdict=Verdict.IN_PLACE))])
    assert bench.run().outcomes == {A: Outcome.CHANGED}
    assert bench.world.made("apply") == [A]


def test_what_still_differs_after_apply_fails_with_the_rest(tmp_path: Path) -> None:
    drifted = Finding(verdict=Verdict.DRIFTED, changes=(Change(field="size", live="0", desired="1"),))
    bench = Bench(tmp_path, [finds(toy(A), drifted)])
    assert bench.run().outcomes == {A: Outcome.FAILED}
    assert finished(bench, A).cause == "size: 0 -> 1"
    assert finished(bench, A).reference == "still-differs"
    assert bench.world.made("apply") == [A]


def test_a_change_that_restarts_needs_its_flag(tmp_path: Path) -> None:
    change = Change(field="settings.tier", live="small", desired="big", restarts=True)
    finding = Finding(verdict=Verdict.DRIFTED, changes=(change,))
    bench = Bench(tmp_path, [finds(toy(A), finding)])
    result = bench.run()
    assert (result.outcomes[A], result.exit_code) == (Outcome.BLOCKED, 4)
    assert "--allow-restart" in finished(bench, A).hint
    assert bench.world.made("apply") == []
    assert bench.kinds(A) == ["blocked"]
    bench = Bench(tmp_path, [finds(toy(A), finding, Finding(verdict=Verdict.IN_PLACE))])
    assert bench.run(allow_restart=True).outcomes[A] is Outcome.CHANGED


def test_a_foreign_resource_needs_adopt(tmp_path: Path) -> None:
    change = Change(field="labels", live={}, desired={"managed-by": "plantctl"})
    foreign = Finding(verdict=Verdict.FOREIGN, changes=(change,))
    bench = Bench(tmp_path, [finds(toy(A), foreign)])
    assert bench.run().outcomes[A] is Outcome.BLOCKED
    assert "--adopt" in finished(bench, A).hint
    assert finished(bench, A).cause == "labels: {} -> {managed-by: plantctl}"
    bench = Bench(tmp_path, [finds(toy(A), foreign, Finding(verdict=Verdict.IN_PLACE))])
    assert bench.run(adopt=True).outcomes[A] is Outcome.CHANGED


@pytest.mark.parametrize("verdict", [Verdict.CONFLICT, Verdict.UNKNOWN])
def test_what_cannot_be_applied_is_not(tmp_path: Path, verdict: Verdict) -> None:
    bench = Bench(tmp_path, [finds(toy(A), Finding(verdict=verdict, reason="it was dropped", hint="--recreate x"))])
    result = bench.run(adopt=True, allow_restart=True)
    assert (result.outcomes[A], result.exit_code) == (Outcome.FAILED, 1)
    assert finished(bench, A).hint == "--recreate x"
    assert bench.world.made("apply") == []


def test_items_without_step_and_what_needs_them_are_blocked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(B, A)], lines=[A, B])
    assert bench.run().outcomes == {A: Outcome.BLOCKED, B: Outcome.BLOCKED}
    assert finished(bench, A).reference == "no-step-yet"
    assert finished(bench, B).message == f"{B} needs {A} (no step yet)"
    assert bench.world.calls == []


def test_a_waiver_and_what_does_not_apply_count_as_in_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(B, A), toy(C, D)], lines=[A, B, C, D], not_applicable={D: "switched off"})
    with Journal(tmp_path) as journal:
        recorder = _recorder(journal, bench)
        attest.waive(bench.catalog, recorder, A, note="done by hand")
    result = bench.run()
    assert result.outcomes == {A: Outcome.UNCHANGED, B: Outcome.CHANGED, C: Outcome.CHANGED, D: Outcome.UNCHANGED}


def _recorder(journal: Journal, bench: Bench) -> RunRecorder:
    return RunRecorder(journal, command="item", binding=BINDING, clock=bench.clock, stop=bench.stop)


def test_an_attestation_waits_for_a_person_and_expires(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [REVIEW, toy(C, REVIEW.id)])
    result = bench.run()
    assert result.outcomes == {REVIEW.id: Outcome.WAITING, C: Outcome.BLOCKED}
    assert (result.exit_code, result.finished.outcome) == (4, "blocked")
    assert finished(bench, C).message == f"{C} needs {REVIEW.id} (waits for a person)"
    bench.run()
    assert bench.kinds(REVIEW.id) == ["waiting"]
    with Journal(tmp_path) as journal:
        attest.attest(bench.catalog, _recorder(journal, bench), REVIEW.id, note="minutes of 2026-11-20", by="ada")
    assert bench.run().exit_code == 0
    bench.clock.advance(91 * 86400)
    assert bench.run().outcomes[REVIEW.id] is Outcome.WAITING


def test_without_needs_they_are_checked_and_never_applied(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    result = bench.run(only=[B], with_needs=False)
    assert result.outcomes == {B: Outcome.BLOCKED}
    assert finished(bench, B).message == f"{B} needs {A} (missing)"
    assert bench.world.calls == [("check", A)]
    bench.world.live[A] = {"size": "1"}
    assert bench.run(only=[B], with_needs=False).outcomes == {B: Outcome.CHANGED}
    assert bench.world.made("verify") == [B]
    assert bench.world.facts.get(A, "size") == "1"


def test_verify_looks_anew_and_never_applies(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    bench.run()
    bench.world.live[D] = {"size": "9"}
    del bench.world.live[C]
    result = bench.run(renew=True)
    assert bench.world.made("apply") == []
    assert bench.world.made("verify") == [A, B]
    assert result.outcomes == {A: Outcome.UNCHANGED, B: Outcome.UNCHANGED, C: Outcome.FAILED, D: Outcome.FAILED}
    assert bench.kinds(D)[-1] == "drifted"
    fresh = Bench(tmp_path / "fresh", [toy(A)])
    assert fresh.run(renew=True).outcomes == {A: Outcome.BLOCKED}


def test_the_project_number_binds_the_journal(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A, number="77"), toy(B, A)])
    bench.run(number_fact=(A, "number"))
    with Journal(tmp_path) as journal:
        assert journal.reader.scope(BINDING).binding.number == "77"
        assert len(journal.reader.bindings()) == 1
    again = Bench(tmp_path, [toy(A, number="88"), toy(B, A)], world=bench.world)
    again.run(number_fact=(A, "number"))
    assert again.world.made("verify") == [A, B]  # another project of the same id: old evidence is not its own
    with Journal(tmp_path) as journal:
        assert journal.reader.scope(BINDING).binding.number == "88"


def test_spans_of_operations_make_the_critical_path(tmp_path: Path) -> None:
    bench = chain(tmp_path)

    def operation(seconds: float) -> Callable[[World], None]:
        def work(world: World) -> None:
            assert world.recorder is not None
            at = bench.clock.now()
            world.recorder.emit(OperationFinished(at=at, operation="o", method_id="m", seconds=seconds))

        return work

    for item, seconds in ((A, 5), (B, 7), (D, 11)):
        bench.world.on["apply", item] = operation(seconds)
    result = bench.run()
    assert (result.finished.critical_path_s, result.critical_path[:2]) == (12, (A, B))


def test_a_stop_starts_nothing_new_and_the_next_run_goes_on(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    bench.parallel = 1
    bench.world.on["apply", A] = lambda world: bench.stop.request(143)
    result = bench.run()
    assert (result.exit_code, result.finished.outcome) == (143, "interrupted")
    assert result.outcomes == {}
    assert bench.world.live == {}  # the request after the stop was not begun
    assert any(isinstance(event, Note) for event in bench.events)
    assert bench.kinds(A) == ["intent", "interrupted"]
    bench.world.on.clear()
    bench.stop = type(bench.stop)()
    assert bench.run().exit_code == 0


def test_a_stop_after_the_last_item_interrupts_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.world.live[A] = {"size": "1"}
    bench.world.on["verify", A] = lambda world: bench.stop.request()
    assert bench.run().exit_code == 0


def test_a_journal_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    bench.parallel = 1

    def fill(world: World) -> None:
        recorder = world.recorder
        assert isinstance(recorder, RunRecorder)
        recorder.journal.writer.do(lambda db: None)
        recorder.journal.writer._db.execute("PRAGMA query_only = ON")

    bench.world.on["apply", A] = fill
    with pytest.raises(JournalError, match="read-only"):
        bench.run()
    assert bench.world.live == {}
    assert bench.world.made("apply") == [A]
    assert isinstance(bench.events[-1], RunFinished)
    assert bench.events[-1].outcome == "failed"


def test_verify_events_name_their_item(tmp_path: Path) -> None:
    bench = chain(tmp_path)
    bench.run()
    assert sorted(e.item for e in bench.events if isinstance(e, VerifyStarted)) == [A, B, C, D]


def test_recreate_makes_an_absence_no_conflict(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.run()
    assert bench.memory().was_in_place(A)
    del bench.world.live[A]
    seen: list[bool] = []
    bench.world.on["check", A] = lambda world: seen.append(bench.memory().was_in_place(A))
    bench.run(recreate=frozenset({A}))
    assert seen[0] is False
    assert bench.memory().was_in_place(A)
