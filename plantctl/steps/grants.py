"""Steps that grant roles on projects, accounts, buckets, secrets and repositories; nothing is ever taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from plantctl.gcp.iam_policy import Grant, add_grants, missing_grants
from plantctl.model.step import Change, Evidence, Finding, Step, Verdict
from plantctl.steps.context import Context

Grants = Callable[[Context], tuple[Grant, ...]]


def look_at_grants(ctx: Context, grants: tuple[Grant, ...]) -> Finding:
    """DRIFTED, naming each binding that is not there; IN_PLACE when all are."""
    changes = tuple(
        Change(field=f"{grant.resource} {grant.role}", desired=grant.member)
        for grant in missing_grants(ctx.gcp, grants)
    )
    return Finding(verdict=Verdict.DRIFTED if changes else Verdict.IN_PLACE, changes=changes)


def grant_step(
    *,
    id: str,
    title: str,
    grants: Grants,
    needs: tuple[str, ...],
    lanes: tuple[str, ...],
) -> Step[Context]:
    """A step that adds bindings by read-modify-write, one write a policy (hazards I04, I07)."""

    def check(ctx: Context) -> Finding:
        return look_at_grants(ctx, grants(ctx))

    def apply(ctx: Context, finding: Finding) -> None:
        add_grants(ctx.gcp, grants(ctx))

    def verify(ctx: Context) -> Evidence:
        return granted(ctx, grants(ctx))

    return Step(id=id, title=title, check=check, apply=apply, verify=verify, needs=needs, lanes=lanes, expect_s=5)


def granted(ctx: Context, grants: tuple[Grant, ...]) -> Evidence:
    """Reads the policies once more and quotes who has what."""
    gone = missing_grants(ctx.gcp, grants)
    words = tuple(f"{g.member} has {g.role} on {g.resource}" for g in grants if g not in gone)
    return Evidence(words=words, where="IAM policies, read back with version 3")


def with_grants(step: Step[Context], grants: Grants) -> Step[Context]:
    """The step with bindings added: looked at once the resource is in place, made after it, quoted with it."""

    def check(ctx: Context) -> Finding:
        found = step.check(ctx)
        if not found.in_place:
            return found
        bindings = look_at_grants(ctx, grants(ctx))
        return replace(bindings, facts=found.facts)

    def apply(ctx: Context, finding: Finding) -> None:
        if not step.check(ctx).in_place:
            step.apply(ctx, finding)
        add_grants(ctx.gcp, grants(ctx))

    def verify(ctx: Context) -> Evidence:
        evidence = step.verify(ctx)
        return replace(evidence, words=(*evidence.words, *granted(ctx, grants(ctx)).words))

    return replace(step, check=check, apply=apply, verify=verify)
