"""Trouble as a stranger meets it: one paragraph of what, why and what to type; nothing half-recorded after it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Maker, kill_sandbox
from tests.e2e.operator import PROJECT, Done, Operator

VPC = "predeploy.network.vpc"
NETWORKS = "compute.networks.insert"
CREDENTIALS = {
    "type": "authorized_user",
    "client_id": "a",
    "client_secret": "b",
    "refresh_token": "c",
    "account": "ada@example.org",
}


def google_error(code: int, status: str, message: str, **info: str) -> dict[str, Any]:
    """An answer of the kind that a newer API gives (AIP-193)."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    details = [{"@type": kind, "domain": "googleapis.com", **info}] if info else []
    return {"error": {"code": code, "status": status, "message": message, "details": details}}


def classic_error(code: int, reason: str, message: str) -> dict[str, Any]:
    """An answer of the kind that compute gives."""
    return {"error": {"code": code, "message": message, "errors": [{"reason": reason, "message": message}]}}


def one_paragraph(done: Done, *, code: int, reference: str, says: str) -> None:
    """The error as an operator sees it: one, with its reference, cause or hint, and no traceback."""
    told = done.out if "failed: " in done.out else done.err
    text = " ".join(told.split())
    assert done.code == code, f"exit {done.code}\n{done.out[-1500:]}\n{done.err[-1500:]}"
    assert "Traceback" not in done.out + done.err
    assert text.count(f"[{reference}]") == 1, told
    assert says in text, told
    assert len([line for line in told.splitlines() if line.startswith(("error: ", "failed: "))]) == 1, told


@pytest.fixture(scope="module")
def beginner(ground: Path, source: Path) -> Iterator[Operator]:
    """A project with every API on since long: each trouble meets the network, and no answer may look merely fresh."""
    operator = Operator(ground / "trouble", source=source)
    operator.up()
    project = {"projectId": PROJECT, "projectNumber": "424242424242", "services": ["*"]}
    operator.control("POST", "reset", {"projects": [project], "speed": "max"})
    service = f"serviceusage/v1/projects/{PROJECT}/services/containerscanning.googleapis.com"  # charged, so not in "*"
    operator.call("POST", f"{service}:enable", {})
    yield operator
    operator.variables.clear()
    operator.leave()


ANSWERS = [
    pytest.param(
        403,
        google_error(
            403,
            "PERMISSION_DENIED",
            "Compute Engine API has not been used in project 1 before or it is disabled.",
            reason="SERVICE_DISABLED",
        ),
        "api-disabled",
        "plantctl phase run predeploy --only predeploy.project.apis",
        id="api-off",
    ),
    pytest.param(
        403,
        classic_error(403, "accountDisabled", "This API method requires billing to be enabled."),
        "billing-off",
        "--only predeploy.project.billing",
        id="billing-off",
    ),
    pytest.param(
        403,
        classic_error(403, "quotaExceeded", "Quota 'NETWORKS' exceeded. Limit: 5.0 globally."),
        "quota-exceeded",
        "Quotas",
        id="quota",
    ),
    pytest.param(
        403,
        classic_error(403, "forbidden", "Required 'compute.networks.create' permission for 'plant-network'"),
        "permission-denied",
        "gcloud projects get-iam-policy",
        id="permission",
    ),
    pytest.param(
        412,
        classic_error(412, "conditionNotMet", "Constraint constraints/compute.skipDefaultNetworkCreation violated."),
        "org-policy",
        "Organization Policy Administrator",
        id="org-policy",
    ),
]


@pytest.mark.parametrize(("status", "body", "reference", "says"), ANSWERS)
def test_an_answer_that_ends_the_item_is_told_and_the_same_command_goes_on_later(
    beginner: Operator, status: int, body: dict[str, Any], reference: str, says: str
) -> None:
    beginner.faults({"match": NETWORKS, "times": 50, "do": {"status": status, "body": body}})
    since = beginner.mark()
    done = beginner.do("phase", "run", "--only", VPC, "--no-needs")
    one_paragraph(done, code=1, reference=reference, says=says)
    assert not beginner.unfired()
    assert beginner.checklist()[VPC]["status"] == "failed"
    with beginner.journal() as journal:
        refused = [a for a in journal.attempts(method_id=NETWORKS) if a.status == status]
    # each refused write is known, and none of them counts as done
    assert len(refused) >= len(beginner.writes(since)) > 0
    assert not [key for key in beginner.resources("compute/") if key.endswith("networks/plant-network")]
    beginner.faults()


def test_after_all_that_trouble_the_same_command_succeeds(beginner: Operator) -> None:
    beginner.faults()
    assert beginner.do("phase", "run", "--only", VPC).code == 0
    assert beginner.checklist()[VPC]["status"] == "verified"
    assert beginner.do("journal", "verify").code == 0


def test_no_credentials(fresh: Maker) -> None:
    operator = fresh(toml='target = "gcp"\n[project]\nid = "waooaw-real"\n')
    operator.variables["GOOGLE_APPLICATION_CREDENTIALS"] = str(operator.folder / "no-such-file.json")
    done = operator.do("phase", "run", "database", "--yes")
    one_paragraph(done, code=1, reference="no-credentials", says="gcloud auth application-default login")
    assert not operator.home.exists() or not list(operator.home.glob("journal*"))


def test_credentials_of_another_project(fresh: Maker) -> None:
    operator = fresh(toml='target = "gcp"\n[project]\nid = "waooaw-real"\n')
    adc = operator.folder / "adc.json"
    adc.write_text(json.dumps(CREDENTIALS), encoding="utf-8")
    operator.variables |= {"GOOGLE_APPLICATION_CREDENTIALS": str(adc), "GOOGLE_CLOUD_PROJECT": "somebody-elses"}
    done = operator.do("phase", "plan", "database")
    one_paragraph(done, code=1, reference="wrong-project", says="somebody-elses")
    assert "waooaw-real" in done.err


def test_google_cloud_without_a_project(fresh: Maker) -> None:
    operator = fresh(toml='target = "gcp"\n')
    done = operator.do("phase", "run", "database", "--yes")
    one_paragraph(done, code=2, reference="configuration", says="project.id")
    assert not operator.home.exists()


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('[databse]\ntier = "db-custom-2-8192"\n', "did you mean database"),
        ('[database]\nteir = "db-custom-2-8192"\n', "did you mean database.tier?"),
        ('[database]\nconnection = "proxy"\n', "private-ip"),
        ('target = "azure"\n', "sandbox"),
        ("[database\n", "plant.toml"),
        ('[project]\nid = "Bad Project"\n', "project.id"),
    ],
)
def test_a_plant_toml_that_cannot_be_used(fresh: Maker, toml: str, says: str) -> None:
    operator = fresh(toml=toml)
    done = operator.do("phase", "run", "database")
    one_paragraph(done, code=2, reference="configuration", says=says)
    assert not operator.home.exists()


def test_a_lock_that_somebody_holds(fresh: Maker) -> None:
    operator = fresh(speed="20")
    operator.up()
    holder = operator.start("phase", "run", "predeploy", "--format", "json")
    try:
        end = time.monotonic() + 60
        while not operator.writes():
            assert holder.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        done = operator.do("phase", "run", "predeploy")
        one_paragraph(done, code=5, reference="lock-held", says=f"pid {holder.pid}")
        assert operator.do("status", "checklist").code == 0, "who only reads needs no lock"
    finally:
        holder.terminate()
        holder.communicate()
    assert operator.do("lock", "show").code == 0
    assert "holds" not in operator.do("lock", "show").out.split("nobody")[0]


def test_a_sandbox_that_dies_under_a_run(fresh: Maker) -> None:
    operator = fresh(speed="20")
    operator.up()
    process = operator.start("phase", "run", "--only", VPC)
    while not operator.writes():
        time.sleep(0.02)
    kill_sandbox(operator)
    done = operator.end(process)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "[sandbox-down]" in done.out
    assert "plantctl sandbox up" in " ".join(done.out.split())
    operator.speed = "max"
    operator.up()
    assert operator.do("phase", "run", "--only", VPC).code == 0


def test_a_port_that_is_taken(fresh: Maker) -> None:
    operator = fresh()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = operator.do("sandbox", "up", "--port", str(port))
    text = " ".join(done.err.split())
    assert (done.code, "Traceback" in done.err) == (1, False)
    assert str(port) in text
    assert "--port" in text, done.err
    assert operator.do("sandbox", "status").code == 1
