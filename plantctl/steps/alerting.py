"""Functions behind alert policies and the channel that they notify."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from plantctl.desired import monitoring as desired
from plantctl.errors import ProbeFailed
from plantctl.model.plant import Plant
from plantctl.model.step import Body, Evidence, Later
from plantctl.steps import labelled
from plantctl.steps.build import Resource, Rules
from plantctl.steps.context import Context
from plantctl.steps.names import CHANNEL

BODIES: Mapping[str, Callable[[Plant, str | Later], Body]] = {
    "redis-memory": desired.redis_memory,
    "redis-evictions": desired.redis_evictions,
    "redis-role": desired.redis_role,
}
POLICY_RULES = Rules(
    fields=(
        "displayName",
        "combiner",
        "enabled",
        "severity",
        "notificationChannels",
        "alertStrategy",
        "documentation",
        "conditions",
    ),
    sets={"conditions": "displayName", "notificationChannels": ""},
)
CHANNEL_RESOURCE = Resource(
    managed=labelled.channel("channel"),
    desired=lambda ctx: desired.channel(ctx.plant),
    rules=Rules(fields=("type", "displayName", "labels", "enabled"), immutable=("type",)),
    facts=lambda _ctx, live: {"name": str(live["name"])},
)


def policy(word: str) -> Resource:
    """One alert policy of those in `desired.monitoring`."""
    return Resource(
        managed=labelled.policy(word),
        desired=lambda ctx: BODIES[word](ctx.plant, ctx.fact(CHANNEL, "name")),
        rules=POLICY_RULES,
    )


def verify_channel(ctx: Context) -> Evidence:
    """That the channel forwards. Whether a mail arrives, only a person can tell (hazards O05)."""
    found = ctx.gcp.call(f"{labelled.CHANNELS}.get", name=ctx.known(CHANNEL, "name"))
    if not found.get("enabled", True) or found.get("verificationStatus") == "UNVERIFIED":
        raise ProbeFailed(f"the channel is off or {found.get('verificationStatus')}: alerts reach nobody")
    address = (found.get("labels") or {}).get("email_address")
    words = f"{found.get('displayName')}: {found.get('type')} to {address}, enabled"
    return Evidence(words=(words, "delivery is not proved: send a test from the console"), where="Monitoring, by name")


def verify_policies(words: tuple[str, ...]) -> Callable[[Context], Evidence]:
    """Each policy by its own name: it is on, Monitoring finds no fault with it, and it notifies somebody."""

    def verify(ctx: Context) -> Evidence:
        return Evidence(words=tuple(_alive(ctx, word) for word in words), where="Monitoring, policy by policy")

    return verify


def _alive(ctx: Context, word: str) -> str:
    listed = labelled.policy(word)(ctx).live()
    if listed is None:
        raise ProbeFailed(f"Monitoring lists no policy {word}")
    found = ctx.gcp.call(f"{labelled.POLICIES}.get", name=str(listed["name"]))
    if not found.get("enabled", True) or found.get("validity"):
        fault = (found.get("validity") or {}).get("message", "it is off")
        raise ProbeFailed(f"the policy {word} never opens an incident: {fault}")
    tests = " or ".join(str(condition.get("displayName")) for condition in found.get("conditions", []))
    told = len(found.get("notificationChannels", []))
    return f"{found.get('displayName')}: {found.get('severity')} when {tests}; tells {told} channel"
