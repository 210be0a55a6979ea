"""Backups on demand: one each, whatever the wire does; a lost answer, a killed run, one that fails, none to back up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plantctl.cli.backup import unsettled
from plantctl.clock import SystemClock
from plantctl.engine.journal import Journal
from plantctl.engine.memory import JournalMemory
from plantctl.engine.recorder import RunRecorder
from plantctl.engine.records import Binding
from plantctl.engine.stop import Stop
from plantctl.errors import OperationFailed, PlantctlError
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.target import sandbox_target
from plantctl.model.facts import Facts
from plantctl.model.plant import Database, Plant, Project
from plantctl.steps import backups
from plantctl.steps.context import Context
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.sqladmin_kit import ONE, make

PLANT = Plant(project=Project(id=PROJECT), database=Database(instance="plant"))
Begin = Callable[..., tuple[Context, RunRecorder]]


@pytest.fixture
def begin(sandbox: Sandbox, tmp_path: Path) -> Iterator[Begin]:
    """Begins a run of `backup create`, as the command line does; `finish` with an outcome, or leave it open."""
    with Journal(tmp_path) as journal:
        target = sandbox_target({"rest": sandbox.rest}, project=PROJECT, region="us-central1")
        clock = SystemClock()

        def run(command: str = "backup create") -> tuple[Context, RunRecorder]:
            binding = Binding(target="sandbox", project=PROJECT)
            recorder = RunRecorder(journal, command=command, binding=binding, clock=clock, stop=Stop())
            memory = JournalMemory.of_run(recorder, clock)
            gcp = Gcp(target, recorder, memory, clock)
            context = Context(plant=PLANT, gcp=gcp, facts=Facts(), memory=memory, clock=clock, base=tmp_path)
            return context, recorder

        yield run


def runs(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The instance's backup runs as curl sees them."""
    return list(sandbox.ok("GET", f"{ONE}/backupRuns").get("items", []))


def test_a_backup_is_made_and_listed(sandbox: Sandbox, begin: Begin) -> None:
    make(sandbox)
    context, recorder = begin()
    made, new = backups.create(context, run=recorder.run, note="before the move")
    assert (made.status, made.type, new) == ("SUCCESSFUL", "ON_DEMAND", True)
    assert made.description == f"before the move {backups.marker(recorder.run)}"
    assert made.seconds is not None
    second = create(begin)
    assert second.id != made.id
    assert [one.id for one in backups.listed(context.gcp, PLANT)] == [second.id, made.id]
    assert len(runs(sandbox)) == 2


def create(begin: Begin) -> backups.Backup:
    """One more run that makes a backup."""
    context, recorder = begin()
    return backups.create(context, run=recorder.run)[0]


@pytest.mark.parametrize("do", ["reset", {"status": 503}, "truncate:10"])
def test_a_lost_answer_makes_no_second_backup(sandbox: Sandbox, begin: Begin, do: Any) -> None:
    make(sandbox)
    sandbox.faults({"match": "sql.backupRuns.insert", "when": "after_commit", "do": do})
    context, recorder = begin()
    made, new = backups.create(context, run=recorder.run)
    assert (made.status, new) == ("SUCCESSFUL", True)
    assert [run["id"] for run in runs(sandbox)] == [made.id]
    assert sandbox.ok("GET", "_sandbox/faults")["unfired"] == []


def test_a_request_that_never_arrived_is_sent_again(sandbox: Sandbox, begin: Begin) -> None:
    make(sandbox)
    sandbox.faults({"match": "sql.backupRuns.insert", "when": "before", "do": "reset"})
    assert create(begin).status == "SUCCESSFUL"
    assert len(runs(sandbox)) == 1
    sent = [entry for entry in sandbox.wire() if entry["method_id"] == "sql.backupRuns.insert"]
    assert len(sent) == 2


def test_what_a_killed_run_began_is_taken_over_once(sandbox: Sandbox, begin: Begin) -> None:
    """The next `backup create` waits for it; the one after that makes a new one."""
    make(sandbox)
    sandbox.ok("PUT", "_sandbox/clock", body={"speed": 20})
    _, killed = begin()
    operation = sandbox.ok("POST", f"{ONE}/backupRuns", {"description": backups.marker(killed.run)})
    assert operation["status"] != "DONE"
    context, recorder = begin()
    open_runs = unsettled(recorder.journal.reader, but=recorder.run)
    assert open_runs == (killed.run,)
    sandbox.ok("PUT", "_sandbox/clock", body={"speed": "max"})
    made, new = backups.create(context, run=recorder.run, unsettled=open_runs)
    assert (new, made.status, made.description) == (False, "SUCCESSFUL", backups.marker(killed.run))
    recorder.finish("succeeded", {})
    begin("phase run all")
    context, recorder = begin()
    assert unsettled(recorder.journal.reader, but=recorder.run) == ()
    assert backups.create(context, run=recorder.run)[1] is True
    assert len(runs(sandbox)) == 2


def test_a_run_that_left_nothing_is_no_hindrance(sandbox: Sandbox, begin: Begin) -> None:
    make(sandbox)
    _, failed = begin()
    failed.finish("failed", {})
    context, recorder = begin()
    open_runs = unsettled(recorder.journal.reader, but=recorder.run)
    assert open_runs == (failed.run,)
    assert backups.create(context, run=recorder.run, unsettled=open_runs)[1] is True
    assert len(runs(sandbox)) == 1


def test_a_backup_that_fails_is_an_error(sandbox: Sandbox, begin: Begin) -> None:
    make(sandbox)
    error = {"lro_error": {"code": "INTERNAL_ERROR", "message": "the disk snapshot failed"}}
    sandbox.faults({"match": "sql.backupRuns.insert", "when": "on_poll", "do": error})
    with pytest.raises(OperationFailed, match="the disk snapshot failed"):
        create(begin)


def test_no_instance_to_back_up(begin: Begin) -> None:
    context, recorder = begin()
    for look in (lambda: backups.create(context, run=recorder.run), lambda: backups.listed(context.gcp, PLANT)):
        with pytest.raises(PlantctlError, match="there is no instance plant in") as refused:
            look()
        assert refused.value.reference == "no-instance"
