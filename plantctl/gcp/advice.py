"""The paragraph for an operator: what failed, why, what to type. Turns a Failure into one of plantctl's errors."""

from __future__ import annotations

from dataclasses import dataclass

from plantctl.errors import ApiFailure, PlantctlError, TargetError, UnknownOutcome
from plantctl.gcp.classify import API_OFF, Action, forbidden_by, no_quota_project
from plantctl.gcp.failures import CREDENTIALS, Failure
from plantctl.gcp.target import LOGIN, Target


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A heading of docs/troubleshooting.md, what is known of the reason, and what to type."""

    reference: str
    cause: str
    hint: str


_MET = {
    Action.EXISTS: Advice(
        reference="already-exists",
        cause="a resource of that name is there already",
        hint="look at it with `plantctl phase plan`; take it over with `--adopt`, or choose another name in plant.toml",
    ),
    Action.REDO: Advice(
        reference="conflict-retry",
        cause="it was changed by someone else between reading and writing",
        hint="run the same command again: it reads the new state first",
    ),
}


def translate(failure: Failure, target: Target, action: Action = Action.FAIL) -> PlantctlError:
    """TargetError when it never left, UnknownOutcome without a clear answer, else ApiFailure.

    `action` is what the classifier said last; EXISTS and REDO get references of their own.
    """
    if failure.trouble == CREDENTIALS:
        return _no_token(failure)
    if not failure.sent:
        return target.unreachable(failure.message)
    if failure.status == "UNIMPLEMENTED":
        return target.unimplemented(failure.method_id, failure.message)
    advice = _MET.get(action) or _advice(failure, target.project)
    kind = UnknownOutcome if failure.code == 0 or failure.code >= 500 else ApiFailure
    said = f" was answered {failure.code}" if failure.code else ""
    return kind(
        f"{failure.method_id}{said}: {failure.message or f'HTTP {failure.code}'}",
        cause=advice.cause,
        hint=advice.hint,
        reference=advice.reference,
        code=failure.code,
        status=failure.status,
        reason=failure.reason,
        method_id=failure.method_id,
    )


def _no_token(failure: Failure) -> TargetError:
    skewed = "timeframe" in failure.message  # invalid_grant by a wrong clock (hazards T14)
    return TargetError(
        "Google gave no token for the credentials on this machine",
        cause=failure.message,
        hint="set this machine's clock" if skewed else f"type `{LOGIN}`; what was done so far is kept",
        reference="no-credentials",
    )


def _advice(failure: Failure, project: str) -> Advice:
    if (constraint := forbidden_by(failure)) != "":
        return Advice(
            reference="org-policy",
            cause=f"{constraint} forbids it",
            hint="ask an Organization Policy Administrator for an exception; it takes about 20 minutes to act",
        )
    if no_quota_project(failure):
        return Advice(
            reference="quota-project",
            cause="the call is charged to a project that may not, or cannot, pay for it",
            hint=f"type `gcloud auth application-default set-quota-project {project}`, or set quota_project",
        )
    if failure.reason in API_OFF:
        return Advice(
            reference="api-disabled",
            cause=f"the API is switched off in project {failure.metadata('consumer').split('/')[-1] or project}",
            hint="type `plantctl phase run predeploy --only predeploy.project.apis`",
        )
    if "billing" in f"{failure.message} {failure.violations}".lower():
        subject = "; ".join(str(v.get("description") or v.get("subject") or "") for v in failure.violations)
        return Advice(
            reference="billing-off",
            cause=subject or "the project has no billing account, or it is closed",
            hint="link an open billing account: `plantctl phase run predeploy --only predeploy.project.billing`",
        )
    return _by_code(failure, project)


def _by_code(failure: Failure, project: str) -> Advice:
    if failure.code == 429 or (failure.code == 403 and "quota" in f"{failure.reason} {failure.message}".lower()):
        return Advice(
            reference="quota-exceeded",
            cause="a quota of the project is used up",
            hint="ask for more at IAM & Admin, Quotas, or wait a day",
        )
    if failure.code == 401:
        return Advice(
            reference="no-credentials", cause="the credentials are not valid any more", hint=f"type `{LOGIN}`"
        )
    if failure.code == 403:
        return Advice(
            reference="permission-denied",
            cause="you lack the permission, or the resource does not exist",
            hint=f"check the project id ({project}) and your roles: `gcloud projects get-iam-policy {project}`",
        )
    if failure.code == 0 or failure.code >= 500:
        return Advice(
            reference="unknown-outcome",
            cause="it is not known whether the write happened",
            hint="run the same command again: it looks first",
        )
    return Advice(
        reference="api-failure",
        cause=failure.reason or failure.status,
        hint="run again with --verbose to see each request",
    )
