"""The proof that instances come and go unnoticed: a new revision takes over under steady requests, the old one drains.

It is made once for each image: the evidence holds until what serves is another digest, or somebody wants it renewed.
"""

from __future__ import annotations

from datetime import datetime

from plantctl.errors import ProbeFailed
from plantctl.gcp.resource import at, laid_over
from plantctl.model.step import Body, Evidence
from plantctl.probes.http import Tally
from plantctl.steps import health, service, traffic
from plantctl.steps.context import Context

FIELDS = ("template.annotations",)


def verify_lifecycle(ctx: Context) -> Evidence:
    """Makes a revision after the one that serves, asking all the while; then reads what the old one wrote at its end.

    The write is journalled as a probe: the new revision is the old one in everything but its annotation.
    """
    live, old = health.serving(ctx)
    if service.undecided(ctx, live, image=True):
        raise ProbeFailed(
            f"traffic is pinned to {old}, and a release is under way: a new revision would come between",
            hint="plantctl release promote",
        )
    asks = health.caller(ctx)
    since = ctx.clock.now()
    with asks.steady() as steady:
        if not steady.answered(old, health.ENOUGH // 4, within_s=health.SETTLE_S):
            raise _silent(old)
        new = _renew(ctx, old)
        tally = steady.ended(new, health.ENOUGH, within_s=health.SETTLE_S)
    if tally is None:
        raise _silent(new)
    require_none_failed(tally, f"while {new} took over from {old}")
    words = (
        f"{new} took over from {old}: {tally.sent} requests, none failed, the slowest {tally.slowest_s * 1000:.0f} ms",
        _drained(ctx, old, since),
    )
    return Evidence(words=words, where="steady requests from outside, and Cloud Logging")


def _silent(revision: str) -> ProbeFailed:
    return ProbeFailed(f"{revision} has the traffic and does not answer", hint="plantctl release list")


def require_none_failed(tally: Tally, when: str) -> None:
    """ProbeFailed when a request failed."""
    if tally.failures:
        told = ", ".join(f"{count} {words}" for words, count in tally.failed.items())
        raise ProbeFailed(
            f"{tally.failures} of {tally.sent} requests failed {when}: {told}",
            cause="an instance was stopped before its requests were answered, or asked before it was ready",
            hint="plantctl phase verify --only backend.health.lifecycle",
        )


def _renew(ctx: Context, old: str) -> str:
    """A revision made after `old`; its name once it has the traffic."""
    service.write(ctx, lambda live: _after(ctx, live, old), purpose="probe")
    if traffic.pinned(service.read(ctx)):
        service.write(ctx, service.following, purpose="probe")
    begun = ctx.clock.monotonic()
    while True:
        new = health.serving(ctx)[1]
        if new != old:
            return new
        if ctx.clock.monotonic() - begun > health.SETTLE_S:
            raise ProbeFailed(
                f"{old} still has the traffic after a new revision was made", hint="plantctl release list"
            )
        ctx.clock.sleep(ctx.gcp.target.poll_s[0])


def _after(ctx: Context, live: Body, old: str) -> Body | None:
    """What serves, made anew; nothing once that was done (a lost race is looked at anew)."""
    if traffic.latest_created(live) != old and _noted(live) == old:
        return None
    wanted: Body = {"template": {"annotations": {service.AFTER: old}}}
    base = service.Service(ctx).live() or live
    return laid_over(base, wanted, FIELDS, unsent=service.MADE_BY_SERVER)


def _noted(live: Body) -> str:
    return str(at(live, f"template.annotations.{service.AFTER}") or "")


def _drained(ctx: Context, old: str, since: datetime) -> str:
    """What the old revision wrote when it was stopped; a note while it has not been (idle ones may stay 15 minutes)."""
    begun = ctx.clock.monotonic()
    more = f'timestamp>="{since.isoformat()}"'
    while True:
        lines = [service.line_of(entry) for entry in service.entries(ctx, old, more=more)]
        last = next((line for line in lines if health.STOPPED.search(line)), "")
        if last:
            return f"{old} ended by SIGTERM in order: {last}"
        if ctx.clock.monotonic() - begun > health.LINES_WAIT_S:
            return f"{old} had not been stopped yet: Cloud Run may keep an idle instance for 15 minutes"
        ctx.clock.sleep(ctx.gcp.target.poll_s[0])
