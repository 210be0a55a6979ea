"""Where calls go and as whom: the only module that knows a local sandbox from Google Cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plantctl.errors import TargetError

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One place to send requests to.

    `kind` is `sandbox` or `gcp`. `rest` is the sandbox's base URL, empty on gcp. `poll_s`: shortest and longest wait
    between two looks at an operation, in seconds. `incarnation` tells one sandbox from the next; empty on gcp.
    `impersonate`: service account whose token is used; `quota_project` pays for API calls.
    """

    kind: str
    project: str
    region: str
    rest: str = ""
    incarnation: str = ""
    impersonate: str = ""
    quota_project: str = ""
    poll_s: tuple[float, float] = (1.0, 20.0)

    @property
    def local(self) -> bool:
        """True when requests stay on this machine."""
        return self.kind == "sandbox"

    def root_url(self, api: str, official: str) -> str:
        """Where an API's paths begin: `http://127.0.0.1:PORT/sqladmin/`, or what its discovery document says."""
        return f"{self.rest}/{api}/" if self.local else official

    def words(self) -> str:
        """How a run announces where it works."""
        where = f"sandbox {self.rest}" if self.local else "Google Cloud"
        return f"project {self.project} on {where}"

    def session(self) -> Any:
        """A requests session that sends each request once; one a thread (not thread-safe).

        TargetError when Google's credentials are missing or cannot be refreshed.
        """
        import requests
        from requests.adapters import HTTPAdapter

        if self.local:
            session = requests.Session()
            session.trust_env = False  # a proxy set for gcloud must not catch plantctl's own calls
            session.headers["Authorization"] = "Bearer plantctl"
        else:
            session = self._authorized()
        adapter = HTTPAdapter(max_retries=0, pool_maxsize=4)
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)
        return session

    def _authorized(self) -> Any:
        import google.auth
        from google.auth import exceptions, impersonated_credentials
        from google.auth.transport.requests import AuthorizedSession

        try:
            credentials, _ = google.auth.default(scopes=SCOPES, quota_project_id=self.quota_project or None)
        except exceptions.DefaultCredentialsError as error:
            raise TargetError(
                "there are no Google credentials on this machine",
                cause=str(error).split(". ")[0],
                hint='type `gcloud auth application-default login`, or set target = "sandbox" in plant.toml',
                reference="no-credentials",
            ) from None
        if self.impersonate:
            credentials = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
                source_credentials=credentials, target_principal=self.impersonate, target_scopes=list(SCOPES)
            )
        # 401 means not executed, so google.auth may refresh and resend (hazards section 1); nothing else is repeated
        return AuthorizedSession(credentials, max_refresh_attempts=1)  # type: ignore[no-untyped-call]


def sandbox_target(endpoint: Mapping[str, Any], *, project: str, region: str) -> Target:
    """The target of a running sandbox, from what `sandbox status` says (`rest`, `incarnation`)."""
    return Target(
        kind="sandbox",
        project=project,
        region=region,
        rest=str(endpoint["rest"]).rstrip("/"),
        incarnation=str(endpoint.get("incarnation", "")),
        poll_s=(0.05, 0.5),
    )


def google_target(*, project: str, region: str, impersonate: str = "", quota_project: str = "") -> Target:
    """Google Cloud, with Application Default Credentials."""
    return Target(
        kind="gcp", project=project, region=region, impersonate=impersonate, quota_project=quota_project or project
    )
