"""Steps for secrets: the container, who may read it, and a first version that is never made twice."""

from __future__ import annotations

import base64
import json
import secrets as randomness
from dataclasses import replace

from plantctl.desired import secrets as desired
from plantctl.gcp.iam_policy import Grant, add_grants
from plantctl.model.secret import Secret
from plantctl.model.step import Body, Change, Evidence, Finding, Step, Verdict
from plantctl.steps import resources
from plantctl.steps.build import Resource, Rules, bring, join, look
from plantctl.steps.context import Context
from plantctl.steps.grants import granted, look_at_grants

ACCESSOR = "roles/secretmanager.secretAccessor"
SECRETS = "secretmanager.projects.secrets"


def secret_step(item: str, secret_id: str, *, title: str, needs: tuple[str, ...]) -> Step[Context]:
    """Container, accessor bindings, and (unless it comes from elsewhere) one ENABLED version."""
    plan = desired.SECRETS[secret_id]
    resource = replace(container(secret_id), data=lambda _ctx: secret_id, lost=lambda _ctx: _lost(plan))

    def grants(ctx: Context) -> tuple[Grant, ...]:
        return readers(ctx, secret_id)

    def check(ctx: Context) -> Finding:
        found = look(ctx, item, resource)
        if found.verdict not in (Verdict.IN_PLACE, Verdict.DRIFTED, Verdict.FOREIGN):
            return found
        return join((found, look_at_grants(ctx, grants(ctx)), _look_at_version(ctx, item, plan)))

    def apply(ctx: Context, finding: Finding) -> None:
        bring(ctx, item, resource)
        add_grants(ctx.gcp, grants(ctx))
        if _look_at_version(ctx, item, plan).verdict is Verdict.MISSING:
            if secret_id in ctx.options.recreate:
                ctx.memory.forgotten(item)
            add_version(ctx, secret_id, _value(ctx, plan))

    def verify(ctx: Context) -> Evidence:
        words = list(granted(ctx, grants(ctx)).words)
        version = newest_enabled(ctx, secret_id)
        if version is not None:
            words.append(f"{secret_id} has version {number(version)}, {version['state']}")
        else:
            words.append(f"{secret_id} has no version yet: its value is made by the service that it belongs to")
        return Evidence(words=tuple(words), where="Secret Manager; values were not read")

    return Step(id=item, title=title, check=check, apply=apply, verify=verify, needs=needs, expect_s=4)


def container(secret_id: str) -> Resource:
    """The secret without its values."""
    return Resource(
        managed=resources.secret(secret_id),
        desired=lambda ctx: desired.secret(ctx.plant),
        rules=Rules(fields=("replication", "labels"), immutable=("replication",)),
    )


def readers(ctx: Context, secret_id: str) -> tuple[Grant, ...]:
    """Who may read it, on this secret alone."""
    name = desired.secret_name(ctx.plant, secret_id)
    members = (f"serviceAccount:{ctx.plant.service_account(reader)}" for reader in desired.SECRETS[secret_id].readers)
    return tuple(Grant(kind="secret", resource=name, role=ACCESSOR, member=member) for member in members)


def _lost(plan: desired.SecretPlan) -> str:
    anew = f"make it anew with `--recreate {plan.id}`"
    value = f"; `--secret-file {plan.id}=PATH` gives it the old value, else it gets a new random one"
    return anew + (value if plan.generate else "")


def versions(ctx: Context, secret_id: str) -> list[Body]:
    """All versions, the newest by number first, whatever their state."""
    parent = desired.secret_name(ctx.plant, secret_id)
    found = ctx.gcp.list(f"{SECRETS}.versions.list", "versions", parent=parent)
    return sorted(found, key=lambda version: int(number(version)), reverse=True)


def newest_enabled(ctx: Context, secret_id: str) -> Body | None:
    """The newest ENABLED version: `latest` would be the newest by number, even when disabled (hazards K02)."""
    return next((v for v in versions(ctx, secret_id) if v.get("state") == "ENABLED"), None)


def read(ctx: Context, secret_id: str, version: str) -> Secret:
    """The value of one version, for the API that needs it; it never prints."""
    name = f"{desired.secret_name(ctx.plant, secret_id)}/versions/{version}"
    payload = ctx.gcp.call(f"{SECRETS}.versions.access", name=name)["payload"]
    return Secret(base64.b64decode(payload["data"]).decode())


def _look_at_version(ctx: Context, item: str, plan: desired.SecretPlan) -> Finding:
    """A value that was there is never replaced by a new random one: whatever uses the old one would stop working."""
    if not plan.generate:  # the value and its version are the business of the item that fills it in
        return Finding(verdict=Verdict.IN_PLACE)
    found = versions(ctx, plan.id)
    enabled = next((version for version in found if version.get("state") == "ENABLED"), None)
    if enabled is not None:
        facts = {"version": number(enabled), "created": str(enabled.get("createTime", ""))}
        return Finding(verdict=Verdict.IN_PLACE, facts=facts)
    disabled = next((version for version in found if version.get("state") == "DISABLED"), None)
    gone = bool(found) or ctx.memory.was_in_place(item)
    if gone and plan.id not in ctx.options.recreate:
        hint = _lost(plan)
        if disabled is not None:
            enable = f"gcloud secrets versions enable {number(disabled)} --secret {plan.id}"
            hint = f"type `{enable} --project {ctx.plant.project.id}`, or {hint}"
        return Finding(verdict=Verdict.CONFLICT, reason=f"{plan.id} had a value, and no version is enabled", hint=hint)
    change = Change(field=f"{plan.id} version", desired="a new random value")
    return Finding(verdict=Verdict.MISSING, changes=(change,))


def _value(ctx: Context, plan: desired.SecretPlan) -> Secret:
    given = ctx.given_secret(plan.id)
    if given is not None:
        return given
    random = randomness.token_urlsafe(plan.generate)
    if plan.id != "API_KEYS":
        return Secret(random)
    # one key for uptime checks and smoke tests (design section 10); the backend keeps only its hash
    scopes = ["read", "jobs:check"]
    return Secret(json.dumps([{"id": "smoke", "key": f"plk_smoke_{random}", "scopes": scopes, "limit": 300}]))


def add_version(ctx: Context, secret_id: str, value: Secret) -> None:
    """Class X: a lost answer is looked for before anything is sent again (hazards K05)."""

    def there() -> Body | None:
        newest = newest_enabled(ctx, secret_id)
        return newest if newest is not None and read(ctx, secret_id, number(newest)) == value else None

    parent = desired.secret_name(ctx.plant, secret_id)
    data = base64.b64encode(value.reveal().encode()).decode()
    ctx.gcp.call(
        f"{SECRETS}.addVersion",
        {"payload": {"data": data}},
        parent=parent,
        read_back=there,
    )


def number(version: Body) -> str:
    """The last part of a version's name."""
    return str(version["name"]).rsplit("/", 1)[1]
