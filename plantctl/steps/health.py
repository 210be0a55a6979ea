"""Looks at the deployed service from outside, with an identity token: alive, ready, serving what was deployed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from plantctl.errors import ProbeFailed
from plantctl.model.step import Body, Evidence
from plantctl.probes.http import Answer, Steady, ask
from plantctl.steps import service, traffic
from plantctl.steps.context import Context
from plantctl.steps.names import SERVE

TOKEN = "X-Serverless-Authorization"
"""Cloud Run takes the caller's identity from it and leaves `Authorization` to the application (docs, run,
"Authenticating service-to-service")."""
REFUSED = (401, 403)
SETTLE_S = 60.0
"""How long an address may go on answering from before a change of traffic."""
LINES_WAIT_S = 30.0
STOPPED = re.compile(r"application shutdown complete|finished server process|shutdown complete", re.IGNORECASE)
ENOUGH = 20
"""Answers of the new revision after which a switch counts as done."""


class Caller:
    """Asks one service. The token is made once, at the first request; `base` is another of its addresses (a tag's)."""

    def __init__(self, ctx: Context, uri: str, *, base: str = "") -> None:
        self._ctx = ctx
        self._audience = uri
        self.base = base or uri
        self._session: Any = None
        self._token = ""

    @property
    def headers(self) -> dict[str, str]:
        """What each request carries."""
        if not self._token:
            self._token = self._ctx.gcp.target.identity_token(self._audience)
        return {TOKEN: f"Bearer {self._token}", "User-Agent": "plantctl"}

    def get(self, path: str) -> Answer:
        """One answer, whatever it is."""
        return self.send("GET", path)

    def send(self, method: str, path: str, *, more: dict[str, str] | None = None, body: Any = None) -> Answer:
        """One answer to any request; `more` are headers of its own."""
        if self._session is None:
            self._session = self._ctx.gcp.target.web()
        headers = {**self.headers, **(more or {})}
        return ask(self._session, self._ctx.clock, f"{self.base}{path}", method=method, headers=headers, body=body)

    def good(self, path: str) -> Body:
        """The body of a 200; ProbeFailed with what to do about any other answer."""
        answer = self.get(path)
        if not answer.ok:
            raise self.unwell(path, answer)
        return dict(answer.body)

    def until(self, path: str, wanted: Callable[[Answer], bool], *, within_s: float = SETTLE_S) -> Answer:
        """The first answer that is as wanted, else the last one once the time is over."""
        begun = self._ctx.clock.monotonic()
        while True:
            answer = self.get(path)
            if wanted(answer) or answer.status in REFUSED or self._ctx.clock.monotonic() - begun > within_s:
                return answer
            self._ctx.clock.sleep(self._ctx.gcp.target.poll_s[0])

    def steady(self, path: str = "/health") -> Steady:
        """Steady requests, to be entered."""
        return Steady(self._ctx.gcp.target.web, self._ctx.clock, f"{self.base}{path}", headers=self.headers)

    def unwell(self, path: str, answer: Answer) -> ProbeFailed:
        """The error for an answer that is none."""
        plant = self._ctx.plant
        if answer.status in REFUSED:
            grant = f"gcloud run services add-iam-policy-binding {plant.backend.service} --region {plant.region}"
            return ProbeFailed(
                f"{path} {answer.words()}: this identity may not call {plant.backend.service}",
                cause="the service takes calls of identities with roles/run.invoker only",
                hint=f"`{grant} --role roles/run.invoker --member user:YOU`",
                reference="not-invoker",
            )
        wanted = f'resource.labels.service_name="{plant.backend.service}" AND severity>=WARNING'
        return ProbeFailed(
            f"{path} {answer.words()}{_ailing(answer)}",
            cause=f"asked at {self.base} with an identity token",
            hint=f"read `gcloud logging read '{wanted}' --project {plant.project.id} --limit 20`",
        )


def _ailing(answer: Answer) -> str:
    """What a readiness answer names as not well: `: database (auth-failed)`."""
    checks = answer.body.get("checks") or {}
    bad = [
        f"{name} ({check.get('reason', 'no reason given')})"
        for name, check in checks.items()
        if isinstance(check, dict) and check.get("ok") is False
    ]
    return f": {', '.join(bad)}" if bad else ""


def caller(ctx: Context) -> Caller:
    """Asks the service at its own address."""
    return Caller(ctx, ctx.known(SERVE, "uri"))


def serving(ctx: Context) -> tuple[Body, str]:
    """The service and the revision that gets all traffic; ProbeFailed while none does."""
    found = service.Service(ctx).live()
    revision = traffic.server(found or {})
    if found is None or not revision:
        split = traffic.words(found or {})
        raise ProbeFailed(f"no revision has all traffic: {split}", hint="plantctl release list")
    return found, revision


def agreed(ctx: Context, asks: Caller, *, revision: str, digest: str) -> tuple[str, ...]:
    """Words that digest, traffic and `/version` say the same; ProbeFailed with the one that does not."""
    live = service.read_revision(ctx, revision)
    running = service.digest_of(live)
    if running != digest:
        raise ProbeFailed(
            f"{revision} runs {running[:19] or 'an image by tag'}, not {digest[:19]}", hint="plantctl release list"
        )
    answer = asks.until("/version", lambda found: found.ok and found.body.get("revision") == revision)
    if not answer.ok:
        raise asks.unwell("/version", answer)
    if answer.body.get("revision") != revision:
        raise ProbeFailed(
            f"/version is answered by {answer.body.get('revision')}, and traffic goes to {revision}",
            hint="plantctl release list",
        )
    said = str(answer.body.get("version", "unknown"))
    return (f"{revision} serves {digest}", f"/version says {said}, from {revision}")


def verify_deploy(ctx: Context) -> Evidence:
    """What serves is what was pushed."""
    _, revision = serving(ctx)
    words = agreed(ctx, caller(ctx), revision=revision, digest=ctx.known(SERVE, "digest"))
    return Evidence(words=words, where="the revision, its traffic, and /version from outside")


def verify_endpoint(ctx: Context) -> Evidence:
    """`/health` is 200, from the revision that has the traffic; without an identity nobody gets in."""
    _, revision = serving(ctx)
    asks = caller(ctx)
    answer = asks.until("/health", lambda found: found.ok and found.body.get("revision") == revision)
    if not answer.ok:
        raise asks.unwell("/health", answer)
    said = answer.body.get("revision")
    if said != revision:
        raise ProbeFailed(f"/health is answered by {said}, and traffic goes to {revision}")
    nobody = ask(ctx.gcp.target.web(), ctx.clock, f"{asks.base}/health", headers={})
    if nobody.ok:
        raise ProbeFailed(
            "/health answers callers without an identity, and the service is not behind its load balancer yet",
            hint=f"gcloud run services get-iam-policy {ctx.plant.backend.service} --region {ctx.plant.region}",
        )
    words = (
        f"/health is {answer.body.get('status')} from {revision} in {answer.seconds * 1000:.0f} ms",
        f"without an identity it {nobody.words()}",
    )
    return Evidence(words=words, where=f"outside, at {asks.base}")


def verify_store(name: str) -> Callable[[Context], Evidence]:
    """`/health/ready?strict=1` names this store as well, with its latency; for the database also the schema."""

    def verify(ctx: Context) -> Evidence:
        asks = caller(ctx)
        answer = asks.until("/health/ready?strict=1", lambda found: _check(found, name).get("ok") is True)
        check = _check(answer, name)
        if check.get("ok") is not True:
            raise asks.unwell("/health/ready", answer)
        words = [f"{name} answers the service in {check.get('ms')} ms"]
        if name == "database":
            words.append(require_schema(answer))
        return Evidence(words=tuple(words), where="/health/ready?strict=1 from outside")

    return verify


def require_schema(answer: Answer) -> str:
    """Words on the schema that a readiness answer tells of; ProbeFailed when it is older than the image's.

    A newer one is well: after a rollback older code runs on it. Revisions are numbers, so their order is that of text.
    """
    schema = (answer.body.get("checks") or {}).get("migrations") or {}
    current, head = str(schema.get("current") or ""), str(schema.get("head") or "")
    if current < head:
        told = f"the schema is at {current or 'nothing'}, and the image wants {head}"
        raise ProbeFailed(told, hint="plantctl phase run database")
    return f"schema at {current}, the image wants {head}"


def _check(answer: Answer, name: str) -> dict[str, Any]:
    found = (answer.body.get("checks") or {}).get(name)
    return found if isinstance(found, dict) else {}
