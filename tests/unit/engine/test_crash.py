"""SIGKILL at each point of a write: the journal opens, names what is open, and the next run converges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plantctl.engine.audit import audit
from plantctl.engine.reader import Reader
from plantctl.engine.status import status
from plantctl.model.status import Status
from plantctl.model.step import Outcome
from tests.unit.engine.toys import BINDING, Bench, World, toy

A, B = "one.g.a", "one.g.b"
POINTS = ("before-intent", "before-send", "after-send", "after-answer", "before-evidence")


class KilledWorld(World):
    """A world that outlives its process: `live` is a file; and a process that ends itself at a chosen point."""

    def __init__(self, home: Path, point: str) -> None:
        super().__init__()
        self.file = home / "cloud.json"
        self.point = point
        self.live = json.loads(self.file.read_text()) if self.file.exists() else {}

    def die(self, point: str) -> None:
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, verb: str, item: str) -> None:
        super().note(verb, item)
        if (verb, item, self.made("check").count(item)) == ("check", B, 1):
            self.die("before-intent")
        if (verb, item) == ("verify", B):
            self.die("before-evidence")

    def write(self, item: str, body: object) -> None:
        assert self.recorder is not None
        assert isinstance(body, dict)
        words = {"item": item, "method_id": "toy.things.insert", "resource": f"things/{item}"}
        intent = self.recorder.intent(**words)
        if item == B:
            self.die("before-send")
        attempt = self.recorder.attempt(**words, idempotency="N", purpose="apply", intent=intent, body=b"")
        self.live[item] = body
        self.file.write_text(json.dumps(self.live))
        if item == B:
            self.die("after-send")
        self.recorder.answer(attempt, status=200)
        if item == B:
            self.die("after-answer")


def bench(home: Path, point: str) -> Bench:
    return Bench(home / "journal", [toy(A), toy(B, A)], world=KilledWorld(home, point))


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_leaves_a_sound_journal_and_resumes(tmp_path: Path, point: str) -> None:
    killed = subprocess.run([sys.executable, "-m", __name__, str(tmp_path), point], cwd=os.getcwd(), check=False)
    assert killed.returncode == -signal.SIGKILL
    reader = Reader.open(tmp_path / "journal")
    assert audit(reader).problems == ()
    assert len(reader.unanswered()) == (1 if point == "after-send" else 0)
    (run,) = reader.runs()
    assert (run.outcome, run.finished) == ("interrupted", None)
    after = bench(tmp_path, "")
    report = status(after.catalog, reader, binding=BINDING, now=after.clock.now(), environment="e")
    reader.close()
    lines = {item.id: item for item in report.items}
    assert lines[A].status is Status.VERIFIED
    assert lines[B].status is Status.PENDING
    assert lines[B].note.startswith("interrupted") is (point != "before-intent")
    result = after.run()
    made = Outcome.CHANGED if point in ("before-intent", "before-send") else Outcome.UNCHANGED
    assert result.outcomes == {A: Outcome.UNCHANGED, B: made}
    assert after.world.live == {A: {"size": "1"}, B: {"size": "1"}}
    assert bench(tmp_path, "").run().finished.writes == 0


if __name__ == "__main__":
    bench(Path(sys.argv[1]), sys.argv[2]).run()
