"""Answers that are no plain success: garbled ones, unknown types, refusals, races; what the caller and journal get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plantctl.errors import ApiFailure, PlantctlError, TargetError, UnknownOutcome
from plantctl.gcp.advice import translate
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.failures import CREDENTIALS, NOT_SENT, Failure, parse
from plantctl.gcp.target import google_target, sandbox_target
from plantctl.model.events import Retried
from tests.unit.gcp.fakes import Clock, Memory, Recorder, answer, bundle, wire

JOBS = "run.projects.locations.jobs"
PLACE = "projects/p/locations/r"
TYPED: dict[str, dict[str, Any]] = {
    f"{JOBS}.create": {"parent": PLACE, "jobId": "j"},
    f"{JOBS}.run": {"name": f"{PLACE}/jobs/j"},
    "secretmanager.projects.secrets.addVersion": {"parent": "projects/p/secrets/s"},
}


def error(code: int, status: str = "", reason: str = "", message: str = "") -> bytes:
    """A body in Google's newer shape."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
    details = [info] if reason else []
    return json.dumps({"error": {"code": code, "status": status, "message": message, "details": details}}).encode()


@pytest.mark.parametrize("method", [*TYPED, "sql.instances.insert"])
@pytest.mark.parametrize("page", [b"<html>sign in</html>", b'{"name": "x'], ids=["page", "cut"])
def test_a_write_answered_with_garbage_is_unanswered_and_looked_for(method: str, page: bytes) -> None:
    recorder = Recorder()
    with wire(lambda number, request: answer(200, page)) as (base, seen):
        gcp = bundle(base, recorder)
        with pytest.raises(UnknownOutcome):
            gcp.call(method, {}, **TYPED.get(method, {"project": "p"}))
        assert len(seen) == 1
        found = gcp.call(method, {}, read_back=lambda: {"name": "there"}, **TYPED.get(method, {"project": "p"}))
    assert found == {"name": "there"}
    assert [fields for kind, fields in recorder.log if kind == "answer"] == [
        ("a1", 0, "", "garbled"),
        ("a2", 0, "", "garbled"),
    ]


@pytest.mark.parametrize("method", TYPED)
def test_an_answer_newer_than_the_library_is_given_as_it_came(method: str) -> None:
    newer = {
        "name": f"{PLACE}/operations/o",
        "metadata": {"@type": "type.googleapis.com/google.cloud.run.v9.Novelty", "name": "n", "state": "BRAND_NEW"},
        "novelty": {"count": "7"},
    }
    recorder = Recorder()
    with wire(lambda number, request: answer(200, json.dumps(newer).encode())) as (base, seen):
        assert bundle(base, recorder).call(method, {}, **TYPED[method]) == newer
    assert recorder.answers() == [200]
    assert b"enum-encoding" not in seen[0]


def test_a_redirection_is_no_success() -> None:
    moved = answer(302, b"", "Location: http://127.0.0.1:9/login")
    with wire(lambda number, request: moved) as (base, seen), pytest.raises(UnknownOutcome):
        bundle(base, Recorder()).call("storage.buckets.insert", {"name": "b"}, project="p")
    assert len(seen) == 1


def test_a_lost_precondition_reaches_the_caller() -> None:
    body = b'{"error": {"code": 412, "errors": [{"reason": "conditionNotMet"}], "message": "no"}}'
    with wire(lambda number, request: answer(412, body)) as (base, seen), pytest.raises(ApiFailure) as caught:
        bundle(base, Recorder()).call(
            "storage.objects.insert", {}, upload=b"x", bucket="b", name="o", ifGenerationMatch="0"
        )
    assert (caught.value.code, caught.value.reference, len(seen)) == (412, "conflict-retry", 1)
    assert b"ifGenerationMatch=0" in seen[0]


def test_busy_and_limited_writes_of_class_x_are_sent_again() -> None:
    busy = b'{"error": {"code": 409, "errors": [{"reason": "operationInProgress"}], "message": "busy"}}'
    limited = error(429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED")
    answers = {1: answer(409, busy), 2: answer(429, limited, "Retry-After: 7"), 3: answer(200, b'{"name": "b"}')}
    recorder, clock = Recorder(), Clock()
    with wire(lambda number, request: answers[number]) as (base, _):
        bundle(base, recorder, clock).call("sql.backupRuns.insert", {}, project="p", instance="i")
    assert recorder.answers() == [409, 429, 200]
    assert [event.delay_s for event in recorder.events if isinstance(event, Retried)][1] == 7
    assert clock.passed >= 7
    assert [fields[3] for kind, fields in recorder.log if kind == "answer"][
        1
    ] == "RESOURCE_EXHAUSTED RATE_LIMIT_EXCEEDED"


def test_a_write_of_class_x_that_failed_in_the_open_is_looked_for_before_it_is_sent_again() -> None:
    order: list[str] = []

    def answering(number: int, request: bytes) -> bytes:
        order.append("sent")
        return answer(503, error(503, "UNAVAILABLE")) if number == 1 else answer(200, b'{"name": "b"}')

    def look() -> None:
        order.append("looked")

    clock = Clock()
    with wire(answering) as (base, _):
        bundle(base, Recorder(), clock).call("sql.backupRuns.insert", {}, read_back=look, project="p", instance="i")
    assert order == ["sent", "looked", "looked", "looked", "looked", "sent"]
    assert clock.passed >= sandbox_target({"rest": base}, project="p", region="r").settle_s


def test_it_is_there_after_a_lost_answer_means_that_it_is_ours() -> None:
    exists = error(409, "ALREADY_EXISTS", message="already exists")
    looks = iter([None, None, None, None, {"name": "ours"}])
    with wire(lambda number, request: None if number == 1 else answer(409, exists)) as (base, seen):
        gcp = bundle(base, Recorder())
        found = gcp.call("sql.instances.insert", {"name": "i"}, read_back=lambda: next(looks), project="p")
        assert found == {"name": "ours"}
        assert len(seen) == 2
        with pytest.raises(ApiFailure) as caught:
            gcp.call("sql.instances.insert", {"name": "i"}, read_back=lambda: {"name": "theirs"}, project="p")
    assert caught.value.reference == "already-exists"


def test_an_instance_that_may_not_be_seen_is_missing_only_when_it_is_not_listed() -> None:
    denied = b'{"error": {"code": 403, "errors": [{"reason": "notAuthorized"}], "message": "not authorized"}}'

    def asked(listed: bytes) -> Any:
        def answering(number: int, request: bytes) -> bytes:
            return answer(403, denied) if b"/instances/i" in request.split(b"\r\n")[0] else answer(200, listed)

        with wire(answering) as (base, _):
            return bundle(base, Recorder()).get("sql.instances.get", project="p", instance="i")

    assert asked(b"{}") is None
    with pytest.raises(ApiFailure):
        asked(b'{"items": [{"name": "i"}]}')


def test_verbs_need_no_client() -> None:
    gcp = Gcp(sandbox_target({"rest": "http://127.0.0.1:9"}, project="p", region="r"), Recorder(), Memory(), Clock())
    clients = gcp._clients
    assert clients.verb("compute.networks.insert") == "POST"
    assert clients.verb("monitoring.projects.dashboards.create") == "POST"
    assert {key[0] for key in clients._made} == {"document"}
    with pytest.raises(LookupError):
        clients.verb("compute.networks.nonsense")


LOCAL = sandbox_target({"rest": "http://127.0.0.1:9"}, project="p", region="r")
REAL = google_target(project="p", region="r")


@pytest.mark.parametrize(
    ("code", "body", "reference", "says"),
    [
        (403, error(403, reason="SERVICE_DISABLED"), "api-disabled", "predeploy.project.apis"),
        (403, error(403, message="requires billing to be enabled"), "billing-off", "predeploy.project.billing"),
        (400, error(400, message="Constraint constraints/sql.restrictPublicIp violated"), "org-policy", "20 minutes"),
        (403, error(403, reason="SECURITY_POLICY_VIOLATED"), "org-policy", "Administrator"),
        (403, error(403, message="requires a quota project"), "quota-project", "set-quota-project p"),
        (429, error(429, message="limit of 500 policies"), "quota-exceeded", "Quotas"),
        (403, error(403, "PERMISSION_DENIED", message="no"), "permission-denied", "get-iam-policy p"),
        (401, error(401), "no-credentials", "gcloud auth application-default login"),
        (503, b"<html>busy</html>", "unknown-outcome", "looks first"),
        (400, error(400, "INVALID_ARGUMENT", message="field x"), "api-failure", "--verbose"),
    ],
)
def test_every_refusal_says_what_to_type(code: int, body: bytes, reference: str, says: str) -> None:
    found = translate(parse("sql.instances.get", code, {}, body), REAL)
    assert isinstance(found, ApiFailure)
    assert (found.reference, found.code) == (reference, code)
    assert says in found.hint
    assert "sql.instances.get" in found.message


def test_what_never_left_is_the_target_s_matter() -> None:
    down = Failure(method_id="m", code=0, trouble=NOT_SENT, message="refused")
    skewed = Failure(method_id="m", code=0, trouble=CREDENTIALS, message="invalid_grant: reasonable timeframe")
    expired = Failure(method_id="m", code=0, trouble=CREDENTIALS, message="invalid_grant: invalid_rapt")
    assert [translate(down, target).reference for target in (LOCAL, REAL)] == ["sandbox-down", "target-unusable"]
    for failure, hint in ((skewed, "clock"), (expired, "gcloud auth")):
        found = translate(failure, REAL)
        assert isinstance(found, TargetError)
        assert (found.reference, hint in found.hint) == ("no-credentials", True)


def test_the_cause_that_is_only_in_the_details_is_told() -> None:
    violations = [{"subject": "billingAccounts/A", "description": "Cloud billing quota exceeded"}]
    body = {"error": {"message": "Precondition check failed.", "details": [{"violations": violations}]}}
    found = translate(parse("cloudbilling.projects.updateBillingInfo", 400, {}, json.dumps(body).encode()), REAL)
    assert (found.reference, found.cause) == ("billing-off", "Cloud billing quota exceeded")


def test_a_gap_is_no_failure_of_google_s() -> None:
    gap = parse("m", 404, {}, error(404, "UNIMPLEMENTED", message="no handler"))
    assert not isinstance(translate(gap, LOCAL), ApiFailure)
    assert isinstance(translate(gap, LOCAL), PlantctlError)


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [({"retry-after": "7"}, [], 7.0), ({}, [{"retryDelay": "3.5s"}], 3.5), ({"retry-after": "soon"}, [], 0.0)],
)
def test_retry_after_in_both_places(headers: dict[str, str], details: list[Any], seconds: float) -> None:
    body = json.dumps({"error": {"code": 429, "details": details}}).encode()
    assert parse("m", 429, headers, body).retry_after_s == seconds
