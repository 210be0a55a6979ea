"""Why a revision is not ready, as Cloud Run says it, in plantctl's words: cause, what to type, and the heading."""

from __future__ import annotations

import pytest

from plantctl.errors import OperationFailed
from plantctl.model.plant import Plant
from plantctl.model.step import Body
from plantctl.steps.conditions import explained, failed_condition, tell

PLANT = Plant()
DENIED = (
    "Permission denied on secret: projects/123/secrets/JWT_SECRET_KEY/versions/1 for Revision service account "
    "plant-backend-sa@waooaw-prod.iam.gserviceaccount.com."
)
PORT = (
    "The user-provided container failed to start and listen on the port defined provided by the PORT=8000 environment "
    "variable within the allocated timeout.\n\nLogs URL: https://console.cloud.google.com/x"
)


@pytest.mark.parametrize(
    ("condition", "reference", "hint"),
    [
        (
            {"reason": "SECRETS_ACCESS_CHECK_FAILED", "message": DENIED},
            "secret-unreadable",
            "plantctl phase run --only predeploy.secret.jwt_secret_key",
        ),
        (
            {"reason": "SECRETS_ACCESS_CHECK_FAILED", "message": DENIED.replace("JWT_SECRET_KEY", "REDIS_CA")},
            "secret-unreadable",
            "plantctl phase run --only cache.instance.secrets",
        ),
        (
            {"message": "Secret projects/1/secrets/API_KEYS/versions/3 is in DISABLED state."},
            "secret-version-unusable",
            "gcloud secrets versions enable 3 --secret API_KEYS --project waooaw-prod",
        ),
        ({"reason": "CONTAINER_MISSING", "message": "Image 'x' not found."}, "image-missing", "raise backend.version"),
        ({"reason": "CONTAINER_PERMISSION_DENIED"}, "image-unreadable", "predeploy.project.iam"),
        ({"reason": "CONTAINER_IMAGE_AUTHORIZATION_CHECK_FAILED"}, "image-unreadable", "attest the image"),
        ({"reason": "VPC_NETWORK_NOT_FOUND"}, "connector-missing", "predeploy.network.connector"),
        ({"message": "VPC connector projects/p/c is not ready."}, "connector-missing", "predeploy.network.connector"),
        ({"revisionReason": "HEALTH_CHECK_CONTAINER_ERROR", "message": PORT}, "container-not-ready", "gcloud logging"),
        ({"revisionReason": "MIN_INSTANCES_NOT_PROVISIONED"}, "revision-not-ready", "gcloud run services describe"),
        ({}, "revision-not-ready", "gcloud run services describe"),
    ],
)
def test_a_condition_in_words(condition: Body, reference: str, hint: str) -> None:
    told = tell(PLANT, condition, message="" if condition else "the operation's words")
    assert told.reference == reference
    assert hint in told.hint


def test_what_the_container_wrote_last_is_quoted_and_googles_links_are_not() -> None:
    condition = {"revisionReason": "HEALTH_CHECK_CONTAINER_ERROR", "message": PORT}
    told = tell(PLANT, condition, lines=("starting", "DB_HOST: set it"))
    assert told.cause.endswith("within the allocated timeout; it wrote last: DB_HOST: set it")
    assert tell(PLANT, condition).cause.endswith("; it wrote nothing: does it listen on $PORT?")


def test_the_condition_with_a_reason_says_more_than_one_without() -> None:
    bare = {"state": "CONDITION_FAILED", "message": "is not ready"}
    told = {"state": "CONDITION_FAILED", "reason": "CONTAINER_MISSING"}
    good = {"state": "CONDITION_SUCCEEDED", "reason": "x"}
    assert failed_condition({"conditions": [good, bare]}, {"terminalCondition": told}) == told
    assert failed_condition({"conditions": [bare]}, None) == bare
    assert failed_condition(None, {"conditions": [good]}) == {}


@pytest.mark.parametrize(("serving", "words"), [("r-1", "r-1 keeps serving"), ("", "nothing serves yet")])
def test_the_failure_says_who_serves_meanwhile(serving: str, words: str) -> None:
    failure = OperationFailed("run failed", reason="FAILED_PRECONDITION", method_id="run.x")
    found = explained(PLANT, failure, tell(PLANT, {"reason": "CONTAINER_MISSING"}), serving=serving)
    assert found.message == f"the new revision of plant-backend is not ready; {words}"
    assert (found.reference, found.method_id) == ("image-missing", "run.x")
