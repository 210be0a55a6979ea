"""Traffic of a release: to the candidate in steps that are watched, and back to what served before."""

from __future__ import annotations

from functools import partial

from plantctl.errors import GateFailed, PlantctlError, ProbeFailed
from plantctl.model.step import Body
from plantctl.probes.http import Tally
from plantctl.steps import health, image, service, traffic
from plantctl.steps.context import Context
from plantctl.steps.release import BEFORE, Released
from plantctl.steps.service import LEFT, read, write

STEPS = (10, 50)
"""Percentages on the way to more."""


def promote(ctx: Context, percent: int, *, watch_s: float) -> Released:
    """Give the newest revision a part of the traffic, by steps; each is watched for so many seconds.

    A request that fails, or an error that the revision writes, takes all traffic back to where it was: GateFailed.
    Success at 100 means that digest, traffic and `/version` agree; from then on traffic follows the newest revision.
    """
    live = read(ctx)
    new = traffic.latest_created(live)
    revision = service.read_revision(ctx, new)
    digest = service.digest_of(revision)
    if not service.ready(revision):
        raise PlantctlError(
            f"{new} is not ready, so it gets no traffic", hint="plantctl release deploy", reference="no-candidate"
        )
    share = traffic.shares(live).get(new, 0)
    changed, words = False, []
    for step in _steps(share, percent) or ([percent] if _unnamed(live, new, percent) else []):
        changed = write(ctx, partial(_moved, new=new, percent=step)) or changed
        words.append(_watched(ctx, live, new, step, watch_s))
    if percent == traffic.WHOLE:
        live = read(ctx)
        asks = health.Caller(ctx, str(live["uri"]))
        words += health.agreed(ctx, asks, revision=new, digest=digest)
    return Released(
        revision=new, digest=digest, uri=str(live["uri"]), percent=percent, changed=changed, words=tuple(words)
    )


def _steps(share: int, percent: int) -> list[int]:
    """Percentages to go through; none when it has that share already."""
    if share == percent:
        return []
    return [*(step for step in STEPS if share < step < percent), percent]


def _unnamed(live: Body, new: str, percent: int) -> bool:
    """Whether all traffic goes to the newest revision by its name, where it should follow the newest."""
    return percent == traffic.WHOLE and traffic.server(live) == new and traffic.pinned(live)


def _moved(live: Body, *, new: str, percent: int) -> Body:
    """Traffic with this part for the newest, the rest as it was in proportion; and who served before."""
    notes = dict(live.get("annotations") or {})
    notes.pop(LEFT, None)
    others = {name: part for name, part in traffic.shares(live).items() if name != new}
    if others:
        notes[BEFORE] = max(others, key=lambda name: others[name])
    if percent == traffic.WHOLE:
        return {"annotations": notes, "traffic": traffic.to_latest()}
    tagged = [(tag, at.revision) for tag, at in traffic.tags(live).items()]
    return {"annotations": notes, "traffic": traffic.split({**_rest(others, 100 - percent), new: percent}, tagged)}


def _rest(others: dict[str, int], left: int) -> dict[str, int]:
    """The others' parts of what is left; the largest takes what rounding leaves."""
    whole = sum(others.values())
    if not whole:
        raise PlantctlError(
            "nothing else serves, so there is nothing to share the traffic with",
            hint="plantctl release promote",
            reference="release-unsettled",
        )
    parts = {name: left * part // whole for name, part in others.items()}
    largest = max(parts, key=lambda name: parts[name])
    parts[largest] += left - sum(parts.values())
    return parts


def _watched(ctx: Context, before: Body, new: str, percent: int, watch_s: float) -> str:
    """What requests saw in that time, and what the revision wrote; errors take the traffic back."""
    since = ctx.clock.now()
    asks = health.Caller(ctx, str(before["uri"]))
    with asks.steady() as steady:
        steady.answered("", 1, within_s=watch_s)  # nobody is called that: the time runs out, or something fails
        tally = steady.tally()
    more = f'severity>=ERROR AND timestamp>="{since.isoformat()}"'
    errors = [service.line_of(entry) for entry in service.entries(ctx, new, more=more)]
    if tally.failures or errors:
        _take_back(ctx, before)
        raise GateFailed(
            f"at {percent} % {_failed(tally, errors)}; the traffic is back where it was",
            cause=f"seen in {watch_s:.0f} s of {new}",
            hint=f"read what {new} wrote, mend it, and deploy the next version",
        )
    by = tally.answered_by.get(new, 0)
    return f"{percent} %: {tally.sent} requests, none failed, {by} answered by {new}"


def _failed(tally: Tally, errors: list[str]) -> str:
    if tally.failures:
        told = ", ".join(f"{count} {words}" for words, count in tally.failed.items())
        return f"{tally.failures} of {tally.sent} requests failed ({told})"
    return f"it wrote an error ({errors[0]})"


def _take_back(ctx: Context, before: Body) -> None:
    kept: Body = {"annotations": before.get("annotations") or {}, "traffic": before.get("traffic") or []}
    write(ctx, lambda _now: kept)


def rollback(ctx: Context, to: str = "") -> Released:
    """All traffic to what served before, at once; `to` names a revision instead. Twice is the same as once.

    What served before is what the last promotion noted; without a note the newest ready revision of another image.
    """
    live = read(ctx)
    notes = live.get("annotations") or {}
    serving = traffic.server(live)
    if serving and not to and notes.get(LEFT) and traffic.pinned(live):
        target, changed = serving, False
    else:
        target = _named(ctx, to) if to else _before(ctx, live)
        changed = write(ctx, lambda now: _back(now, target))
    live = read(ctx)
    revision = service.read_revision(ctx, target)
    digest = service.digest_of(revision)
    if traffic.server(live) != target:
        raise ProbeFailed(f"{target} does not have all traffic: {traffic.words(live)}", hint="plantctl release list")
    words = health.agreed(ctx, health.Caller(ctx, str(live["uri"])), revision=target, digest=digest)
    return Released(revision=target, digest=digest, uri=str(live["uri"]), percent=100, changed=changed, words=words)


def _back(live: Body, target: str) -> Body | None:
    if traffic.server(live) == target:
        return None
    shares = traffic.shares(live)
    notes = {key: value for key, value in (live.get("annotations") or {}).items() if key != BEFORE}
    left = max((name for name in shares if name != target), key=lambda name: shares[name], default="")
    if left:
        notes[LEFT] = left
    tagged = [(tag, at.revision) for tag, at in traffic.tags(live).items()]
    return {"annotations": notes, "traffic": traffic.split({target: traffic.WHOLE}, tagged)}


def _before(ctx: Context, live: Body) -> str:
    """What served before: in a split the older part, else the noted revision, else one of another image."""
    shares, newest = traffic.shares(live), traffic.latest_created(live)
    if len(shares) > 1:
        return max((name for name in shares if name != newest), key=lambda name: shares[name])
    serving = traffic.server(live)
    noted = str((live.get("annotations") or {}).get(BEFORE, ""))
    if noted and noted != serving and service.ready(service.read_revision(ctx, noted)):
        return noted
    found = service.revisions(ctx)
    names = [traffic.short(revision["name"]) for revision in found]
    older = found[names.index(serving) + 1 :] if serving in names else []
    running = service.digest_of(service.read_revision(ctx, serving)) if serving else ""
    for revision in older:
        if service.ready(revision) and service.digest_of(revision) != running:
            return traffic.short(revision["name"])
    raise PlantctlError(
        f"nothing else has served before {serving or 'this'}",
        hint="plantctl release list",
        reference="no-candidate",
    )


def _named(ctx: Context, to: str) -> str:
    """A ready revision by its name, or the newest of the version whose image it runs."""
    versions = image.versions_by_digest(ctx)
    for revision in service.revisions(ctx):
        name = traffic.short(revision["name"])
        if service.ready(revision) and (name == to or to in versions.get(service.digest_of(revision), ())):
            return name
    raise PlantctlError(
        f"there is no ready revision {to}, nor one of that version",
        hint="plantctl release list",
        reference="no-candidate",
    )
