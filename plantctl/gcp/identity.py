"""Whose credentials these are, and whether they are meant for this project (hazards T14 to T18)."""

from __future__ import annotations

from plantctl.errors import TargetError
from plantctl.gcp.target import SCOPES, Target

LOGIN = "gcloud auth application-default login"


def account_of(target: Target) -> str:
    """The account whose credentials a target uses, in words; asks no API. Empty where no credentials are needed.

    TargetError without Application Default Credentials (`no-credentials`), and when their project, or that of the
    environment, is not the target's (`wrong-project`).
    """
    if target.local:
        return ""
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials, resolved = google.auth.default(scopes=SCOPES, quota_project_id=target.quota_project or None)
    except GoogleAuthError as error:
        raise TargetError(
            "there are no Google credentials on this machine",
            cause=str(error).split("\n", 1)[0].split(". ")[0],
            hint=f"type `{LOGIN}`; for a service account, set `impersonate` in plant.toml",
            reference="no-credentials",
        ) from None
    if resolved and resolved != target.project:
        raise TargetError(
            f"the credentials are set up for project {resolved}, and this plant is {target.project}",
            cause="GOOGLE_CLOUD_PROJECT, the credentials' own project, or gcloud's configuration says so",
            hint=f"type `gcloud config set project {target.project}`, or change project.id in plant.toml",
            reference="wrong-project",
        )
    if target.impersonate:
        return target.impersonate
    names = (getattr(credentials, name, "") for name in ("service_account_email", "account", "signer_email"))
    return next((name for name in names if isinstance(name, str) and "@" in name), "your own Google account")
