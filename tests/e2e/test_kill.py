"""SIGKILL of plantctl and of the sandbox, and lost answers: the next run ends where an undisturbed one does."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.conftest import Finished, Maker, kill_sandbox
from tests.e2e.joins import bodies_of, differences, join, keys_of
from tests.e2e.operator import PROJECT, Operator

PHASES = ("predeploy", "database")
SEED = 20261123
SECRETS = ("DATABASE_PASSWORD", "DATABASE_OWNER_PASSWORD", "JWT_SECRET_KEY", "API_KEYS")
KILLS = 10
WITHIN: dict[str, bool] = {}
"""Which of the kills of this session fell into an operation of the cloud."""


def points(length: int, count: int, salt: int) -> list[int]:
    """Seeded, uniform over the wire sequence of an undisturbed run."""
    return [random.Random(f"{SEED}/{salt}/{n}").randrange(1, length) for n in range(count)]


def values(operator: Operator) -> dict[str, str]:
    """Hashes of all secret versions, by name."""
    found = {}
    for secret in SECRETS:
        base = f"secretmanager/v1/projects/{PROJECT}/secrets/{secret}"
        if f"secretmanager/projects/{PROJECT}/secrets/{secret}/versions/1" in operator.resources("secretmanager/"):
            data = operator.call("GET", f"{base}/versions/1:access")["payload"]["data"]
            found[secret] = hashlib.sha256(data.encode()).hexdigest()
    return found


def kill_at(operator: Operator, process: Any, number: int) -> tuple[int, list[str]]:
    """SIGKILL once so many requests were on the wire; the number then, and the operations under way at that moment."""
    end = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < end:
        if operator.control("GET", f"wire?since={number - 1}"):  # short answers: the sandbox has other work to do
            process.kill()
            count = operator.mark()
            moment = datetime.now(UTC).isoformat()
            process.wait()
            under_way = [
                op["method_id"]
                for op in operator.operations()
                if not op["done"] or str(op["end_time"] or "").replace("Z", "+00:00") > moment
            ]
            return count, under_way
        time.sleep(0.01)
    raise AssertionError(f"it ended before request {number}: {operator.end(process, limit_s=1).failures}")


def assert_same_end(operator: Operator, finished: Finished) -> None:
    """As an undisturbed run leaves it: the same things, each once, with the same bodies; then silence."""
    resources = operator.resources()
    there, wanted = keys_of(resources), keys_of(finished.resources)
    assert {key: n for key, n in there.items() if n > wanted[key] and "/executions/" not in key} == {}, "made twice"
    assert there == wanted
    differ = differences(bodies_of(finished.resources), bodies_of(resources))
    assert not differ
    with operator.journal() as journal:
        joined = join(operator.wire(), journal)
        assert (joined.only_wire, joined.repeated, joined.other) == ([], [], [])
        # a kill between the record and the first byte leaves an attempt that was never sent, and so never answered
        open_ones = {f"plantctl/{a.run}/{a.id}" for a in journal.attempts() if a.answered_at is None}
        assert set(joined.only_journal) <= open_ones
    again = operator.run(*PHASES)
    assert (again.code, again.finished["writes"]) == (0, 0), again.failures


def killed_and_resumed(operator: Operator, finished: Finished, number: int, *, label: str) -> None:
    """Kill at that request, run again, compare."""
    operator.up()
    process = operator.start("phase", "run", *PHASES, "--format", "json")
    count, under_way = kill_at(operator, process, number)
    WITHIN[label] = bool(under_way)
    before = values(operator)
    print(f"{label}: killed at request {count} of {len(finished.wire)}, within {', '.join(under_way) or 'nothing'}")
    done = operator.run(*PHASES)
    assert done.code == 0, done.failures
    after = values(operator)
    assert {name: after[name] for name in before} == before, "a password changed"
    assert_same_end(operator, finished)


@pytest.mark.parametrize("salt", [101, 102])
def test_a_killed_run_is_resumed(finished: Finished, fresh: Maker, salt: int) -> None:
    # one in the first half, one in the second
    half = len(finished.wire) // 2
    number = points(half, 1, salt)[0] + (half if salt == 102 else 0)
    killed_and_resumed(fresh(), finished, number, label=f"sample {salt}")


@pytest.mark.acceptance
@pytest.mark.timeout(900)
@pytest.mark.parametrize("speed", ["max", "600"])
@pytest.mark.parametrize("n", range(KILLS))
def test_kills_uniform_over_the_wire(finished: Finished, fresh: Maker, n: int, speed: str) -> None:
    number = points(len(finished.wire), KILLS, 1 if speed == "max" else 2)[n]
    killed_and_resumed(fresh(speed=speed), finished, number, label=f"speed {speed}, kill {n}")


@pytest.mark.acceptance
def test_enough_of_the_kills_fell_into_an_operation() -> None:
    campaign = [within for label, within in WITHIN.items() if label.startswith("speed")]
    print(f"{sum(campaign)} of {len(campaign)} kills within an operation")
    if len(campaign) < 2 * KILLS:
        pytest.skip("the campaign of kills was not run as a whole")
    assert sum(campaign) >= 8


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_a_sandbox_killed_twice_loses_nothing_that_it_acknowledged(finished: Finished, fresh: Maker) -> None:
    operator = fresh()
    operator.up()
    for number in (len(finished.wire) // 3, 2 * len(finished.wire) // 3):
        process = operator.start("phase", "run", *PHASES, "--format", "json")
        while not operator.control("GET", f"wire?since={number - 1}") and process.poll() is None:
            time.sleep(0.01)
        before, secrets = operator.resources(), values(operator)
        kill_sandbox(operator)
        done = operator.end(process, limit_s=150)
        assert done.code == 1, done.failures
        assert "Traceback" not in done.out + done.err
        assert "sandbox" in done.out + done.err
        operator.up()
        after = operator.resources()
        lost = [key for key in before.keys() - after.keys() if not key.startswith(("logging/", "storage-upload"))]
        assert not lost
        assert {name: value for name, value in values(operator).items() if name in secrets} == secrets
        print(f"sandbox killed at request {number}: plantctl ended after {done.seconds:.1f} s, nothing lost")
    final = operator.run(*PHASES)
    assert final.code == 0, final.failures
    resources = operator.resources()
    wanted = keys_of(finished.resources)
    more = {key: n for key, n in keys_of(resources).items() if n > wanted[key]}
    # what was cut off inside a job or a build has to be done again, and is there to be seen
    assert not [key for key in more if "/executions/" not in key and "/builds/" not in key], more
    assert operator.run(*PHASES).finished["writes"] == 0


def lost_answers(finished: Finished) -> list[dict[str, Any]]:
    """One fault for the first answer to each mutating call: after it was done, the connection is cut."""
    rules: list[dict[str, Any]] = []
    counts: Counter[tuple[str, str]] = Counter()
    for entry in finished.wire:
        if not entry["mutating"]:
            continue
        pair = (entry["method_id"], entry["resource"])
        counts[pair] += 1
        # executions of a job are calls of their own; a policy is written more than once, and may be
        if counts[pair] == 1 or entry["method_id"].endswith("jobs.run"):
            rule = {"match": entry["method_id"], "resource": entry["resource"].split("/", 1)[-1]}
            rules.append({**rule, "nth": counts[pair], "when": "after_commit", "do": "reset"})
    return rules


@pytest.mark.timeout(400)
def test_the_first_answer_of_each_write_is_lost_after_it_was_done(finished: Finished, fresh: Maker) -> None:
    operator = fresh()
    operator.up()
    rules = lost_answers(finished)
    operator.faults(*rules)
    runs = [operator.run(*PHASES)]
    while runs[-1].code and len(runs) < 3:
        runs.append(operator.run(*PHASES))
    print(f"{len(rules)} answers lost; exit codes {[run.code for run in runs]}, {sum(r.seconds for r in runs):.0f} s")
    assert runs[-1].code == 0, runs[0].failures + runs[-1].failures
    assert not operator.unfired()
    operator.faults()
    versions = [key for key in operator.resources("secretmanager/") if "/versions/" in key]
    assert len(versions) == len(SECRETS)
    assert_same_end(operator, finished)
