"""The Cloud Run service as a resource: looked at as what serves, changed by laying parts over it, failures in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from plantctl.desired import backend as desired
from plantctl.errors import ApiFailure, PlantctlError
from plantctl.gcp import operations
from plantctl.gcp.resource import RestResource, Row, at, is_operation
from plantctl.model.step import Body, Finding, Verdict
from plantctl.steps import conditions, traffic
from plantctl.steps.build import UPDATE, Resource, Rules, look
from plantctl.steps.context import Context
from plantctl.steps.names import CACHE, CACHE_SECRETS, CREATE, PUSH

SERVICES = "run.projects.locations.services"
AFTER = "plantctl-after"
"""Annotation of a template: the revision that the next one is made after, so that there is a next one at all."""
LEFT = "plantctl-rolled-back-from"
"""Annotation of the service: the revision that a rollback took the traffic from."""
ATTEMPTS = 4
VIEWED = (
    "containers",
    "vpcAccess",
    "serviceAccount",
    "timeout",
    "maxInstanceRequestConcurrency",
    "executionEnvironment",
)
"""Fields of a revision that its template has under the same names."""
MADE_BY_SERVER = ("template.revision",)
"""A revision's name that was read must not be sent back: it is taken (hazards U08)."""
LINES = 5
Write = Callable[[Body], Body | None]
"""From the live service to the fields to be sent, or None when nothing is to be done."""
SYSTEM = "varlog%2Fsystem"
"""The log in which Cloud Run itself tells of a container's end."""


class Service(RestResource):
    """The service with the template of the revision that serves, where that is not the one made last.

    What a failed or a waiting revision looks like is no one's live state: evidence and drift are about what serves.
    """

    def __init__(self, ctx: Context) -> None:
        name = desired.service_name(ctx.plant)
        row = Row(
            name=f"service {ctx.plant.backend.service}",
            get=(f"{SERVICES}.get", {"name": name}),
            # by upsert: a failed create leaves the service behind, and a second one would be refused
            create=(f"{SERVICES}.patch", {"name": name, "allowMissing": True}),
            update=(f"{SERVICES}.patch", {"name": name}),
            style="laid-over",
            unsent=MADE_BY_SERVER,
            echo=("etag",),
            marker="labels",
            state="terminalCondition.state",
            waiting=frozenset({"CONDITION_PENDING", "CONDITION_RECONCILING"}),
            dead=frozenset({conditions.FAILED}),
            deadline_s=900,
        )
        super().__init__(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)
        self._ctx = ctx

    def live(self) -> Body | None:
        """As above; None when there is no service."""
        found = super().live()
        if found is None or self.pending(found):
            return found
        serving = traffic.server(found)
        if serving in ("", traffic.latest_created(found)):
            return found
        revision = read_revision(self._ctx, serving) or {}
        seen = {field: revision[field] for field in VIEWED if field in revision}
        return {**found, "template": {**found.get("template", {}), **seen}}

    def pending(self, live: Body) -> str:
        """The state word, or `reconciling`: done operations may leave the service behind for a moment (hazards U10)."""
        return super().pending(live) or ("reconciling" if live.get("reconciling") else "")

    def broken(self, live: Body) -> str:
        """The state word; not while traffic is pinned, for then the failed revision was never to serve."""
        return "" if traffic.pinned(live) else super().broken(live)

    def create(self, body: Body) -> None:
        """A new service gets all parts at once, whichever item's `body` it was missed for; a failure says why."""
        with self._told():
            super().create(whole(self._ctx))

    def update(self, live: Body, body: Body, fields: tuple[str, ...]) -> None:
        """As for every resource; a failure says why.

        Beside a revision that does not serve the next is made by naming it, for its parts may be the same. Where
        traffic is pinned it follows once the new revision is ready, not before: the latest may be one that was left.
        """
        newest = traffic.latest_created(live)
        templated = any(field.split(".")[0] == "template" for field in fields) or self.broken(live)
        if templated and newest != traffic.server(live):
            body = {**body, "template": {**body.get("template", {}), "annotations": {AFTER: newest}}}
            fields = (*fields, "template.annotations")
        with self._told():
            super().update(live, body, fields)
        if templated and traffic.pinned(live):
            write(self._ctx, following)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ApiFailure as failure:
            raise told(self._ctx, failure) from None


def following(live: Body) -> Body:
    """All traffic to the newest revision from now on; a rollback is over with that."""
    notes = {key: value for key, value in (live.get("annotations") or {}).items() if key != LEFT}
    return {"annotations": notes, "traffic": traffic.to_latest()}


def read(ctx: Context) -> Body:
    """The service; PlantctlError (`no-service`) when there is none."""
    found = ctx.gcp.get(f"{SERVICES}.get", name=desired.service_name(ctx.plant))
    if found is None:
        raise PlantctlError(
            f"there is no service {ctx.plant.backend.service} to release to yet",
            hint="plantctl phase run backend",
            reference="no-service",
        )
    return found


def write(ctx: Context, change: Write, *, purpose: str = "apply") -> bool:
    """Change the service and wait; False when there was nothing to do. A lost race is looked at anew."""
    method = f"{SERVICES}.patch"
    for attempt in range(1, ATTEMPTS + 1):
        live = read(ctx)
        fields = change(live)
        if fields is None:
            return False
        body = {**fields, "etag": live["etag"]}
        try:
            answer = ctx.gcp.call(method, body, purpose=purpose, name=str(live["name"]), updateMask=",".join(fields))
            if is_operation(answer):
                operations.wait(ctx.gcp, method, answer, deadline_s=900)
        except ApiFailure as failure:
            if failure.reference != "conflict-retry" or attempt == ATTEMPTS:
                raise told(ctx, failure) from None
            ctx.clock.sleep(ctx.gcp.target.poll_s[0] * attempt)
            continue
        Service(ctx).settle(None)
        return True
    raise AssertionError("the last attempt returns or raises")


def told(ctx: Context, failure: ApiFailure) -> ApiFailure:
    """A failed rollout in words, from the conditions of the newest revision and of the service; else the failure."""
    if failure.reference != "operation-failed" and failure.code not in (400, 403, 404):
        return failure
    found = ctx.gcp.get(f"{SERVICES}.get", name=desired.service_name(ctx.plant)) or {}
    newest = traffic.latest_created(found)
    revision = read_revision(ctx, newest) if newest else None
    condition = conditions.failed_condition(revision, found)
    if failure.reference != "operation-failed" and not condition:
        return failure  # refused before anything was made: its own words are the best there are
    lines = last_lines(ctx, newest) if newest else ()
    meant = conditions.tell(ctx.plant, condition, message=failure.message, lines=lines)
    return conditions.explained(ctx.plant, failure, meant, serving=traffic.server(found))


def read_revision(ctx: Context, revision: str) -> Body | None:
    """One revision by its short name, or None."""
    return ctx.gcp.get(f"{SERVICES}.revisions.get", name=f"{desired.service_name(ctx.plant)}/revisions/{revision}")


def revisions(ctx: Context) -> list[Body]:
    """All revisions, newest first."""
    found = ctx.gcp.list(f"{SERVICES}.revisions.list", "revisions", parent=desired.service_name(ctx.plant))
    return sorted(found, key=lambda revision: str(revision.get("createTime", "")), reverse=True)


def ready(revision: Body | None) -> bool:
    """Whether a revision got through its start."""
    found = (revision or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("state") == "CONDITION_SUCCEEDED" for one in found)


def image_of(revision: Body | None) -> str:
    """The image that a revision (or a template) runs, as it was asked for."""
    containers = (revision or {}).get("containers") or [{}]
    return str(containers[0].get("image", ""))


def digest_of(revision: Body | None) -> str:
    """`sha256:...` of the image that a revision runs; empty when it was deployed by tag."""
    return image_of(revision).partition("@")[2]


def entries(ctx: Context, revision: str, *, more: str = "", kind: str = "cloud_run_revision") -> list[Body]:
    """What a revision's containers wrote, newest first, fifty at most."""
    wanted = f'resource.type="{kind}" AND resource.labels.revision_name="{revision}"'
    request = {
        "resourceNames": [f"projects/{ctx.plant.project.id}"],
        "filter": f"{wanted} AND {more}" if more else wanted,
        "orderBy": "timestamp desc",
        "pageSize": 50,
    }
    return list(ctx.gcp.call("logging.entries.list", request).get("entries", []))


def line_of(entry: Body) -> str:
    """The words of an entry, whatever its shape."""
    payload = entry.get("jsonPayload") or {}
    return str(payload.get("message") or entry.get("textPayload") or "").strip()


def last_lines(ctx: Context, revision: str, *, kind: str = "cloud_run_revision") -> tuple[str, ...]:
    """The last lines that a revision wrote itself, errors only where there are any; oldest first."""
    written = entries(ctx, revision, kind=kind)
    found = [entry for entry in written if not str(entry.get("logName", "")).endswith(SYSTEM)] or written
    bad = [entry for entry in found if entry.get("severity") in ("ERROR", "CRITICAL", "ALERT", "EMERGENCY")]
    lines = [line for entry in (bad or found)[:LINES] if (line := line_of(entry))]
    return tuple(reversed(lines))


def image(ctx: Context) -> desired.Known:
    """The pushed image by digest."""
    digest = ctx.fact(PUSH, "digest")
    return f"{ctx.plant.image_name}@{digest}" if isinstance(digest, str) else digest


def values(ctx: Context) -> Mapping[str, desired.Known]:
    """Addresses and CA, as `desired.backend.environment` takes them."""
    return {
        "DB_HOST": ctx.fact(CREATE, "ip"),
        "DB_CA": ctx.fact(CREATE, "ca"),
        "REDIS_HOST": ctx.fact(CACHE, "host"),
        "REDIS_PORT": ctx.fact(CACHE, "port"),
    }


def versions(ctx: Context) -> Mapping[str, desired.Known]:
    """The version of each secret, by number."""
    return {
        "DATABASE_PASSWORD": ctx.fact("predeploy.secret.database_password", "version"),
        "REDIS_PASSWORD": ctx.fact(CACHE_SECRETS, "password_version"),
        "REDIS_CA": ctx.fact(CACHE_SECRETS, "ca_version"),
        "JWT_SECRET_KEY": ctx.fact("predeploy.secret.jwt_secret_key", "version"),
        "API_KEYS": ctx.fact("predeploy.secret.api_keys", "version"),
    }


def whole(ctx: Context) -> Body:
    """The body of a new service."""
    return desired.service(ctx.plant, image=image(ctx), values=values(ctx), versions=versions(ctx))


def part(
    body: Callable[[Context], Body], facts: Callable[[Context, Body], Mapping[str, str]] | None = None
) -> Resource:
    """A part of the service that an item of its own owns: it checks and changes what `body` holds, and no more."""
    rules = Rules(sets={"template.containers.env": "name"})
    return Resource(
        managed=Service, desired=body, rules=rules, facts=facts or (lambda _ctx, _live: {}), cure=lambda _ctx: UPDATE
    )


def facts(ctx: Context, live: Body) -> dict[str, str]:
    """What evidence is bound to. Not the revision's name: one made anew of the same parts voids nothing."""
    template = at(live, "template") or {}
    return {"uri": str(live.get("uri", "")), "digest": digest_of(template)}


def check_part(item: str, resource: Resource) -> Callable[[Context], Finding]:
    """A look at one part. What a release left undecided is a person's to decide: see `undecided`."""

    def check(ctx: Context) -> Finding:
        found = look(ctx, item, resource)
        templated = any(".template" in change.field for change in found.changes)
        if found.verdict is not Verdict.DRIFTED or not templated:
            return found
        live = read(ctx)
        if not undecided(ctx, live, image=any(change.field.endswith(".image") for change in found.changes)):
            return found
        reason = f"a release is under way: traffic is pinned ({traffic.words(live)})"
        hint = (
            "go on with `plantctl release deploy` and `plantctl release promote`, or put backend.version to what serves"
        )
        return replace(found, verdict=Verdict.CONFLICT, reason=reason, hint=hint)

    return check


def undecided(ctx: Context, live: Body, *, image: bool) -> bool:
    """True while traffic is split, and while it is pinned to another image than desired by a rollback or beside a
    candidate that is ready. A candidate that failed leaves nothing to decide."""
    if not traffic.pinned(live):
        return False
    if not traffic.server(live):
        return True
    left = LEFT in (live.get("annotations") or {})
    return image and (left or ready(read_revision(ctx, traffic.latest_created(live))))


ROLLED_OUT = part(lambda ctx: desired.rollout(ctx.plant, image=image(ctx)), facts)
"""What `backend.service.deploy` owns, and the facts that evidence is bound to."""
