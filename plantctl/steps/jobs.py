"""Running Cloud Run jobs: start an execution once, wait for it, read its lines. The exit code is the verdict."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from plantctl.desired import database as desired
from plantctl.errors import DeadlineExceeded, ProbeFailed
from plantctl.gcp import operations
from plantctl.gcp.resource import is_operation
from plantctl.model.step import Body
from plantctl.steps.context import Context

OPS = "plant-ops"
OPS_CACHE = "plant-ops-cache"
MIGRATE = "plant-migrate"
JOBS = "run.projects.locations.jobs"
MARKER = "PLANTCTL_INTENT"
LINES_WAIT_S = 8.0
"""Lines may arrive after the end; missing words make a note, never a failure (design section 7)."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One finished execution: its short name, whether it succeeded, and the facts that it printed (JSON lines)."""

    name: str
    succeeded: bool
    lines: tuple[dict[str, Any], ...]
    message: str = ""

    def fact(self, check: str, fact: str) -> dict[str, Any]:
        """The line of one fact, or an empty dict."""
        return next((line for line in self.lines if line.get("check") == check and line.get("fact") == fact), {})

    def said(self, check: str, fact: str) -> str:
        """What the line of one fact says, without the names of both before it; empty when there is no line."""
        return str(self.fact(check, fact).get("message", "")).removeprefix(f"{check} {fact}: ")

    @property
    def note(self) -> tuple[str, ...]:
        """What takes the place of words that Cloud Logging did not have in time: the exit code is the verdict."""
        return (f"execution {self.name} succeeded; its lines were not in Cloud Logging yet",)


def run(ctx: Context, job_id: str, args: tuple[str, ...], *, purpose: str, deadline_s: float = 900) -> Execution:
    """Run a job with these arguments and wait for its end; never raises for a failed execution.

    `purpose`: `apply` for work, `probe` for a look.
    """
    answer = begin(ctx, job_id, args, purpose=purpose)
    if is_operation(answer):
        operations.wait(ctx.gcp, f"{JOBS}.run", answer, deadline_s=deadline_s, must_succeed=False)
    return finished(ctx, execution_of(answer), deadline_s=deadline_s)


def begin(ctx: Context, job_id: str, args: tuple[str, ...], *, purpose: str) -> Body:
    """Start an execution and give what was answered: an operation, or (looked up after a lost answer) the execution.

    The environment carries a marker, so that after a lost answer the execution is found instead of started again (class
    X, hazards section 2).
    """
    name = desired.job_name(ctx.plant, job_id)
    intent = str(uuid.uuid4())
    override = {"args": list(args), "env": [{"name": MARKER, "value": intent}]}
    return ctx.gcp.call(
        f"{JOBS}.run",
        {"overrides": {"containerOverrides": [override]}},
        purpose=purpose,
        name=name,
        read_back=lambda: _marked(ctx, name, intent),
    )


def execution_of(answer: Body) -> str:
    """The execution's full name in an answer of `begin`."""
    return str(answer.get("metadata", {}).get("name", "") if is_operation(answer) else answer["name"])


def _marked(ctx: Context, job: str, intent: str) -> Body | None:
    for execution in ctx.gcp.list(f"{JOBS}.executions.list", "executions", parent=job):
        if marker_of(execution) == intent:
            return execution
    return None


def marker_of(execution: Body) -> str:
    """The intent that an execution carries in its environment, or empty."""
    containers = execution.get("template", {}).get("containers") or [{}]
    env = {entry.get("name"): entry.get("value") for entry in containers[0].get("env", [])}
    return str(env.get(MARKER) or "")


def args_of(execution: Body) -> tuple[str, ...]:
    """The arguments that an execution ran with."""
    containers = execution.get("template", {}).get("containers") or [{}]
    return tuple(containers[0].get("args", []))


def image_of(execution: Body) -> str:
    """The image that an execution ran."""
    containers = execution.get("template", {}).get("containers") or [{}]
    return str(containers[0].get("image", ""))


def state_of(execution: Body) -> str:
    """`running`, `succeeded` or `failed`."""
    if not execution.get("completionTime"):
        return "running"
    return "succeeded" if int(execution.get("succeededCount", 0)) >= int(execution.get("taskCount", 1)) else "failed"


def finished(ctx: Context, execution: str, *, deadline_s: float) -> Execution:
    """Wait for an execution by its full name and read what it printed."""
    begun = ctx.clock.monotonic()
    while True:
        body = ctx.gcp.call(f"{JOBS}.executions.get", name=execution)
        if state_of(body) != "running":
            break
        if ctx.clock.monotonic() - begun > deadline_s:
            short = execution.rsplit("/", 1)[1]
            raise DeadlineExceeded(
                f"execution {short} did not end within {deadline_s:.0f} s",
                cause="it may still succeed: it goes on in the cloud when nobody waits",
                hint=f"look with `gcloud run jobs executions describe {short} --region {ctx.plant.region}`; "
                "the same plantctl command waits on",
                method_id=f"{JOBS}.run",
            )
        ctx.clock.sleep(ctx.gcp.target.poll_s[0])
    short = execution.rsplit("/", 1)[1]
    conditions = body.get("conditions") or [{}]
    return Execution(
        name=short,
        succeeded=state_of(body) == "succeeded",
        lines=_lines(ctx, short),
        message=str(conditions[0].get("message", "")),
    )


def _lines(ctx: Context, execution: str) -> tuple[dict[str, Any], ...]:
    """What it wrote, as Cloud Logging has it; polled until the last line is there, or for a bounded time.

    Lines arrive one by one: the last of a look is its `verdict`, that of other commands is not marked.
    """
    begun = ctx.clock.monotonic()
    while True:
        found = lines_now(ctx, execution)
        whole = any(line.get("fact") in ("verdict", "reach") for line in found)
        whole = whole or any("ok" in line and "check" not in line for line in found)
        if whole or ctx.clock.monotonic() - begun > LINES_WAIT_S:
            return found
        ctx.clock.sleep(ctx.gcp.target.poll_s[0])


def lines_now(ctx: Context, execution: str) -> tuple[dict[str, Any], ...]:
    """What Cloud Logging has of an execution (its short name) at this moment."""
    request = {
        "resourceNames": [f"projects/{ctx.plant.project.id}"],
        "filter": f'labels."run.googleapis.com/execution_name"="{execution}"',
        "orderBy": "timestamp asc",
        "pageSize": 1000,
    }
    return tuple(_payload(entry) for entry in ctx.gcp.call("logging.entries.list", request).get("entries", []))


def _payload(entry: Body) -> dict[str, Any]:
    if "jsonPayload" in entry:
        return {"severity": entry.get("severity", "DEFAULT"), **entry["jsonPayload"]}
    text = str(entry.get("textPayload", ""))
    try:
        parsed = json.loads(text)
    except ValueError:
        return {"message": text}
    return parsed if isinstance(parsed, dict) else {"message": text}


def look(ctx: Context, check: str, job_id: str = OPS) -> Execution:
    """Run one of the backend's checks in `plant-ops` (or its sister); ProbeFailed with its words when it fails."""
    return passed(ctx, run(ctx, job_id, ("check", check), purpose="probe", deadline_s=300), check, job_id)


def passed(ctx: Context, execution: Execution, check: str, job_id: str) -> Execution:
    """The execution of a check, or ProbeFailed with its words."""
    if not execution.succeeded:
        runbook = "cache" if job_id == OPS_CACHE else "database"
        raise ProbeFailed(
            f"`check {check}` failed in job {job_id}: {complaint(execution)}",
            cause=f"execution {execution.name} ended with an error",
            hint=f"{lines_command(ctx, execution.name)}; then see docs/runbooks/{runbook}.md",
        )
    return execution


def lines_command(ctx: Context, execution: str) -> str:
    """The command that shows what an execution printed."""
    wanted = f'labels."run.googleapis.com/execution_name"="{execution}"'
    return f"read its lines with `gcloud logging read '{wanted}' --project {ctx.plant.project.id}`"


def complaint(execution: Execution) -> str:
    """The first thing that went wrong, in the job's own words."""
    for line in execution.lines:
        if line.get("ok") is False or line.get("severity") in ("ERROR", "CRITICAL"):
            reason = f" ({line['reason']})" if line.get("reason") else ""
            return f"{line.get('message', '')}{reason}"
    return execution.message or "no line was read; see Cloud Logging"
