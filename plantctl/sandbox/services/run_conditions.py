"""Conditions of Cloud Run services, worker pools and revisions, and the failures that they tell of."""

from __future__ import annotations

from dataclasses import dataclass

from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.service import Body, World

TROUBLESHOOTING = "https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a revision is not ready; one of `reason` (common) and `revision_reason` is given (run v2, Condition)."""

    message: str
    reason: str = ""
    revision_reason: str = ""

    def fields(self) -> Body:
        """As a condition holds them."""
        named = {"reason": self.reason, "revisionReason": self.revision_reason}
        return {"message": self.message, **{key: value for key, value in named.items() if value}}


def condition(world: World, kind: str, failure: Failure | None = None, *, pending: bool = False) -> Body:
    """One condition; `pending` while the system still works on it."""
    state = "CONDITION_FAILED" if failure else "CONDITION_RECONCILING" if pending else "CONDITION_SUCCEEDED"
    body: Body = {"type": kind, "state": state, "lastTransitionTime": world.clock.rfc3339()}
    return body | (failure.fields() if failure else {})


def not_ready(revision: str, failure: Failure) -> Failure:
    """The failure as the service tells it, naming the revision (seen in Google's error reports, hazards U01)."""
    words = f"Revision '{revision}' is not ready and cannot serve traffic. {failure.message}"
    return Failure(message=words, reason=failure.reason, revision_reason=failure.revision_reason)


def refused(error: ApiError, step: str) -> Failure:
    """What was refused before a container was started; `step`: image, secret or network."""
    if step == "image":
        missing = error.status == "NOT_FOUND"
        reason = "CONTAINER_MISSING" if missing else "CONTAINER_PERMISSION_DENIED"  # hazards U02, U03
    else:
        reason = {"secret": "SECRETS_ACCESS_CHECK_FAILED", "network": "VPC_NETWORK_NOT_FOUND"}[step]  # U04, U06
    return Failure(message=error.message, reason=reason)


def unhealthy(port: int, *, default_probe: bool, logs: str) -> Failure:
    """The container did not get through its start (hazards U01)."""
    if default_probe:
        words = (
            "The user-provided container failed to start and listen on the port defined provided by the "
            f"PORT={port} environment variable within the allocated timeout. This can happen when the container port "
            "is misconfigured or if the timeout is too short. The health check timeout can be extended. Logs for this "
            "revision might contain more information."
        )
    else:
        words = (
            "The user-provided container failed the configured startup probe checks. Logs for this revision might "
            "contain more information."
        )
    message = f"{words}\n\nLogs URL: {logs}\nFor more troubleshooting guidance, see {TROUBLESHOOTING}"
    return Failure(message=message, revision_reason="HEALTH_CHECK_CONTAINER_ERROR")
