"""Releases of the service: a revision without traffic, tried by its own address; traffic in steps; back to what served.

`phase run` owns what the service is made of, this module which image it runs and who serves. Everything is read from
the service and its revisions, so that another machine, or the same after a kill, goes on where a release stood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from plantctl.errors import PlantctlError, ProbeFailed
from plantctl.gcp.resource import laid_over
from plantctl.model.step import Body
from plantctl.steps import health, image, service, traffic
from plantctl.steps.context import Context

BEFORE = "plantctl-served-before"
"""Annotation of the service: the revision that served before the last promotion."""


@dataclass(frozen=True, kw_only=True)
class Released:
    """What a release command came to. `changed`: it wrote; `words`: what was seen."""

    revision: str
    digest: str
    version: str = ""
    tag: str = ""
    uri: str = ""
    percent: int = 0
    changed: bool = False
    words: tuple[str, ...] = ()


def tag_of(version: str) -> str:
    """`v1-1-0` of `v1.1.0`: tags of traffic are part of a host name."""
    word = re.sub(r"[^a-z0-9]+", "-", version.lower()).strip("-")
    return (word if word[:1].isalpha() else f"v{word}")[:40]


def deploy(ctx: Context) -> Released:
    """A revision of backend.version's image that gets no traffic, tagged, and tried by its own address.

    GateFailed when its scan does not pass, OperationFailed when it does not start, ProbeFailed when it does not answer
    as it should; in each case what served serves on.
    """
    version = ctx.plant.backend.version
    digest = image.digest_of_version(ctx)
    if not digest:
        raise PlantctlError(
            f"there is no image {ctx.plant.backend.image}:{version} in the registry",
            hint=f"plantctl release build --version {version}",
            reference="no-candidate",
        )
    image.require_scanned(ctx, digest)
    found = image.pass_gate(ctx, digest)
    live = service.read(ctx)
    serving = traffic.server(live)
    if serving and service.digest_of(service.read_revision(ctx, serving)) == digest:
        return Released(revision=serving, digest=digest, version=version, uri=str(live["uri"]), percent=100)
    made = service.write(ctx, lambda now: _with_candidate(ctx, now, digest))
    live = service.read(ctx)
    revision, tag = traffic.latest_created(live), tag_of(version)
    _require_ready(ctx, revision, digest)
    tagged = service.write(ctx, lambda now: _with_tag(now, tag, revision))
    live = service.read(ctx)
    at = traffic.tags(live).get(tag)
    if at is None or not at.uri:
        raise ProbeFailed(f"{revision} has no address of its own under the tag {tag}", hint="plantctl release list")
    words = (f"scan: {found}", *_smoke(ctx, live, revision, at.uri))
    return Released(
        revision=revision,
        digest=digest,
        version=version,
        tag=tag,
        uri=at.uri,
        percent=traffic.shares(live).get(revision, 0),
        changed=made or tagged,
        words=words,
    )


def _with_candidate(ctx: Context, live: Body, digest: str) -> Body | None:
    """What serves with another image; traffic is named, so that the new revision takes none."""
    newest = service.read_revision(ctx, traffic.latest_created(live))
    if service.digest_of(newest) == digest and service.ready(newest):
        return None
    base = service.Service(ctx).live() or live
    wanted: Body = {"template": {"containers": [{"image": f"{ctx.plant.image_name}@{digest}"}]}}
    fields: tuple[str, ...] = ("template.containers",)
    if service.digest_of(newest) == digest:  # it failed: the next one is made by naming it
        wanted["template"]["annotations"] = {service.AFTER: traffic.latest_created(live)}
        fields = (*fields, "template.annotations")
    sent = laid_over(base, wanted, fields, unsent=service.MADE_BY_SERVER)
    return {**sent, "traffic": traffic.split(_shares(live))}


def _shares(live: Body) -> dict[str, int]:
    found = traffic.shares(live)
    if not found:
        raise PlantctlError(
            f"nothing of {live['name'].rsplit('/', 1)[1]} serves",
            hint="plantctl phase run backend",
            reference="release-unsettled",
        )
    return found


def _with_tag(live: Body, tag: str, revision: str) -> Body | None:
    """The tag leads to the revision; other tags go, for each costs an address that nobody looks after."""
    here = traffic.tags(live)
    if list(here) == [tag] and here[tag].revision == revision:
        return None
    return {"traffic": traffic.split(_shares(live), [(tag, revision)])}


def _require_ready(ctx: Context, revision: str, digest: str) -> None:
    live = service.read_revision(ctx, revision)
    if service.digest_of(live) != digest or not service.ready(live):
        raise ProbeFailed(
            f"{revision} is not a ready revision of {digest[:19]}",
            cause="somebody else deployed meanwhile, or it fails after its start",
            hint="plantctl release list",
        )


def _smoke(ctx: Context, live: Body, revision: str, uri: str) -> tuple[str, ...]:
    """Alive, ready with both stores, and nobody else, by the revision's own address."""
    asks = health.Caller(ctx, str(live["uri"]), base=uri)
    alive = asks.until("/health", lambda answer: answer.ok and answer.body.get("revision") == revision)
    if not alive.ok:
        raise asks.unwell("/health", alive)
    if alive.body.get("revision") != revision:
        raise ProbeFailed(f"{uri} is answered by {alive.body.get('revision')}, not {revision}")
    ready = asks.until("/health/ready?strict=1", lambda answer: answer.ok)
    if not ready.ok:
        raise asks.unwell("/health/ready", ready)
    schema = health.require_schema(ready)
    said = asks.good("/version").get("version", "unknown")
    return (f"{revision} is alive and ready at {uri}", schema, f"/version says {said}")


def listed(ctx: Context) -> list[dict[str, object]]:
    """Revisions, newest first: what each runs, under which versions it was pushed, and its part of the traffic."""
    live = service.read(ctx)
    shares, tags = traffic.shares(live), traffic.tags(live)
    versions = image.versions_by_digest(ctx)
    return [
        {
            "revision": name,
            "version": ", ".join(versions.get(service.digest_of(revision), ())),
            "digest": service.digest_of(revision),
            "created": str(revision.get("createTime", "")),
            "state": "ready" if service.ready(revision) else "not ready",
            "percent": shares.get(name, 0),
            "tag": ", ".join(tag for tag, at in tags.items() if at.revision == name),
        }
        for revision in service.revisions(ctx)
        for name in (traffic.short(revision["name"]),)
    ]
