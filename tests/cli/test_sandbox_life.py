"""A sandbox by command: up, status, env, faults, reset, down; commands start it when they need it, and only then."""

from __future__ import annotations

import json
import os
import urllib.request

import pytest

from tests.cli.conftest import Operator

pytestmark = pytest.mark.sandbox


def alive(pid: int) -> bool:
    """True while a process of that id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_sandbox_by_command(operator: Operator) -> None:
    up = operator.json("sandbox", "up", "--speed", "max")
    assert list(up) == ["rest", "grpc", "proxy", "edge", "ca", "speed", "pid", "dataplane"]
    assert up["speed"] == "max"
    again = operator.types("sandbox", "up", "--format", "json")
    assert (json.loads(again.stdout)["pid"], "runs already" in again.stderr) == (up["pid"], True)
    assert operator.json("sandbox", "status") == up
    assert up["rest"] in operator.types("sandbox", "status").stdout

    exports = operator.types("sandbox", "env").stdout
    assert f"export HTTPS_PROXY={up['proxy']}\n" in exports
    assert f"export CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE={up['ca']}\n" in exports

    plan = {"rules": [{"match": "sql.instances.insert", "when": "before", "do": {"status": 503}}]}
    assert operator.types("sandbox", "faults", "-", text=json.dumps(plan)).returncode == 0
    assert operator.json("sandbox", "faults")["unfired"] == [0]
    refused = operator.types("sandbox", "faults", "-", text='{"rules": [{"match": "x"}]}')
    assert (refused.returncode, "match and do are required" in " ".join(refused.stderr.split())) == (2, True)
    assert operator.types("sandbox", "faults", "-", text="{").returncode == 2

    asked = operator.types("sandbox", "reset")
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    assert operator.json("sandbox", "faults")["unfired"] == [0]
    assert operator.types("sandbox", "reset", "--yes").returncode == 0
    assert operator.json("sandbox", "faults")["unfired"] == []

    assert "sandbox ready" in operator.types("sandbox", "logs").stdout
    assert operator.types("sandbox", "down").stdout == "stopped\n"
    assert not alive(up["pid"])
    assert "sandbox stops" in operator.types("sandbox", "logs", "--lines", "5").stdout
    assert operator.types("sandbox", "status").returncode == 1
    assert operator.types("sandbox", "down", "--purge").returncode == 0
    assert not (operator.home / "sandbox").exists()


def test_a_plan_starts_the_sandbox_and_writes_nothing(operator: Operator) -> None:
    done = operator.types("phase", "plan", "predeploy", "--detailed-exitcode", "--verbose")
    assert done.returncode == 3, done.stderr
    assert "starting the local sandbox" in done.stderr
    assert "+ predeploy.project.create: missing" in done.stdout
    assert "/cloudresourcemanager/v3/projects/waooaw-prod 403 " in done.stderr
    assert operator.types("phase", "plan", "predeploy").returncode == 0
    rest = operator.json("sandbox", "status")["rest"]
    no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with no_proxy.open(f"{rest}/_sandbox/wire") as answer:
        wire = json.load(answer)
    assert wire
    assert [entry for entry in wire if entry["mutating"]] == []
    assert sorted(path.name for path in operator.home.iterdir()) == ["sandbox"]


def test_a_tick_is_stale_after_a_reset_and_stands_when_the_sandbox_is_down(operator: Operator) -> None:
    item = "predeploy.project.create"

    def status() -> str:
        found = operator.json("item", "show", item)
        return str(found["item"]["status"])

    operator.types("sandbox", "up", "--speed", "max")
    run = ("phase", "run", "--only", item)
    first, second = operator.events(*run)[-1], operator.events(*run)[-1]
    assert (first["event"], first["outcome"], first["changed"]) == ("run-finished", "succeeded", 1)
    assert (second["changed"], second["unchanged"], second["writes"]) == (0, 1, 0)
    assert status() == "verified"
    assert operator.types("phase", "verify", "--only", item).returncode == 0
    operator.types("sandbox", "down")
    assert status() == "verified"
    assert operator.types("status", "checklist").returncode == 0
    assert operator.types("sandbox", "status").returncode == 1, "status started a sandbox"
    operator.types("sandbox", "up", "--speed", "max")
    assert status() == "verified"
    operator.types("sandbox", "reset", "--yes")
    assert status() == "stale"
    assert operator.events(*run)[-1]["changed"] == 1
    assert status() == "verified"
    operator.types("sandbox", "down", "--purge")
    assert status() == "stale"
    assert operator.types("journal", "verify").returncode == 0
