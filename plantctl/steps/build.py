"""The three forms on the page: ensure (a resource with a body), Step (an action), attest (a person's word)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from plantctl.errors import StepConflict
from plantctl.model.diff import SetKey, compare, masks
from plantctl.model.plan import shown
from plantctl.model.step import Attestation, Body, Change, Evidence, Finding, Step, Verdict, holds_later
from plantctl.steps.context import Context
from plantctl.steps.narrow import narrow


class Managed(Protocol):
    """One Google resource: how it is read, made, changed, and whose it is. Every wait is inside."""

    name: str

    def live(self) -> Body | None:
        """The resource as it is, or None when there is none. StepConflict when its name is out of our reach."""
        ...

    def ours(self, live: Body) -> bool:
        """True when it carries the plant's marker, or belongs to what does."""
        ...

    def pending(self, live: Body) -> str:
        """Why it is not ready yet (a state word), or empty."""
        ...

    def broken(self, live: Body) -> str:
        """Why it never will be, or empty."""
        ...

    def create(self, body: Body) -> None:
        """Make it and wait."""
        ...

    def update(self, live: Body, body: Body, fields: tuple[str, ...]) -> None:
        """Change exactly these fields and wait."""
        ...

    def settle(self, live: Body | None) -> None:
        """Wait for the operation in flight."""
        ...

    def adopt(self, live: Body) -> bool:
        """Write the marker; False where the API has no mutable place for it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a body is compared: fields owned, sets by key, what is immutable, what restarts, floors.

    `daily`: moments of which only the time of day counts, because the server moves the day on.
    `interrupts` says of a change whether it restarts something, where the field alone does not tell (database flags).
    """

    fields: tuple[str, ...] | None = None
    sets: Mapping[str, SetKey] | None = None
    immutable: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()
    at_least: tuple[str, ...] = ()
    daily: tuple[str, ...] = ()
    interrupts: Callable[[Change], bool] = lambda _change: False


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What `ensure` needs to know of one resource.

    `facts` are established when it is in place. `data` names what `--recreate` must spell when the resource holds data
    and was there before; empty for resources that may be made again; `lost` is what to type then. `cure`: what to type
    when it is broken; where it is `update`, writing the desired body once more is the cure.
    """

    managed: Callable[[Context], Managed]
    desired: Callable[[Context], Body]
    rules: Rules = Rules()
    facts: Callable[[Context, Body], Mapping[str, str]] = lambda _ctx, _live: {}
    data: Callable[[Context], str] = lambda _ctx: ""
    lost: Callable[[Context], str] = lambda _ctx: ""
    cure: Callable[[Context], str] = lambda _ctx: "look at its operations in the console; plantctl never deletes it"


UPDATE = "update"
"""The cure of resources that only have to be written once more."""


def restore_or_empty(word: Callable[[Context], str]) -> Callable[[Context], str]:
    """What to type when something that held data is gone."""
    how = "restore it (see docs/runbooks/backup-restore.md), or make it anew and empty with"
    return lambda ctx: f"{how} `--recreate {word(ctx)}`"


def ensure(
    *,
    id: str,
    title: str,
    resource: Resource,
    verify: Callable[[Context], Evidence],
    needs: tuple[str, ...] = (),
    lanes: tuple[str, ...] = (),
    deadline_s: int = 600,
    expect_s: int = 5,
) -> Step[Context]:
    """A step that brings one resource to its desired body (design section 4)."""
    return ensure_each(
        id=id,
        title=title,
        resources=lambda _ctx: (resource,),
        verify=verify,
        needs=needs,
        lanes=lanes,
        deadline_s=deadline_s,
        expect_s=expect_s,
    )


def ensure_each(
    *,
    id: str,
    title: str,
    resources: Callable[[Context], tuple[Resource, ...]],
    verify: Callable[[Context], Evidence],
    needs: tuple[str, ...] = (),
    lanes: tuple[str, ...] = (),
    deadline_s: int = 600,
    expect_s: int = 5,
) -> Step[Context]:
    """A step for several resources that one checklist line names; made in the order given."""

    def check(ctx: Context) -> Finding:
        return join(tuple(look(ctx, id, resource) for resource in resources(ctx)))

    def apply(ctx: Context, finding: Finding) -> None:
        for resource in resources(ctx):
            bring(ctx, id, resource)

    return Step(
        id=id,
        title=title,
        check=check,
        apply=apply,
        verify=verify,
        needs=needs,
        lanes=lanes,
        deadline_s=deadline_s,
        expect_s=expect_s,
    )


def attest(
    *,
    id: str,
    title: str,
    question: str,
    valid_days: int,
    needs: tuple[str, ...] = (),
) -> Attestation:
    """A step that only a person can vouch for."""
    return Attestation(id=id, title=title, question=question, valid_days=valid_days, needs=needs)


# the worst of several findings decides: what cannot be put right comes before what can
_ORDER = (
    Verdict.CONFLICT,
    Verdict.FOREIGN,
    Verdict.UNKNOWN,
    Verdict.PENDING,
    Verdict.DRIFTED,
    Verdict.MISSING,
    Verdict.IN_PLACE,
)


def join(findings: tuple[Finding, ...]) -> Finding:
    """One finding for several resources; changes and facts of all."""
    worst = min(findings, key=lambda finding: _ORDER.index(finding.verdict))
    facts = {key: value for finding in findings for key, value in finding.facts.items()}
    return Finding(
        verdict=worst.verdict,
        changes=tuple(change for finding in findings for change in finding.changes),
        reason=worst.reason,
        hint=worst.hint,
        facts=facts,
        operation=worst.operation,
    )


def look(ctx: Context, item: str, resource: Resource) -> Finding:
    """Read one resource and compare it: the plan, the drift check, the live status and the resume."""
    managed, body = resource.managed(ctx), resource.desired(ctx)
    try:
        live = managed.live()
    except StepConflict as taken:
        return Finding(verdict=Verdict.CONFLICT, reason=taken.message, hint=taken.hint)
    if live is None:
        return _absent(ctx, item, resource, managed)
    cure = resource.cure(ctx)
    if (broken := managed.broken(live)) and cure != UPDATE:
        return Finding(verdict=Verdict.CONFLICT, reason=f"{managed.name} is {broken}", hint=cure)
    if pending := managed.pending(live):
        return Finding(verdict=Verdict.PENDING, reason=f"{managed.name} is {pending}")
    changes = _differences(managed, body, live, resource.rules)
    foreign = not managed.ours(live) and not ctx.memory.adopted(item)
    fixed = [change for change in changes if _under(_bare(managed, change.field), resource.rules.immutable)]
    if fixed:
        return _immovable(managed, tuple(fixed), foreign=foreign)
    if foreign:
        reason = f"{managed.name} is there, but was not made by plantctl"
        more = ", which makes the changes above" if changes else ""
        hint = f"take it over with `--adopt`{more}, or choose another name in plant.toml"
        facts = resource.facts(ctx, live)  # for the plan, which looks past what is there
        return Finding(verdict=Verdict.FOREIGN, changes=changes, reason=reason, hint=hint, facts=facts)
    if broken:
        changes = (*changes, Change(field=f"{managed.name} state", live=broken, desired="ready"))
    if changes:
        return Finding(verdict=Verdict.DRIFTED, changes=changes, facts=resource.facts(ctx, live))
    return Finding(verdict=Verdict.IN_PLACE, facts=resource.facts(ctx, live))


def _absent(ctx: Context, item: str, resource: Resource, managed: Managed) -> Finding:
    word = resource.data(ctx)
    if word and word not in ctx.options.recreate and ctx.memory.was_in_place(item):
        reason = f"{managed.name} was there and is gone, and with it the data that it held"
        hint = resource.lost(ctx)
        return Finding(verdict=Verdict.CONFLICT, reason=reason, hint=hint)
    return Finding(verdict=Verdict.MISSING, changes=(Change(field=managed.name, desired="to be made"),))


def _immovable(managed: Managed, fixed: tuple[Change, ...], *, foreign: bool) -> Finding:
    words = ", ".join(f"{c.field} is {shown(c.live)}, not {shown(c.desired)}" for c in fixed)
    reason = f"cannot be changed: {words}"
    hint = "set the live value in plant.toml, or make the resource anew by hand: plantctl never replaces it"
    if foreign:
        reason = f"{managed.name} was not made by plantctl, and cannot be taken over as it is: {words}"
        hint = "choose another name in plant.toml, or set the live value there and run again with `--adopt`"
    return Finding(verdict=Verdict.CONFLICT, changes=fixed, reason=reason, hint=hint)


def _differences(managed: Managed, body: Body, live: Body, rules: Rules) -> tuple[Change, ...]:
    found = compare(
        body,
        live,
        rules.fields,
        sets=rules.sets or {},
        at_least=rules.at_least,
        restarts=rules.restarts,
    )
    return tuple(
        replace(part, field=f"{managed.name}.{part.field}", restarts=part.restarts or rules.interrupts(part))
        for change in found
        if not (change.field in rules.daily and _time_of_day(change.live) == _time_of_day(change.desired))
        for part in narrow(change, rules.sets or {})
    )


def _time_of_day(moment: object) -> str:
    """`03:00:00` of a moment as Google writes it, whatever its fractions."""
    return str(moment)[11:19]


def _bare(managed: Managed, field: str) -> str:
    return field.removeprefix(f"{managed.name}.")


def _under(field: str, paths: tuple[str, ...]) -> bool:
    return any(field == path or field.startswith(f"{path}.") for path in paths)


def bring(ctx: Context, item: str, resource: Resource) -> None:
    """Make one resource what it should be: the fewest writes, each after a fresh look."""
    finding = look(ctx, item, resource)
    managed, body = resource.managed(ctx), resource.desired(ctx)
    if (later := holds_later(body)) is not None:
        hint = f"plantctl phase run --only {later.item}"
        raise StepConflict(f"{managed.name} needs {later}", cause=f"{later.item} is not in place", hint=hint)
    if finding.verdict is Verdict.MISSING:
        if resource.data(ctx) in ctx.options.recreate and ctx.memory.was_in_place(item):
            ctx.memory.forgotten(item)
        managed.create(body)
        return
    live = managed.live()
    if finding.verdict is Verdict.PENDING:
        managed.settle(live)  # what still differs then, the engine's next look finds: a restart may need a flag
        return
    assert live is not None
    if finding.verdict is Verdict.FOREIGN and ctx.options.adopt:
        if not managed.adopt(live):
            ctx.memory.adopt(item, managed.name)
        live = managed.live() or live
        finding = look(ctx, item, resource)
    if finding.verdict in (Verdict.CONFLICT, Verdict.FOREIGN):
        raise StepConflict(finding.reason, hint=finding.hint)
    if finding.verdict is Verdict.DRIFTED:
        fields = _paths(managed, finding.changes)
        managed.update(live, _keeping(live, body, fields), fields)


def _paths(managed: Managed, changes: tuple[Change, ...]) -> tuple[str, ...]:
    """The dotted paths that an update names; an update may start over, so it names whole lists and maps."""
    own = [replace(change, field=_bare(managed, change.field)) for change in changes]
    return masks(change for change in own if not change.field.startswith(f"{managed.name} "))


def _keeping(live: Body, body: Body, fields: tuple[str, ...]) -> Body:
    """The body with what others put into a map of labels, which an update replaces as a whole."""
    if "labels" not in fields:
        return body
    return {**body, "labels": {**(live.get("labels") or {}), **body["labels"]}}
