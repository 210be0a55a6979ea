"""Why a Cloud Run revision is not ready, in words: conditions' reasons and messages as cause, hint and reference.

Reasons are those of run v2's discovery document (Condition.reason, .revisionReason); messages decide only where one
reason stands for several causes, or none is given (hazards U01 to U06, K02).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from plantctl.errors import ApiFailure, OperationFailed
from plantctl.model.plant import Plant
from plantctl.model.step import Body

FAILED = "CONDITION_FAILED"
SECRET = re.compile(r"secrets?[/ :'\"]+(?:projects/[^/]+/secrets/)?([A-Z][A-Z0-9_]+)(?:/versions/|:)?(\d+)?")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an operator is told of a condition."""

    cause: str
    hint: str
    reference: str


def failed_condition(*bodies: Body | None) -> Body:
    """The condition that says most: the first failed one with a reason, else the first failed one, else nothing.

    Give the revision before the service: the service only repeats that it is not ready.
    """
    found: list[Body] = []
    for body in bodies:
        conditions = [*((body or {}).get("conditions") or []), (body or {}).get("terminalCondition") or {}]
        found += [condition for condition in conditions if condition.get("state") == FAILED]
    told = [condition for condition in found if condition.get("reason") or condition.get("revisionReason")]
    return (told or found or [{}])[0]


def tell(plant: Plant, condition: Body, *, message: str = "", lines: Sequence[str] = ()) -> Told:
    """Cause, hint and reference. `message`: the operation's own words; `lines`: what the container wrote last."""
    reason = str(condition.get("revisionReason") or condition.get("reason") or "")
    words = str(condition.get("message") or message).split("\n\nLogs URL", 1)[0]  # a link that the hint replaces
    for look in (_secret, _image, _network, _container):
        found = look(plant, reason, words, lines)
        if found is not None:
            return found
    cause = f"{reason}: {words}" if reason else words or "Cloud Run gives no reason"
    return Told(cause=cause, hint=f"look with `{_describe(plant)}`", reference="revision-not-ready")


def explained(plant: Plant, failure: ApiFailure, told: Told, *, serving: str) -> OperationFailed:
    """The failure of a rollout with what was found out, and what serves meanwhile."""
    meanwhile = f"{serving} keeps serving" if serving else "nothing serves yet"
    return OperationFailed(
        f"the new revision of {plant.backend.service} is not ready; {meanwhile}",
        cause=told.cause,
        hint=told.hint,
        reference=told.reference,
        reason=failure.reason,
        method_id=failure.method_id,
    )


def _secret(plant: Plant, reason: str, words: str, lines: Sequence[str]) -> Told | None:
    if reason != "SECRETS_ACCESS_CHECK_FAILED" and "ecret" not in words:
        return None
    named = SECRET.search(words)
    secret = named[1] if named else "SECRET"
    if re.search(r"DISABLED|DESTROYED|not found|was not found|NOT_FOUND", words):
        version = (named[2] if named else "") or "VERSION"
        enable = f"gcloud secrets versions enable {version} --secret {secret} --project {plant.project.id}"
        return Told(
            cause=words,
            hint=f"type `{enable}`, or add a version and run `plantctl phase run backend`",
            reference="secret-version-unusable",
        )
    item = f"predeploy.secret.{secret.lower()}" if named and secret != "REDIS_CA" else "cache.instance.secrets"
    return Told(cause=words, hint=f"plantctl phase run --only {item}", reference="secret-unreadable")


def _image(plant: Plant, reason: str, words: str, lines: Sequence[str]) -> Told | None:
    if reason == "CONTAINER_MISSING" or re.search(r"[Ii]mage .*(not found|does not exist)", words):
        return Told(
            cause=words or "the registry does not have the image",
            hint="raise backend.version in plant.toml, then `plantctl phase run backend`",
            reference="image-missing",
        )
    if reason in ("CONTAINER_PERMISSION_DENIED", "CONTAINER_IMAGE_UNAUTHORIZED"):
        hint = "Cloud Run's service agent has to read it: plantctl phase run --only predeploy.project.iam"
        return Told(cause=words, hint=hint, reference="image-unreadable")
    if reason == "CONTAINER_IMAGE_AUTHORIZATION_CHECK_FAILED":
        hint = "Binary Authorization keeps it out: attest the image, or change the policy"
        return Told(cause=words, hint=hint, reference="image-unreadable")
    return None


def _network(plant: Plant, reason: str, words: str, lines: Sequence[str]) -> Told | None:
    if reason != "VPC_NETWORK_NOT_FOUND" and not re.search(r"VPC (?:[Aa]ccess )?[Cc]onnector|VPC network", words):
        return None
    return Told(
        cause=words, hint="plantctl phase run --only predeploy.network.connector", reference="connector-missing"
    )


def _container(plant: Plant, reason: str, words: str, lines: Sequence[str]) -> Told | None:
    started = re.search(r"failed to start|listen on the port|startup probe|exited with|container exit", words, re.I)
    if reason != "HEALTH_CHECK_CONTAINER_ERROR" and not started:
        return None
    last = f"it wrote last: {lines[-1]}" if lines else "it wrote nothing: does it listen on $PORT?"
    cause = f"{words.rstrip('.')}; {last}"
    return Told(cause=cause, hint=f"read more with `{_read(plant)}`", reference="container-not-ready")


def _describe(plant: Plant) -> str:
    return f"gcloud run services describe {plant.backend.service} --region {plant.region} --project {plant.project.id}"


def _read(plant: Plant) -> str:
    wanted = f'resource.labels.service_name="{plant.backend.service}"'
    return f"gcloud logging read '{wanted}' --project {plant.project.id} --limit 20"
