"""A failover of Redis under a probe: started once on each instance by the run, and by `plantctl drill` on request.

The probe is an execution of `plant-ops-cache` that counts in Redis without a pause; Memorystore is failed over while
it does. Its exit code is the verdict: it succeeds when another server has answered for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from plantctl.desired import cache as desired
from plantctl.desired.database import job_name
from plantctl.errors import ApiFailure, PlantctlError, ProbeFailed
from plantctl.gcp import operations
from plantctl.gcp.resource import is_operation
from plantctl.model.recorder import Attempt
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import cache_rows, jobs, redis
from plantctl.steps.context import Context
from plantctl.steps.instance import moment
from plantctl.steps.names import CACHE, CACHE_FAILOVER

CHECK = "redis-failover"
ARGS = ("check", CHECK)
FAILOVER = f"{cache_rows.INSTANCES}.failover"
READY_S = 90.0
"""How long the probe's first line is waited for; without it the failover begins all the same."""
PROBE_S = 400.0
VALID_DAYS = 90
"""A drill a quarter, as credentials are rotated (seed, Security)."""


@dataclass(frozen=True, kw_only=True)
class Drill:
    """What a failover cost. `gap_s` in seconds, `lost` acknowledged writes; None: the probe's lines are not there."""

    execution: str
    gap_s: float | None
    lost: int | None
    acknowledged: int | None
    before: str
    after: str
    note: tuple[str, ...] = ()


def check_failover(ctx: Context) -> Finding:
    """Whether a failover was proved on this very instance. What was never tried is tried by the run itself."""
    running, done = _probes(ctx)
    if done is not None:
        facts = {"execution": str(done["name"]).rsplit("/", 1)[1], "tried": str(done.get("createTime", ""))}
        return Finding(verdict=Verdict.IN_PLACE, facts=facts)
    if running is not None:
        return Finding(verdict=Verdict.PENDING, reason=f"`check {CHECK}` is running")
    field = f"failover of {ctx.plant.cache.instance}"
    hint = "plantctl drill failover redis, or run again with --allow-restart, in a quiet hour"
    if _was_proved(ctx):
        change = Change(field=field, live="proved before, and the proof is gone", desired="tried again", restarts=True)
        reason = "a failover was proved on this instance before; another one stops writes for some seconds"
        return Finding(verdict=Verdict.DRIFTED, changes=(change,), reason=reason, hint=hint)
    wanted = "tried once, with limited data loss, while a probe writes"
    if not _made(ctx):
        change = Change(field=field, desired=wanted, restarts=True)
        reason = "plantctl did not make this instance, so others may use it; a failover stops their writes for a while"
        return Finding(verdict=Verdict.MISSING, changes=(change,), reason=reason, hint=hint)
    change = Change(field=field, desired=wanted)
    reason = "never tried on this instance, so the run does it by itself; from then on it takes --allow-restart"
    return Finding(verdict=Verdict.MISSING, changes=(change,), reason=reason)


def _probes(ctx: Context) -> tuple[Body | None, Body | None]:
    """(running, newest succeeded) probe since the instance was made, whatever image it ran."""
    since = moment(ctx.known(CACHE, "createTime"))
    parent = job_name(ctx.plant, jobs.OPS_CACHE)
    found = [
        execution
        for execution in ctx.gcp.list(f"{jobs.JOBS}.executions.list", "executions", parent=parent)
        if jobs.args_of(execution) == ARGS and moment(str(execution.get("createTime", ""))) > since
    ]
    found.sort(key=lambda execution: moment(str(execution.get("createTime", ""))), reverse=True)
    running = next((e for e in found if jobs.state_of(e) == "running"), None)
    return running, next((e for e in found if jobs.state_of(e) == "succeeded"), None)


def _was_proved(ctx: Context) -> bool:
    """True when this was in place, and a failover of ours is younger than the request that made the instance."""
    made = max((attempt.sent_at for attempt in _made(ctx)), default=None)
    called = _called(ctx)
    return ctx.memory.was_in_place(CACHE_FAILOVER) and bool(called) and (made is None or max(called) > made)


def _made(ctx: Context) -> list[Attempt]:
    """Requests of ours that made the instance; none for one that somebody else made."""
    attempts = ctx.memory.attempts(method_id=f"{cache_rows.INSTANCES}.create")
    return [attempt for attempt in attempts if attempt.resource.endswith(f"/{ctx.plant.cache.instance}")]


def _called(ctx: Context) -> list[datetime]:
    """When failovers of ours were called; one without an answer may have been carried out."""
    attempts = ctx.memory.attempts(method_id=FAILOVER, resource=desired.instance_name(ctx.plant))
    return [attempt.sent_at for attempt in attempts if not 400 <= attempt.status < 500]


def _called_for_the_last_probe(ctx: Context) -> bool:
    """Whether the failover that goes with the last probe was called: by the journal's clock alone, not the cloud's.

    An unanswered call counts: at worst its probe sees nothing and fails, and the next run calls again.
    """
    attempts = ctx.memory.attempts(method_id=f"{jobs.JOBS}.run", resource=job_name(ctx.plant, jobs.OPS_CACHE))
    probes = [attempt.sent_at for attempt in attempts if attempt.item in (CACHE_FAILOVER, "")]
    called = _called(ctx)
    return bool(called) and (not probes or max(called) > max(probes))


def apply_failover(ctx: Context, finding: Finding) -> None:
    """Probe and failover; a probe that an earlier run left behind is used when it still waits for one."""
    running, done = _probes(ctx)
    if done is None:
        drill(ctx, running)


def drill(ctx: Context, running: Body | None = None) -> Drill:
    """Fail over while a probe writes. ProbeFailed when the probe saw no failover, or writes did not come back.

    `running`: a probe that is under way already. What a failed call raises leaves the probe to end by itself.
    """
    before = str(redis.listed(ctx).get("currentLocationId", ""))
    if running is None:
        answer = jobs.begin(ctx, jobs.OPS_CACHE, ARGS, purpose="probe")
        name = jobs.execution_of(answer)
    else:
        answer, name = running, str(running["name"])
    _until_ready(ctx, name)
    if running is None or not _called_for_the_last_probe(ctx):
        fail_over(ctx)
    if is_operation(answer):
        operations.wait(ctx.gcp, f"{jobs.JOBS}.run", answer, deadline_s=PROBE_S, must_succeed=False)
    seen = jobs.passed(ctx, jobs.finished(ctx, name, deadline_s=PROBE_S), CHECK, jobs.OPS_CACHE)
    after = str(redis.listed(ctx).get("currentLocationId", ""))
    return _result(seen, before=before, after=after)


def on_request(ctx: Context) -> Drill:
    """A drill that an operator ordered. PlantctlError where there is nothing to drill with yet; else as `drill`."""
    try:
        return drill(ctx)
    except ApiFailure as failure:
        if failure.code not in (403, 404):
            raise
        raise PlantctlError(
            f"there is no {ctx.plant.cache.instance} in {ctx.plant.project.id} to fail over, or you may not see it",
            cause=failure.message,
            hint="plantctl phase run cache",
            reference="no-instance",
        ) from None


def _result(seen: jobs.Execution, *, before: str, after: str) -> Drill:
    gap, lost = seen.fact(CHECK, "gap"), seen.fact(CHECK, "lost")
    return Drill(
        execution=seen.name,
        gap_s=float(gap["value"]) if gap else None,
        lost=int(lost["value"]) if lost else None,
        acknowledged=int(lost["acknowledged"]) if lost else None,
        before=before,
        after=after,
        note=() if gap and lost else seen.note,
    )


def _until_ready(ctx: Context, execution: str) -> None:
    """Until the probe writes, or has ended, or its lines are too late."""
    short, begun = execution.rsplit("/", 1)[1], ctx.clock.monotonic()
    while ctx.clock.monotonic() - begun < READY_S:
        if any(line.get("check") == CHECK for line in jobs.lines_now(ctx, short)):
            return
        if jobs.state_of(ctx.gcp.call(f"{jobs.JOBS}.executions.get", name=execution)) != "running":
            return
        ctx.clock.sleep(ctx.gcp.target.poll_s[0])


def fail_over(ctx: Context) -> None:
    """Promote the replica, losing no more than is not replicated yet, and wait until the instance is READY again.

    Class X: a lost answer is looked for, because a second failover would be another outage. FORCE_DATA_LOSS never.
    """
    resource, name = cache_rows.instance(ctx), desired.instance_name(ctx.plant)
    resource.settle(None)
    before = (resource.live() or {}).get("currentLocationId")

    def begun() -> Body | None:
        live = resource.live() or {}
        return live if live.get("state") == "FAILING_OVER" or live.get("currentLocationId") != before else None

    answer = ctx.gcp.call(FAILOVER, {"dataProtectionMode": "LIMITED_DATA_LOSS"}, name=name, read_back=begun)
    if is_operation(answer):
        operations.wait(ctx.gcp, FAILOVER, answer, deadline_s=900)
    resource.settle(None)


def verify_failover(ctx: Context) -> Evidence:
    """The probe's own words, the age of the drill, and which zone serves now."""
    tried = moment(ctx.known(CACHE_FAILOVER, "tried"))
    days = (ctx.clock.now() - tried).days
    if days > VALID_DAYS:
        hint = "plantctl drill failover redis, in a quiet hour"
        raise ProbeFailed(f"the last failover was tried {days} days ago, and counts for {VALID_DAYS}", hint=hint)
    live = redis.listed(ctx)
    if live.get("state") != "READY":
        raise ProbeFailed(f"{ctx.plant.cache.instance} is {live.get('state')} after its failover, not READY")
    execution = f"{job_name(ctx.plant, jobs.OPS_CACHE)}/executions/{ctx.known(CACHE_FAILOVER, 'execution')}"
    seen = jobs.finished(ctx, execution, deadline_s=PROBE_S)
    told = tuple(said for fact in ("failover", "gap", "lost") if (said := seen.said(CHECK, fact)))
    words = (
        f"failed over with limited data loss on {tried:%Y-%m-%d %H:%M} UTC, under a probe",
        *(told or seen.note),
        f"the primary is in {live.get('currentLocationId')}, the address is still {live.get('host')}",
    )
    return Evidence(words=words, where=f"{jobs.OPS_CACHE} and {redis.WHERE}")
