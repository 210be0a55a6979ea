"""Where calls go and as whom: the only module that knows a local sandbox from Google Cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plantctl.errors import PlantctlError, TargetError

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
LOGIN = "gcloud auth application-default login"
OWNER = "plantctl"
"""What the sandbox's owner shows instead of a token."""
CHARGED = ("billingbudgets.", "serviceusage.")
"""APIs that want a quota project from a person's credentials, which often name none (hazards T17)."""


class GapError(PlantctlError):
    """The target has no such method: a fault of the sandbox, never a missing resource (design section 4)."""

    reference = "sandbox-gap"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One place to send requests to.

    `kind` is `sandbox` or `gcp`. `rest` is the sandbox's base URL, `grpc` where it listens for gRPC, `proxy` and `ca`
    the way to the addresses of what it runs and the certificate to check them with; all empty on gcp. `incarnation`
    tells one sandbox from the next; empty on gcp. `impersonate`: service account whose token is used; `quota_project`
    pays for API calls, empty: whatever the credentials say. `pace`: how many times faster than on Google Cloud
    operations end here, inf for at once. In seconds: `poll_s` shortest and longest wait between two looks at an
    operation; `settle_s` how long a write may stay unseen before it counts as not made (hazards I01);
    `unreachable_s` how long a refused connection is tried again.
    """

    kind: str
    project: str
    region: str
    rest: str = ""
    grpc: str = ""
    proxy: str = ""
    ca: str = ""
    incarnation: str = ""
    impersonate: str = ""
    quota_project: str = ""
    pace: float = 1.0
    poll_s: tuple[float, float] = (1.0, 20.0)
    settle_s: float = 60.0
    unreachable_s: float = 300.0

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
        """A requests session; one a thread (not thread-safe). It repeats nothing but a request answered 401.

        TargetError when Google's credentials are missing or meant for another project.
        """
        import requests

        if not self.local:
            from google.auth.transport.requests import AuthorizedSession

            from plantctl.gcp.identity import credentials

            # 401 means not executed, so google.auth may refresh and send again (hazards section 1)
            return AuthorizedSession(credentials(self), max_refresh_attempts=1)  # type: ignore[no-untyped-call]
        session = requests.Session()
        session.trust_env = False  # a proxy set for gcloud must not catch plantctl's own calls
        session.headers.update(self.credentials_header())
        return session

    def credentials_header(self) -> dict[str, str]:
        """What shows the sandbox who calls; on gcp the credentials do so by themselves."""
        return {"Authorization": f"Bearer {OWNER}"} if self.local else {}

    def channel(self, host: str) -> Any:
        """A gRPC channel to one of Google's hosts; thread-safe, sends each call once. TargetError as `session`."""
        import grpc

        from plantctl import __version__

        # gRPC repeats a call by itself where a service's configuration says so: retrying is ours (design section 6)
        options = [
            ("grpc.enable_retries", 0),
            ("grpc.max_reconnect_backoff_ms", 5000),  # a refused connection is tried again when we say so
            ("grpc.primary_user_agent", f"plantctl/{__version__}"),
        ]
        if self.local:
            return grpc.insecure_channel(self.grpc, [*options, ("grpc.enable_http_proxy", 0)])
        from google.auth.transport.grpc import secure_authorized_channel
        from google.auth.transport.requests import Request

        from plantctl.gcp.identity import credentials

        return secure_authorized_channel(credentials(self), Request(), f"{host}:443", options=options)  # type: ignore[no-untyped-call]

    def web(self) -> Any:
        """A requests session for addresses of what is deployed (`https://...run.app`), not of Google's APIs.

        One a thread; sends no credentials of its own. On the
        sandbox it dials by the sandbox's proxy, which knows these names, and trusts its CA.
        """
        import requests

        session = requests.Session()
        if self.local:
            session.trust_env = False
            session.proxies = {"https": self.proxy}
            session.verify = self.ca
        return session

    def identity_token(self, audience: str) -> str:
        """A token that tells a Cloud Run service who calls, for one address (its `uri`) and an hour at most.

        TargetError (`no-identity-token`) when the credentials cannot make one.
        """
        if self.local:
            return OWNER
        from plantctl.gcp.identity import identity_token

        return identity_token(self, audience)

    def headers(self, method_id: str) -> dict[str, str]:
        """What a method's requests carry besides: who pays, where the API asks and neither settings nor login say."""
        if self.local or self.quota_project or not method_id.startswith(CHARGED):
            return {}
        return {"X-Goog-User-Project": self.project}

    def account(self) -> str:
        """The account whose credentials are used, in words; asks no API. TargetError as `session`."""
        if self.local:
            return "the sandbox's owner"
        from plantctl.gcp.identity import account_of_credentials

        return account_of_credentials(self)

    def unreachable(self, cause: str) -> TargetError:
        """The error for a connection that was refused or never came about."""
        if self.local:
            return TargetError(
                f"the sandbox at {self.rest} does not answer",
                cause=cause,
                hint="type `plantctl sandbox up`, then run this again",
                reference="sandbox-down",
            )
        return TargetError(
            "Google's APIs cannot be reached from here",
            cause=cause,
            hint="check the network, DNS, and the proxy variables (HTTPS_PROXY, NO_PROXY), then run this again",
        )

    def unimplemented(self, method_id: str, message: str) -> GapError:
        """The error for an answer UNIMPLEMENTED, which never means a missing resource."""
        hint = "this is a gap of the local sandbox; Google Cloud has the method" if self.local else ""
        return GapError(message or f"there is no {method_id} here", hint=hint)


def sandbox_target(endpoint: Mapping[str, Any], *, project: str, region: str) -> Target:
    """The target of a running sandbox, from what `sandbox status` says (`rest`, `grpc`, `proxy`, ...)."""
    return Target(
        kind="sandbox",
        project=project,
        region=region,
        rest=str(endpoint["rest"]).rstrip("/"),
        grpc=str(endpoint.get("grpc") or ""),
        proxy=str(endpoint.get("proxy", "")),
        ca=str(endpoint.get("ca", "")),
        incarnation=str(endpoint.get("incarnation", "")),
        pace=float(str(endpoint.get("speed") or 1).replace("max", "inf")),
        poll_s=(0.05, 0.5),
        settle_s=0.6,
        unreachable_s=5.0,
    )


def google_target(*, project: str, region: str, impersonate: str = "", quota_project: str = "") -> Target:
    """Google Cloud, with Application Default Credentials, which are looked for at the first request.

    No quota project unless one is set: before it exists, the plant's own could not pay for the call that makes it.
    """
    return Target(kind="gcp", project=project, region=region, impersonate=impersonate, quota_project=quota_project)
