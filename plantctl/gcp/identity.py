"""Whose credentials these are, and whether they are meant for this project (hazards T14 to T18)."""

from __future__ import annotations

import functools
from typing import Any

from plantctl.errors import TargetError
from plantctl.gcp.target import LOGIN, SCOPES, Target


def account_of(target: Target) -> str:
    """The account whose credentials a target uses, in words; asks no API. TargetError as `credentials`."""
    return target.account()


def credentials(target: Target) -> Any:
    """Application Default Credentials, impersonating when the target says so; one object a process.

    TargetError without any (`no-credentials`), and when their project, or that of the environment, is not the target's
    (`wrong-project`).
    """
    return _load(target.project, target.impersonate, target.quota_project)


@functools.lru_cache(maxsize=8)
def _load(project: str, impersonate: str, quota_project: str) -> Any:
    import google.auth
    from google.auth import impersonated_credentials
    from google.auth.exceptions import GoogleAuthError

    try:
        found, resolved = google.auth.default(scopes=SCOPES, quota_project_id=quota_project or None)
    except GoogleAuthError as error:
        raise TargetError(
            "there are no Google credentials on this machine",
            cause=str(error).split("\n", 1)[0].split(". ")[0],
            hint=f"type `{LOGIN}`, or leave `target` out of plant.toml to rehearse locally",
            reference="no-credentials",
        ) from None
    if resolved and resolved != project:
        raise TargetError(
            f"the credentials are set up for project {resolved}, and this plant is {project}",
            cause="GOOGLE_CLOUD_PROJECT, the credentials' own project, or gcloud's configuration says so",
            hint=f"type `gcloud config set project {project}`, or change project.id in plant.toml",
            reference="wrong-project",
        )
    if not impersonate:
        return found
    return impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
        source_credentials=found,
        target_principal=impersonate,
        target_scopes=list(SCOPES),
        quota_project_id=quota_project or None,
    )


def account_of_credentials(target: Target) -> str:
    """The e-mail that the credentials carry; people's often carry none."""
    found = credentials(target)
    if target.impersonate:
        return target.impersonate
    names = (getattr(found, name, "") for name in ("service_account_email", "account", "signer_email"))
    return next((name for name in names if isinstance(name, str) and "@" in name), "your own Google account")


def identity_token(target: Target, audience: str) -> str:
    """An ID token for one audience. TargetError (`no-identity-token`) when the credentials cannot make one.

    An impersonated or own service account signs for the audience; a person's login only for the client that made it,
    which Cloud Run takes from people (docs "Authenticate developers"; with ADC's own client: unverified).
    """
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    request = Request()
    try:
        made = _identity(target, audience, request)
        made.refresh(request)
    except GoogleAuthError as error:
        raise _no_identity(target, str(error).split("\n", 1)[0]) from None
    # a person's `token` is an access token: good for Google's APIs, no word about who calls
    token = made.id_token if hasattr(made, "id_token") else made.token
    if not token:
        raise _no_identity(target, "the login gave no ID token")
    return str(token)


def _identity(target: Target, audience: str, request: Any) -> Any:
    """What makes the token: `token` is one (service accounts), or comes with one in `id_token` (people)."""
    from google.auth import impersonated_credentials
    from google.oauth2 import credentials as people
    from google.oauth2 import id_token

    found = credentials(target)
    if target.impersonate:
        return impersonated_credentials.IDTokenCredentials(  # type: ignore[no-untyped-call]
            found, target_audience=audience, include_email=True
        )
    if isinstance(found, people.Credentials):
        return found
    return id_token.fetch_id_token_credentials(audience, request=request)  # type: ignore[no-untyped-call]


def _no_identity(target: Target, cause: str) -> TargetError:
    who = target.impersonate or "the Google credentials of this machine"
    return TargetError(
        f"{who} cannot make an identity token, so the service cannot be asked from here",
        cause=cause,
        hint=f"type `{LOGIN}`, or set `impersonate` in plant.toml to an account with roles/run.invoker",
        reference="no-identity-token",
    )
