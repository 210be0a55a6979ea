"""The Cloud Run worker pool, and the proof that it works: a job that the deployed service enqueued is done in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from plantctl.desired import backend as desired
from plantctl.errors import ApiFailure, OperationFailed, ProbeFailed
from plantctl.gcp.resource import RestResource, Row
from plantctl.model.step import Body, Evidence
from plantctl.steps import conditions, health, secrets, service, traffic
from plantctl.steps.build import UPDATE, Resource, Rules
from plantctl.steps.context import Context
from plantctl.steps.names import WORKER

POOLS = "run.projects.locations.workerPools"
CHECKS = "/api/v1/service/job-checks"
SCOPE = "jobs:check"
DONE_WITHIN_S = 10.0


class WorkerPool(RestResource):
    """The worker pool; made by upsert like the service. A failed rollout says why."""

    def __init__(self, ctx: Context) -> None:
        name = desired.worker_name(ctx.plant)
        row = Row(
            name=f"worker pool {ctx.plant.backend.worker}",
            get=(f"{POOLS}.get", {"name": name}),
            create=(f"{POOLS}.patch", {"name": name, "allowMissing": True}),
            update=(f"{POOLS}.patch", {"name": name}),
            style="laid-over",
            unsent=service.MADE_BY_SERVER,
            echo=("etag",),
            marker="labels",
            state="terminalCondition.state",
            waiting=frozenset({"CONDITION_PENDING", "CONDITION_RECONCILING"}),
            dead=frozenset({conditions.FAILED}),
            deadline_s=600,
        )
        super().__init__(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)
        self._ctx = ctx

    def create(self, body: Body) -> None:
        """As for every resource; a failure says why."""
        with self._told():
            super().create(body)

    def update(self, live: Body, body: Body, fields: tuple[str, ...]) -> None:
        """As for every resource; after a failed revision the next is made by naming it. A failure says why."""
        if self.broken(live):
            template = {**body["template"], "annotations": {service.AFTER: traffic.latest_created(live)}}
            body, fields = {**body, "template": template}, (*fields, "template.annotations")
        with self._told():
            super().update(live, body, fields)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OperationFailed as failure:
            raise self._explained(failure) from None

    def _explained(self, failure: ApiFailure) -> OperationFailed:
        plant, live = self._ctx.plant, self.live() or {}
        newest = traffic.latest_created(live)
        lines = service.last_lines(self._ctx, newest, kind="cloud_run_worker_pool") if newest else ()
        told = conditions.tell(plant, conditions.failed_condition(live), message=failure.message, lines=lines)
        return OperationFailed(
            f"the new revision of {plant.backend.worker} is not ready",
            cause=told.cause,
            hint=told.hint,
            reference=told.reference,
            reason=failure.reason,
            method_id=failure.method_id,
        )


def body(ctx: Context) -> Body:
    """The pool as it should be."""
    return desired.worker(
        ctx.plant, image=service.image(ctx), values=service.values(ctx), versions=service.versions(ctx)
    )


def facts(ctx: Context, live: Body) -> dict[str, str]:
    """What evidence is bound to."""
    return {"digest": service.digest_of(live.get("template"))}


RESOURCE = Resource(
    managed=WorkerPool,
    desired=body,
    rules=Rules(sets={"template.containers.env": "name"}),
    facts=facts,
    cure=lambda _ctx: UPDATE,
)


def verify(ctx: Context) -> Evidence:
    """A job enqueued through the deployed API is done within ten seconds.

    It only counts up a number in Redis that nothing reads, so it leaves nothing behind; the caller is the service key
    that plantctl keeps for such looks.
    """
    asks = health.caller(ctx)
    more = {"X-API-Key": _service_key(ctx)}
    begun = ctx.clock.monotonic()
    sent = asks.send("POST", CHECKS, more=more)
    if sent.status != 202:
        raise asks.unwell(f"POST {CHECKS}", sent)
    job = str(sent.body.get("id"))
    while True:
        seen = asks.send("GET", f"{CHECKS}/{job}", more=more)
        if not seen.ok:
            raise asks.unwell(f"GET {CHECKS}/{job}", seen)
        seconds = ctx.clock.monotonic() - begun
        if seen.body.get("status") == "done":
            break
        if seconds > DONE_WITHIN_S:
            wanted = 'resource.type="cloud_run_worker_pool" AND severity>=WARNING'
            raise ProbeFailed(
                f"job {job} is {seen.body.get('status')} after {seconds:.0f} s, not done",
                cause=f"no worker took it, or it fails: {seen.body.get('error') or 'it says no error'}",
                hint=f"read `gcloud logging read '{wanted}' --project {ctx.plant.project.id} --limit 20`",
            )
        ctx.clock.sleep(max(0.1, ctx.gcp.target.poll_s[0]))
    words = (
        f"job {job}, enqueued through the API, was done after {seconds:.1f} s",
        f"{ctx.plant.backend.worker} runs {ctx.known(WORKER, 'digest')}",
    )
    return Evidence(words=words, where="the deployed API")


def _service_key(ctx: Context) -> str:
    """The key of API_KEYS that may check jobs. It goes into one header and is never printed."""
    text = secrets.read(ctx, "API_KEYS", ctx.known("predeploy.secret.api_keys", "version")).reveal()
    try:
        keys = [key for key in json.loads(text) if SCOPE in key.get("scopes", []) and key.get("key")]
    except (ValueError, AttributeError):
        keys = []
    if not keys:
        raise ProbeFailed(
            f"API_KEYS holds no key in plain with the scope {SCOPE}, so nobody can check the queue by the API",
            hint='add {"id", "key", "scopes": ["' + SCOPE + '"]} to it as a new version',
        )
    return str(keys[0]["key"])
