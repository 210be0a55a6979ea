"""What an answer that is no success means, and what to do: one pure classifier, one translator into plantctl's errors.

By method, HTTP code, ErrorInfo.reason and the journal's age, never by message alone where a reason is given (AIP-193).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from plantctl.errors import ApiFailure, TargetError, UnknownOutcome

FRESH_API_S = 600
FRESH_ACCOUNT_S = 600
MAX_DELAY_S = 60.0


RATE_REASONS = ("RATE_LIMIT_EXCEEDED", "rateLimitExceeded", "userRateLimitExceeded")


class Action(StrEnum):
    """What to do next (hazards section 4)."""

    RETRY = "retry"
    READ_BACK = "read-back"
    WAIT = "wait"
    EXISTS = "exists"
    REDO = "redo"
    FAIL = "fail"


@dataclass(kw_only=True, eq=False)
class Failure(Exception):  # noqa: N818 - raised inside gcp only, and translated at its edge
    """One unsuccessful answer. `code` 0: no answer; `sent` False: it certainly never left."""

    method_id: str
    code: int
    status: str = ""
    reason: str = ""
    message: str = ""
    retry_after_s: float = 0.0
    details: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    sent: bool = True

    def __str__(self) -> str:
        return f"{self.method_id}: {self.code} {self.reason or self.status} {self.message}"


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """The verdict: an action, the least delay before it, and for how long at most (seconds)."""

    action: Action
    delay_s: float = 0.0
    bound_s: float = 0.0
    why: str = ""


def parse(method_id: str, code: int, headers: Any, content: bytes) -> Failure:
    """A Failure from an HTTP answer in either of Google's error shapes, or in none (an HTML page of a proxy)."""
    try:
        error = json.loads(content)["error"]
        if not isinstance(error, dict):
            error = {"message": str(error)}
    except (ValueError, KeyError, TypeError):
        error = {"message": content[:200].decode(errors="replace")}
    details = tuple(d for d in error.get("details", []) if isinstance(d, dict))
    info = next((d for d in details if str(d.get("@type", "")).endswith("ErrorInfo")), {})
    legacy = (error.get("errors") or [{}])[0]
    return Failure(
        method_id=method_id,
        code=code,
        status=str(error.get("status", "")),
        reason=str(info.get("reason") or legacy.get("reason") or ""),
        message=str(error.get("message", "")),
        retry_after_s=_retry_after(headers, details),
        details=details,
    )


def _retry_after(headers: Any, details: tuple[dict[str, Any], ...]) -> float:
    value = str((headers or {}).get("retry-after", "") or "")
    if value.isdigit():
        return float(value)
    for detail in details:
        match = re.fullmatch(r"([\d.]+)s", str(detail.get("retryDelay", "")))
        if match:
            return float(match.group(1))
    return 0.0


def classify(failure: Failure, *, mutating: bool, idempotency: str, attempt: int, fresh: frozenset[str]) -> Reaction:
    """What to do about a failure; pure. `attempt` counts from 1.

    `fresh` names what this plant did shortly before, by its journal: `api` enabled an API, `account` made a service
    account, `grant` set a policy, `billing` linked billing, `network` changed the network. The same answer means
    "wait" when fresh and "fail" when not (hazards I02, S01, U04). An X write is never repeated without a look.
    """
    pause = max(failure.retry_after_s, min(MAX_DELAY_S, 0.5 * 2**attempt))
    if not failure.sent:
        return Reaction(action=Action.RETRY, delay_s=min(pause, 2.0), bound_s=5, why="no connection")
    if (busy := _busy(failure, pause)) is not None:
        return busy
    if (waiting := _not_yet_visible(failure, pause, fresh)) is not None:
        return waiting
    if failure.code == 409 and _is_abort(failure):
        return Reaction(action=Action.REDO, delay_s=pause, bound_s=120, why="changed by someone else meanwhile")
    if failure.code == 412:
        return Reaction(action=Action.REDO, delay_s=pause, bound_s=120, why="changed by someone else meanwhile")
    if failure.code == 409:
        return Reaction(action=Action.EXISTS, why="it is there already")
    if failure.code == 0 or failure.code >= 500:
        return _unknown(failure, mutating, idempotency, pause)
    return Reaction(action=Action.FAIL, why=failure.message)


def _busy(failure: Failure, pause: float) -> Reaction | None:
    reason, message = failure.reason, failure.message
    per_minute = "per minute" in message or reason in (
        "RATE_LIMIT_EXCEEDED",
        "rateLimitExceeded",
        "userRateLimitExceeded",
    )
    if failure.code == 429:
        if "limit" in message.lower() and not per_minute and not failure.retry_after_s:
            return Reaction(action=Action.FAIL, why="a quota is used up")  # hazards T10: retrying burns time only
        least = 30.0 if failure.method_id.startswith("serviceusage.") and not failure.retry_after_s else 0.0
        return Reaction(action=Action.RETRY, delay_s=max(pause, least), bound_s=600, why="too many requests")
    if failure.code == 403 and (per_minute or reason == "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED"):
        return Reaction(action=Action.RETRY, delay_s=pause, bound_s=600, why="too many requests")
    if reason == "operationInProgress":
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=3600, why="another operation is in progress")
    if reason == "resourceNotReady" or "peering operation in progress" in message:
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=600, why="the resource is not ready yet")
    switching = (
        "Another activation or deactivation is in progress" in message or message == "Precondition check failed."
    )
    if failure.method_id.startswith("serviceusage.") and failure.code in (400, 412) and switching:
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=600, why="another API is being switched on")
    return None


def _not_yet_visible(failure: Failure, pause: float, fresh: frozenset[str]) -> Reaction | None:
    reason, message = failure.reason, failure.message
    if failure.code == 403 and reason in ("SERVICE_DISABLED", "accessNotConfigured") and "api" in fresh:
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=600, why="the API was switched on a moment ago")
    if failure.code == 400 and "ervice account" in message and "does not exist" in message and "account" in fresh:
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=120, why="the account is not visible everywhere yet")
    if "iam.serviceAccounts" in message and failure.code in (403, 404) and "account" in fresh:
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=120, why="the account is not visible everywhere yet")
    if failure.code == 403 and "billing" in message.lower() and "billing" in fresh:
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=300, why="billing was linked a moment ago")
    if failure.code == 403 and "denied" in message.lower() and "grant" in fresh and reason != "SERVICE_DISABLED":
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=420, why="a role was granted a moment ago")
    return None


def _is_abort(failure: Failure) -> bool:
    return failure.status == "ABORTED" or "concurrent" in failure.message.lower() or "etag" in failure.message.lower()


def _unknown(failure: Failure, mutating: bool, idempotency: str, pause: float) -> Reaction:
    why = "no answer" if failure.code == 0 else f"the server answered {failure.code}"
    if not mutating or idempotency in ("R", "U"):
        return Reaction(action=Action.RETRY, delay_s=pause, bound_s=600, why=why)
    return Reaction(action=Action.READ_BACK, delay_s=pause, bound_s=120, why=why)


def translate(failure: Failure, *, project: str) -> ApiFailure | TargetError:
    """The paragraph for an operator: what failed, why, what to type."""
    reference, cause, hint = _advice(failure, project)
    if failure.code == 0 and not failure.sent:
        return TargetError(failure.message, cause=cause, hint=hint, reference=reference)
    kind = UnknownOutcome if failure.code == 0 or failure.code >= 500 else ApiFailure
    words = failure.message or f"HTTP {failure.code}"
    return kind(
        f"{failure.method_id} was answered {failure.code}: {words}"
        if failure.code
        else f"{failure.method_id}: {words}",
        cause=cause,
        hint=hint,
        reference=reference,
        code=failure.code,
        status=failure.status,
        reason=failure.reason,
        method_id=failure.method_id,
    )


def _advice(failure: Failure, project: str) -> tuple[str, str, str]:
    reason, message = failure.reason, failure.message
    violations = [v for d in failure.details for v in d.get("violations", [])]
    if failure.code == 0 and not failure.sent:
        return "sandbox-down", "nothing answers at that address", "type `plantctl sandbox up`, then run this again"
    if reason in ("SERVICE_DISABLED", "accessNotConfigured"):
        hint = f"type `plantctl phase run predeploy --only predeploy.project.apis` for project {project}"
        return "api-disabled", "the API is switched off in the project", hint
    if "billing" in message.lower() or any("billing" in str(v).lower() for v in violations):
        subject = "; ".join(str(v.get("description") or v.get("subject") or "") for v in violations)
        hint = "link an open billing account: `plantctl phase run predeploy --only predeploy.project.billing`"
        return "billing-off", subject or "the project has no billing account, or it is closed", hint
    if any("constraints/" in str(v) for v in violations) or "constraints/" in message:
        hint = "ask an Organization Policy Administrator for an exception; it takes about 20 minutes to act"
        return "org-policy", "an organization policy forbids it", hint
    if failure.code == 429 or "quota" in message.lower():
        return (
            "quota-exceeded",
            "a quota of the project is used up",
            "ask for more at IAM & Admin, Quotas, or wait a day",
        )
    if failure.code == 401:
        return (
            "no-credentials",
            "the credentials are not valid any more",
            "type `gcloud auth application-default login`",
        )
    if failure.code == 403:
        hint = f"check the project id ({project}) and your roles: `gcloud projects get-iam-policy {project}`"
        return "permission-denied", "you lack the permission, or the resource does not exist", hint
    if failure.code == 0 or failure.code >= 500:
        return (
            "unknown-outcome",
            "it is not known whether the write happened",
            "run the same command again: it looks first",
        )
    return "api-failure", reason or failure.status, "run again with --verbose to see each request"
