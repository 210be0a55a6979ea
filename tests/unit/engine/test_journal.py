"""The journal: durable, append-only, bound to its target; readable without a trace; damage and edits are found."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from plantctl.engine import schema
from plantctl.engine.audit import audit
from plantctl.engine.journal import Journal, export
from plantctl.engine.memory import JournalMemory
from plantctl.engine.reader import Reader
from plantctl.engine.recorder import LookingRecorder, RunRecorder
from plantctl.engine.records import ENTRY_COLUMNS, Kind, chain
from plantctl.engine.stop import Stop
from plantctl.errors import Interrupted, JournalError, PlantctlError
from plantctl.model.step import Evidence
from tests.unit.engine.toys import BINDING, Bench, ToyClock, toy

A = "one.g.a"
WORDS = {"item": A, "method_id": "toy.things.insert", "resource": "things/a"}


def begin(journal: Journal, clock: ToyClock | None = None, stop: Stop | None = None) -> RunRecorder:
    return RunRecorder(journal, command="phase run", binding=BINDING, clock=clock or ToyClock(), stop=stop or Stop())


def attempt(recorder: RunRecorder, intent: str = "i", body: bytes = b"{}") -> str:
    return recorder.attempt(**WORDS, idempotency="N", purpose="apply", intent=intent, body=body)


def files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir()}


def test_files_are_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Journal(home):
        pass
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()} == {
        "journal.sqlite": 0o600,
        "journal.key": 0o600,
    }


def test_every_commit_is_synced_and_logged_ahead(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        pragmas = journal.writer.do(
            lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        )
    assert pragmas == ["wal", 2]


def test_reading_makes_and_changes_no_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Reader.open(home).close()
    assert not home.exists()
    with Journal(home) as journal:
        begin(journal).record(A, Kind.FAILED)
    before = files(home)
    reader = Reader.open(home)
    assert [entry.kind for entry in reader.entries()] == [Kind.FAILED]
    reader.close()
    assert files(home) == before


def test_a_reader_beside_a_writer_sees_what_was_acknowledged(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        recorder = begin(journal)
        recorder.record(A, Kind.INTENT)
        reader = Reader.open(tmp_path)
        assert len(reader.entries()) == 1
        recorder.record(A, Kind.CHANGED)
        assert len(reader.entries()) == 2
        reader.close()


def test_an_attempt_is_kept_with_its_answer_and_without_its_body(tmp_path: Path) -> None:
    secret = "".join(chr(code) for code in range(97, 122)).encode()
    with Journal(tmp_path) as journal:
        recorder = begin(journal)
        first = attempt(recorder, body=secret)
        assert [(a.id, a.status, a.answered_at) for a in journal.reader.unanswered()] == [(first, 0, None)]
        recorder.answer(first, status=200, operation="operations/1")
        second = attempt(recorder)
        recorder.answer(second, status=0, error="connection reset")
        found = journal.reader.attempts(item=A)
        assert [(a.id, a.status, a.operation, a.error) for a in found] == [
            (second, 0, "", "connection reset"),
            (first, 200, "operations/1", ""),
        ]
        assert [a.id for a in journal.reader.unanswered()] == [second]
        everything = b"".join(files(tmp_path).values())
    assert secret not in everything
    assert b"things/a" in everything


def test_an_intent_is_kept_until_its_outcome_is_known(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        recorder = begin(journal)
        intent = recorder.intent(**WORDS)
        for status in (0, 503, 409, 429):
            recorder.answer(attempt(recorder, intent), status=status, error="x")
            assert begin(journal).intent(**WORDS) == intent, status
        assert recorder.intent(**(WORDS | {"resource": "things/b"})) != intent
        for status in (200, 400, 404):
            recorder.answer(attempt(recorder, intent), status=status)
            assert recorder.intent(**WORDS) != intent, status


def test_requests_are_counted_by_purpose(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        recorder = begin(journal)
        for _ in range(120):
            recorder.read()
        attempt(recorder)
        recorder.attempt(**WORDS, idempotency="X", purpose="probe", intent="i", body=b"")
        assert recorder.counts() == (1, 122)
        recorder.finish("succeeded", {"changed": 1})
        (run,) = journal.reader.runs()
    assert (run.outcome, run.reads, run.totals["changed"], run.command) == ("succeeded", 120, 1, "phase run")


def test_after_a_stop_no_request_is_begun(tmp_path: Path) -> None:
    stop = Stop()
    with Journal(tmp_path) as journal:
        recorder = begin(journal, stop=stop)
        stop.request(143)
        with pytest.raises(Interrupted) as caught:
            attempt(recorder)
        with pytest.raises(Interrupted):
            recorder.read()
        assert journal.reader.attempts() == []
    assert caught.value.exit_code == 143


def test_looking_refuses_to_write() -> None:
    recorder = LookingRecorder(stop=Stop())
    recorder.read()
    with pytest.raises(PlantctlError, match="which writes"):
        recorder.attempt(**WORDS, idempotency="N", purpose="apply", intent="", body=b"")
    assert recorder.reads == 1


def test_memory_is_limited_to_target_project_and_incarnation(tmp_path: Path) -> None:
    clock = ToyClock()
    with Journal(tmp_path) as journal:
        recorder = begin(journal, clock)
        recorder.record(A, Kind.VERIFIED, evidence=Evidence(words=("seen",)))
        attempt(recorder)
        memory = JournalMemory.of_run(recorder, clock)
        memory.adopt("one.g.b", "things/b")
        clock.advance(100)
        assert memory.was_in_place(A)
        assert memory.adopted("one.g.b")
        assert len(memory.attempts(method_id="toy.things.insert", since_s=101)) == 1
        assert memory.attempts(since_s=99) == []
        other = replace(BINDING, incarnation="two")
        elsewhere = JournalMemory.of_look(journal.reader, journal.reader.scope(other), clock)
        assert not elsewhere.was_in_place(A)
        assert elsewhere.attempts() == []
        memory.forgotten(A)
        assert not memory.was_in_place(A)
        with pytest.raises(PlantctlError, match="only looks"):
            elsewhere.adopt(A, "things/a")


def test_many_threads_write_one_unbroken_chain(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        recorder = begin(journal)
        threads = [
            threading.Thread(target=lambda: [recorder.record(A, Kind.FAILED) for _ in range(10)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = audit(journal.reader)
    assert (found.entries, found.problems) == (80, ())


def _written(home: Path) -> None:
    with Journal(home) as journal:
        recorder = begin(journal)
        for kind in (Kind.INTENT, Kind.CHANGED, Kind.VERIFIED):
            recorder.record(A, kind, evidence=Evidence(words=("seen",)))
        attempt(recorder)
        attempt(recorder)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE entries SET evidence = '[\"all is well\"]' WHERE seq = 2", "entry 2: was edited"),
        ("DELETE FROM entries WHERE seq = 2", "entry 2 to 2: missing"),
        ("DELETE FROM entries WHERE seq = 3", "entry 3 was the last one written; 2 is the last here"),
        ("DELETE FROM attempts WHERE seq = 1", "attempt 1 to 1: missing"),
        ("UPDATE attempts SET run = 'nowhere' WHERE seq = 2", "attempt a2: its run nowhere is not in the journal"),
        ("DELETE FROM runs", "entry 1: its run"),
    ],
)
def test_edited_history_is_found(tmp_path: Path, sql: str, words: str) -> None:
    _written(tmp_path)
    reader = Reader.open(tmp_path)
    assert audit(reader).problems == ()
    reader.close()
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute("DELETE FROM entries")
    for trigger in ("entries_no_update", "entries_no_delete"):
        db.execute(f"DROP TRIGGER {trigger}")
    db.execute(sql)
    db.commit()
    db.close()
    reader = Reader.open(tmp_path)
    problems = audit(reader).problems
    reader.close()
    assert any(words in problem for problem in problems), problems


def test_history_rewritten_from_the_middle_is_found(tmp_path: Path) -> None:
    _written(tmp_path)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("DROP TRIGGER entries_no_update")
    row = list(db.execute(f"SELECT {ENTRY_COLUMNS} FROM entries WHERE seq = 2").fetchone())
    row[11] = "all is well"  # the note, with a hash that fits it
    db.execute("UPDATE entries SET note = ?, hash = ? WHERE seq = 2", (row[11], chain(row[13], tuple(row[:13]))))
    db.commit()
    db.close()
    reader = Reader.open(tmp_path)
    problems = audit(reader).problems
    reader.close()
    assert problems == ("entry 3: does not follow the entry before it; history was cut or replaced",)


def test_a_newer_schema_is_refused_with_words(tmp_path: Path) -> None:
    _written(tmp_path)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    db.close()
    before = files(tmp_path)
    for use in (Journal, Reader.open):
        with pytest.raises(JournalError, match="has schema 2; this plantctl knows 1") as caught:
            use(tmp_path)
        assert "never downgraded" in caught.value.hint
    assert files(tmp_path)["journal.sqlite"] == before["journal.sqlite"]


@pytest.mark.parametrize("where", ["header", "page", "free list"])
def test_a_damaged_file_is_refused_with_words(tmp_path: Path, where: str) -> None:
    _written(tmp_path)
    path = tmp_path / "journal.sqlite"
    data = bytearray(path.read_bytes())
    at, length = {"header": (0, 200), "page": (4096, 200), "free list": (36, 4)}[where]
    data[at : at + length] = b"\x01" * length
    path.write_bytes(data)
    for use in (Journal, Reader.open):
        with pytest.raises(JournalError) as caught:
            use(tmp_path)
        assert "move" in caught.value.hint


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        recorder = begin(journal)
        recorder.record(A, Kind.INTENT)
        pages = journal.writer._db.execute("PRAGMA page_count").fetchone()[0]
        journal.writer._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalError, match="the disk is full") as caught:
            recorder.record(A, Kind.FAILED, note="x" * 100_000)
        assert "free space" in caught.value.hint
        journal.writer._db.execute("PRAGMA max_page_count = 100000")
        recorder.record(A, Kind.CHANGED)
        assert [entry.kind for entry in journal.reader.entries()] == [Kind.INTENT, Kind.CHANGED]
        assert audit(journal.reader).problems == ()


QUOTA = """
import resource, sys
from pathlib import Path
from plantctl.engine.records import Kind
from plantctl.errors import JournalError
from plantctl.engine.journal import Journal
from tests.unit.engine.test_journal import A, begin
with Journal(Path(sys.argv[1])) as journal:
    recorder = begin(journal)
    recorder.record(A, Kind.INTENT)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        for number in range(100):
            recorder.record(A, Kind.FAILED, note="x" * 20_000)
            print("acknowledged", number, flush=True)
    except JournalError as error:
        print("refused", error.message, error.hint, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_a_quota_of_the_system_is_said_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUOTA, str(tmp_path)], capture_output=True, text=True, cwd=os.getcwd(), check=True
    )
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("refused")
    assert "disk" in lines[-1]
    reader = Reader.open(tmp_path)
    assert len(reader.entries()) == len(lines)  # the intent and one entry a line, the last line being the refusal
    assert audit(reader).problems == ()
    reader.close()


def test_export_is_one_document(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [toy(A)])
    bench.run()
    reader = Reader.open(tmp_path)
    document = export(reader)
    reader.close()
    assert document["schema_version"] == 1
    assert [len(document[name]) for name in ("bindings", "runs", "entries", "attempts")] == [1, 1, 2, 1]  # type: ignore[arg-type]


def test_a_journal_that_is_just_being_made_reads_as_empty(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / schema.FILE_NAME) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
        reader = Reader.open(tmp_path)
        assert reader.entries() == []
        reader.close()
    db.close()
