"""Alert policies and notification channels: the server names them, so each is found by the label that plantctl gave it.

Class X (hazards section 2): the list is looked through before every create, and two with one label stop the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from plantctl.desired.monitoring import marked
from plantctl.errors import StepConflict
from plantctl.gcp.resource import RestResource, Row
from plantctl.model.step import Body
from plantctl.steps.context import Context

LANE = ("monitoring writes",)
"""Writes to policies and channels of a project go one after the other (hazards O01, discovery)."""
POLICIES = "monitoring.projects.alertPolicies"
CHANNELS = "monitoring.projects.notificationChannels"


class Labelled(RestResource):
    """One policy or channel, by its word in `userLabels`."""

    def __init__(self, ctx: Context, row: Row, key: str, word: str) -> None:
        super().__init__(ctx.gcp, row, labels=ctx.plant.labels, description=ctx.plant.marker)
        self._cloud, self._key, self._mark = ctx.gcp, key, marked(ctx.plant, word)["plantctl-item"]

    def live(self) -> Body | None:
        """The one that carries the label, or None; StepConflict when several do."""
        method, params = self._row.get
        found = [one for one in self._cloud.list(method, self._key, **params) if self._is_it(one)]
        if len(found) > 1:
            names = ", ".join(str(one["name"]) for one in found)
            hint = "find out which one is used, and delete the others in the console"
            raise StepConflict(f"several carry the label plantctl-item={self._mark}: {names}", hint=hint)
        return found[0] if found else None

    def _is_it(self, one: Body) -> bool:
        labels = one.get("userLabels") or {}
        return labels.get("managed-by") == "plantctl" and labels.get("plantctl-item") == self._mark

    def update(self, live: Body, body: Body, fields: tuple[str, ...]) -> None:
        """As for every resource, under the name that the server gave."""
        self._row = replace(self._row, update=(self._row.update[0], {"name": live["name"]}))
        super().update(live, body, fields)


def _make(ctx: Context, collection: str, key: str, word: str) -> Labelled:
    project = f"projects/{ctx.plant.project.id}"
    row = Row(
        name=f"{'channel' if collection == CHANNELS else 'alert'} {word}",
        get=(f"{collection}.list", {"name": project}),
        create=(f"{collection}.create", {"name": project}),
        update=(f"{collection}.patch", {}),
        style="mask",
        marker="userLabels",
    )
    return Labelled(ctx, row, key, word)


def policy(word: str) -> Callable[[Context], Labelled]:
    """An alert policy."""
    return lambda ctx: _make(ctx, POLICIES, "alertPolicies", word)


def channel(word: str) -> Callable[[Context], Labelled]:
    """A notification channel."""
    return lambda ctx: _make(ctx, CHANNELS, "notificationChannels", word)
