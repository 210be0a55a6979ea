"""What to do about an answer that is no success: one pure function (reactions: hazards section 4).

By method, HTTP code, ErrorInfo.reason and the journal's age, never by message alone where a reason is given (AIP-193).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from plantctl.gcp import failures
from plantctl.gcp.failures import Failure

FRESH_S = {"api": 600, "account": 600, "billing": 300, "grant": 600}
"""For how long the plant's own act still explains an answer, in seconds (hazards S01, I01, S07, I09)."""
MAX_DELAY_S = 60.0
MANY = 100

RATE_REASONS = frozenset({"RATE_LIMIT_EXCEEDED", "rateLimitExceeded", "userRateLimitExceeded"})
BUSY_REASONS = frozenset({"operationInProgress", "resourceNotReady", "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED"})
API_OFF = frozenset({"SERVICE_DISABLED", "accessNotConfigured"})
DENIED = frozenset({"", "forbidden", "IAM_PERMISSION_DENIED", "PERMISSION_DENIED", "AUTH_PERMISSION_DENIED"})
SHARED_CONSUMERS = ("764086051850", "618104708054")
"""Google's own projects behind gcloud's and ADC's client ids: an API cannot be enabled there (hazards T17)."""
_RATE = re.compile(r"per (minute|second|\d+ seconds)|rate limit|too many requests", re.IGNORECASE)


class Action(StrEnum):
    """What to do next. REDO: read again, merge, write again; EXISTS: adopt or refuse; both are the caller's."""

    RETRY = "retry"
    READ_BACK = "read-back"
    WAIT = "wait"
    EXISTS = "exists"
    REDO = "redo"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """The verdict: an action, the least delay before it, and for how long at most (seconds).

    `resends`: how often a write may be sent again after looks that found nothing; READ_BACK only.
    """

    action: Action
    delay_s: float = 0.0
    bound_s: float = 0.0
    why: str = ""
    resends: int = 1


def classify(failure: Failure, *, mutating: bool, idempotency: str, attempt: int, fresh: frozenset[str]) -> Reaction:
    """What to do about a failure; pure. `attempt` counts from 1.

    `fresh` names what this plant did shortly before, by its journal: `api` enabled an API, `account` made a service
    account, `grant` set a policy, `billing` linked billing. The same answer means "wait" when fresh and "fail" when
    not (hazards I02, S01, U04). A write of class X is repeated without a look only when the answer proves that it was
    not executed (`unexecuted`).
    """
    pause = max(failure.retry_after_s, min(MAX_DELAY_S, 0.5 * 2 ** min(attempt, 10)))
    found = (
        _unsent(failure, pause)
        or _too_many(failure, pause)
        or _busy(failure, pause)
        or _not_yet(failure, pause, fresh)
        or _met(failure, pause)
        or _unanswered(failure, mutating, idempotency, attempt, pause)
        or Reaction(action=Action.FAIL, why=failure.message)
    )
    if not (mutating and idempotency == "X") or unexecuted(failure):
        return found
    if found.action in (Action.RETRY, Action.WAIT):
        return replace(found, action=Action.READ_BACK, resends=MANY)
    if found.action is Action.FAIL and failure.code == 400 and failure.method_id.startswith("monitoring."):
        # a policy was made although the answer was 400 (hazards O03)
        return replace(found, action=Action.READ_BACK, resends=0)
    return found


def unexecuted(failure: Failure) -> bool:
    """True when the answer proves that nothing was executed.

    It never left; or it was turned away before: without a valid token (401), without the right (403; AIP-211 wants
    that looked at first), by a rate limit (429 with a rate reason; AIP-194 repeats no other), or because the resource
    was busy with another operation (hazards Q01, C01). A 400, a 409 or a 5xx proves nothing (hazards section 0.3).
    """
    if not failure.sent or failure.code in (401, 403) or failure.reason in BUSY_REASONS:
        return True
    return failure.code == 429 and failure.reason in RATE_REASONS


def _unsent(failure: Failure, pause: float) -> Reaction | None:
    if failure.trouble == failures.CREDENTIALS:
        return Reaction(action=Action.FAIL, why="no token")
    if not failure.sent:
        return Reaction(action=Action.RETRY, delay_s=min(pause, 5.0), bound_s=300, why="no connection")
    return None


def _too_many(failure: Failure, pause: float) -> Reaction | None:
    """Rates pass by themselves; quotas that are used up do not, and retrying them only burns time (hazards T10)."""
    if failure.code not in (403, 429):
        return None
    rate = failure.reason in RATE_REASONS or bool(_RATE.search(failure.message))
    if failure.code == 429 and not rate and not failure.retry_after_s:
        rate = not re.search(r"quota|limit", failure.message, re.IGNORECASE)
        if not rate:
            return Reaction(action=Action.FAIL, why="a quota is used up")
    if failure.code == 429 or rate or failure.reason == "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED":
        slow = failure.method_id.startswith("serviceusage.") and not failure.retry_after_s
        least = 30.0 if slow else 0.0
        return Reaction(action=Action.RETRY, delay_s=max(pause, least), bound_s=600, why="too many requests")
    return None


def _busy(failure: Failure, pause: float) -> Reaction | None:
    def wait(bound_s: float, why: str) -> Reaction:
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=bound_s, why=why)

    reason, message, method = failure.reason, failure.message, failure.method_id
    if reason == "operationInProgress":
        return wait(3600, "another operation is in progress")
    if reason == "resourceNotReady" or "peering operation in progress" in message:
        return wait(600, "the resource is not ready yet")
    if reason == "ZONE_RESOURCE_POOL_EXHAUSTED":
        return wait(120, "the zone has no machine to spare")
    if method.startswith("serviceusage.") and failure.code in (400, 412) and not failure.violations:
        switching = "Another activation or deactivation is in progress" in message
        if switching or message == "Precondition check failed.":
            return wait(600, "another API is being switched on")
    if failure.code == 409 and ("sync mutate calls cannot be queued" in message or "being deleted" in message):
        return wait(300, "another change is under way")
    if failure.code == 409 and method.startswith("monitoring."):
        return wait(120, "another change is under way") if _raced(failure) else None
    if reason == "invalidState" and method != "sql.instances.insert":
        return wait(600, "the instance is not in a state for it")
    if method.startswith("redis.") and failure.status == "FAILED_PRECONDITION" and not _forbidden(failure):
        return wait(600, "the instance is not ready")
    return None


def _not_yet(failure: Failure, pause: float, fresh: frozenset[str]) -> Reaction | None:
    def wait(bound_s: float, why: str) -> Reaction:
        return Reaction(action=Action.WAIT, delay_s=pause, bound_s=bound_s, why=why)

    reason, message = failure.reason, failure.message
    if "Cannot find metric" in message:
        return wait(660, "the metric is not visible yet")
    if _forbidden(failure) or no_quota_project(failure):
        return None
    if reason in API_OFF:
        return wait(600, "the API was switched on a moment ago") if "api" in fresh else None
    if reason == "UREQ_PROJECT_BILLING_NOT_FOUND" or (failure.code == 403 and "billing" in message.lower()):
        return wait(300, "billing was linked a moment ago") if "billing" in fresh else None
    if failure.code == 400 and "ervice account" in message and "does not exist" in message and "account" in fresh:
        return wait(120, "the account is not visible everywhere yet")
    if failure.code != 403 or "quota" in message.lower():
        return None
    if "iam.serviceAccounts." in message and "account" in fresh:
        return wait(120, "the account is not visible everywhere yet")
    if re.search(r"service agent|serverless-robot", message, re.IGNORECASE) and "api" in fresh:
        return wait(300, "Google's own account is being made")
    if "grant" in fresh and reason in DENIED:
        return wait(600, "a role was granted a moment ago")
    return None


def _met(failure: Failure, pause: float) -> Reaction | None:
    """Somebody else was there: lost races, preconditions, names that are taken."""
    redo = Reaction(action=Action.REDO, delay_s=pause, bound_s=120, why="changed by someone else meanwhile")
    if _forbidden(failure):
        return None
    if failure.code == 412 or (failure.code in (400, 409) and _raced(failure)):
        return redo
    if failure.code == 409:
        return Reaction(action=Action.EXISTS, why="it is there already")
    return None


def _raced(failure: Failure) -> bool:
    """A lost read-modify-write, told by status or reason, or by the token that did not fit (hazards I04, C05, K04)."""
    if failure.status == "ABORTED" or failure.reason in ("conditionNotMet", "staleData"):
        return True
    return bool(re.search(r"\b(concurrent|etag|fingerprint|settingsVersion)\b", failure.message, re.IGNORECASE))


def _forbidden(failure: Failure) -> bool:
    return forbidden_by(failure) != ""


def forbidden_by(failure: Failure) -> str:
    """The organization policy or perimeter that forbids it, or empty; never passes by itself (hazards 3.13, M03)."""
    if failure.reason == "SECURITY_POLICY_VIOLATED" or "vpcServiceControlsUniqueIdentifier" in failure.message:
        return "VPC Service Controls"
    for text in (*(str(v.get("type", "")) for v in failure.violations), failure.message):
        if found := re.search(r"constraints/[\w.]+", text):
            return found[0]
    return "constraints/iam.allowedPolicyMemberDomains" if "permitted customer" in failure.message else ""


def no_quota_project(failure: Failure) -> bool:
    """True when the API wants to know which project pays for the call, or may not charge that one (T17, T18)."""
    if failure.reason == "USER_PROJECT_DENIED" or "quota project" in failure.message:
        return True
    consumer = failure.metadata("consumer")
    return failure.reason in API_OFF and any(f"projects/{number}" == consumer for number in SHARED_CONSUMERS)


def _unanswered(failure: Failure, mutating: bool, idempotency: str, attempt: int, pause: float) -> Reaction | None:
    if failure.code and failure.code < 500:
        return None
    why = f"the server answered {failure.code}" if failure.code else "no answer"
    if mutating and idempotency not in ("R", "U"):
        return Reaction(action=Action.READ_BACK, delay_s=pause, bound_s=120, why=why)
    if failure.trouble == failures.GARBLED and attempt >= 3:  # a proxy's page comes again and again (hazards T05)
        return None
    return Reaction(action=Action.RETRY, delay_s=pause, bound_s=600, why=why)
