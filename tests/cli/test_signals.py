"""SIGINT once, twice, SIGTERM; a reader that goes away; the lock between processes; what a killed run leaves."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time

import pytest

from tests.cli.conftest import Operator, ended, wait_for

pytestmark = pytest.mark.sandbox

ITEM = "predeploy.project.create"
RUN = ("phase", "run", "--only", ITEM)


@pytest.fixture
def slow(operator: Operator) -> Operator:
    """An operator whose sandbox takes minutes to make a project."""
    assert operator.types("sandbox", "up", "--speed", "0.1").returncode == 0
    return operator


def sent(operator: Operator) -> bool:
    """True when the first write is in the journal."""
    path = operator.home / "journal.sqlite"
    return path.exists() and operator.json("journal", "verify")["attempts"] > 0


def last_run(operator: Operator) -> str:
    """Outcome of the newest run in the journal."""
    return str(operator.json("status", "runs")["runs"][0]["outcome"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_the_waiting_at_once(slow: Operator, number: signal.Signals, code: int) -> None:
    process = slow.starts(*RUN)
    wait_for(lambda: sent(slow))
    begun = time.monotonic()
    got, out, err = ended(process, number, after=lambda: True)
    assert (got, time.monotonic() - begun < 5) == (code, True)
    assert "nothing new is started" in err
    assert "run the same command again" in " ".join(err.split())
    assert "Traceback" not in err
    assert "interrupted" in out
    assert last_run(slow) == "interrupted"
    assert slow.json("lock", "show")["lock"]["held"] is False
    assert slow.json("item", "show", ITEM)["item"]["status"] == "pending"


def test_the_next_run_attaches_to_what_goes_on(slow: Operator) -> None:
    process = slow.starts(*RUN)
    assert ended(process, signal.SIGINT, after=lambda: sent(slow))[0] == 130
    rest = slow.json("sandbox", "status")["rest"]
    assert slow.types("sandbox", "status").returncode == 0
    speed = f"import urllib.request as r; r.build_opener(r.ProxyHandler({{}})).open(r.Request('{rest}/_sandbox/clock'"
    speed += """, data=b'{"speed": "max"}', method='PUT'))"""
    subprocess.run([slow.command()[0], "-c", speed], check=True)
    finished = slow.events(*RUN)[-1]
    assert (finished["outcome"], finished["writes"]) == ("succeeded", 0)


def test_the_second_signal_ends_plantctl_though_a_call_hangs(slow: Operator) -> None:
    plan = {"rules": [{"match": "cloudresourcemanager.projects.get", "when": "before", "do": "hang:60"}]}
    slow.types("sandbox", "faults", "-", text=json.dumps(plan))
    process = slow.starts(*RUN)
    wait_for(lambda: bool(slow.json("lock", "show")["lock"]["held"]))
    wait_for(lambda: slow.json("sandbox", "faults")["unfired"] == [])
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "nothing new is started" not in process.stderr.readline():
        pass
    assert process.poll() is None, "the call hangs, and the first signal lets it answer"
    begun = time.monotonic()
    code, _, err = ended(process, signal.SIGINT, after=lambda: True)
    assert (code, time.monotonic() - begun < 5) == (130, True)
    assert "ended at once" in err
    assert slow.json("lock", "show")["lock"]["held"] is False
    assert slow.types("journal", "verify").returncode == 0


def test_another_process_holds_the_lock(slow: Operator) -> None:
    process = slow.starts(*RUN)
    wait_for(lambda: sent(slow))
    second = slow.types(*RUN)
    assert second.returncode == 5
    assert f"pid {process.pid}, since " in " ".join(second.stderr.split())
    assert f"phase run --only {ITEM}" in " ".join(second.stderr.split())
    assert slow.types("lock", "release").returncode == 5
    waived = slow.types("item", "waive", "cache.instance.create", "--note", "a word may be given meanwhile")
    assert waived.returncode == 0
    assert slow.json("item", "show", ITEM)["item"]["status"] == "running"
    process.kill()
    process.communicate(timeout=30)
    assert slow.json("lock", "show")["lock"]["held"] is False
    assert "cleared the words" in slow.types("lock", "release").stdout
    assert [run["outcome"] for run in slow.json("status", "runs")["runs"]] == ["succeeded", "interrupted"]


def test_a_reader_that_has_seen_enough_is_no_error(operator: Operator) -> None:
    for words in ("status checklist", "--help", "config list"):
        command = shlex.join(operator.command(*words.split()))
        script = f"{command} | head -c 1 >/dev/null"
        done = subprocess.run(["sh", "-c", script], cwd=operator.folder, env=operator.environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_run_goes_on_when_its_reader_goes_away(operator: Operator) -> None:
    operator.types("sandbox", "up", "--speed", "max")
    command = shlex.join(operator.command(*RUN, "--format", "json"))
    done = subprocess.run(
        ["sh", "-c", f"({command}; echo $? > code) | head -n 1 >/dev/null"],
        cwd=operator.folder,
        env=operator.environment,
        capture_output=True,
        check=True,
    )
    assert (operator.folder / "code").read_text() == "0\n"
    assert b"Traceback" not in done.stderr
    assert last_run(operator) == "succeeded"


def test_a_full_disk_is_told(operator: Operator) -> None:
    """The journal's file is limited instead of a disk filled: the kernel refuses to let it grow."""
    operator.types("sandbox", "up", "--speed", "max")
    operator.types("item", "waive", "cache.instance.create", "--note", "makes the journal")
    log = operator.home / "journal.sqlite"
    script = f"trap '' XFSZ; ulimit -f {log.stat().st_size // 512 // 2 + 1}; exec {shlex.join(operator.command(*RUN))}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=operator.folder, env=operator.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "[journal-unusable]" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_run_ends_with_its_totals(operator: Operator) -> None:
    operator.types("sandbox", "up", "--speed", "max")
    wanted = {"outcome", "changed", "unchanged", "failed", "blocked", "waiting", "writes", "requests"}
    events = operator.events("phase", "run", "--only", "loadbalancer.lb.create", "--only", ITEM, "--parallel", "1")
    assert wanted | {"duration_s", "critical_path_s", "event", "schema_version"} <= set(events[-1])
    assert (events[-1]["outcome"], events[-1]["blocked"], events[-1]["changed"]) == ("blocked", 1, 1)
    done = operator.types("phase", "run", "--only", "loadbalancer.lb.create")
    assert (done.returncode, "no step yet (1): loadbalancer.lb.create" in done.stdout) == (4, True)
