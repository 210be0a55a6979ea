"""One Google resource driven by a row: what reads, makes and changes it, where its marker is, when it is ready."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from plantctl.errors import ApiFailure, DeadlineExceeded, OperationFailed, UnknownOutcome
from plantctl.gcp import operations
from plantctl.gcp.bundle import Gcp, ReadBack
from plantctl.gcp.methods import resource_of
from plantctl.model.facts import CURRENT_ITEM
from plantctl.model.step import Body

Params = dict[str, Any]
ATTEMPTS = 5
"""How often a change starts over, after a lost race or a resource that was not ready."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What differs from one kind of resource to the next.

    `name`: how the plan calls it. `get`, `create`, `update`: method id and parameters (an empty id: not possible).
    `style` of an update: `mask` (updateMask and only those fields), `body-mask` (the same, with the mask in the body,
    as IAM wants it), `merge` (only the changed fields), `whole` (the desired body), `laid-over` (updateMask and the
    outermost fields that change, each as it is live with the desired parts laid over it; for bodies in parts).
    `unsent`: paths of the live body that such an update leaves out.
    `unsaid`: what Google means by leaving a field out, where that is not false, 0 or empty.
    `echo`: fields of the live body that an update must send back (fingerprint, settingsVersion, etag).
    `marker`: dotted path of the labels, or `description`, or empty for children of something that is ours.
    `create_wrap`: the field that holds the body in requests, where it is not the body itself, and `create_extra` what
    goes beside it.
    `state`: path of the state word; `waiting` and `dead` its values. `deadline_s` bounds every wait.
    """

    name: str
    get: tuple[str, Params]
    create: tuple[str, Params]
    update: tuple[str, Params] = ("", {})
    style: str = "merge"
    unsaid: Params = field(default_factory=dict)
    echo: tuple[str, ...] = ()
    unsent: tuple[str, ...] = ()
    marker: str = ""
    marker_mutable: bool = True
    create_wrap: str = ""
    create_extra: Params = field(default_factory=dict)
    state: str = ""
    waiting: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    deadline_s: float = 600.0
    running: Callable[[Gcp], list[tuple[str, Body]]] = field(default=lambda _gcp: [])


class RestResource:
    """Implements what `steps.build` calls Managed. `labels` and `description` are the plant's marker."""

    def __init__(self, gcp: Gcp, row: Row, *, labels: dict[str, str], description: str) -> None:
        self.name = row.name
        self._gcp = gcp
        self._row = row
        self._labels = labels
        self._description = description

    def live(self) -> Body | None:
        """The resource with what it leaves unsaid, or None on a real 404."""
        method, params = self._row.get
        found = self._gcp.get(method, **params)
        return None if found is None else {**self._row.unsaid, **found}

    def ours(self, live: Body) -> bool:
        """True with the plant's marker, or for a child of something that is ours."""
        marker = self._row.marker
        if not marker:
            return True
        found = at(live, marker)
        if marker == "description":
            return "managed-by=plantctl" in str(found or "")
        return isinstance(found, dict) and found.get("managed-by") == "plantctl"

    def pending(self, live: Body) -> str:
        """The state word while it is being made or changed."""
        state = str(at(live, self._row.state) or "") if self._row.state else ""
        return state if state in self._row.waiting else ""

    def broken(self, live: Body) -> str:
        """The state word when it will never be ready."""
        state = str(at(live, self._row.state) or "") if self._row.state else ""
        return state if state in self._row.dead else ""

    def create(self, body: Body) -> None:
        """Make it and wait. A 409 is accepted only when what is there carries our marker; else ApiFailure.

        An earlier run of this item may have begun it: then its operation is waited for first (design section 5).
        """
        method, params = self._row.create
        sent = {**self._row.create_extra, self._row.create_wrap: body} if self._row.create_wrap else body
        if self._attached(method, params, sent):
            return
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._gcp.call(method, sent, read_back=self._mine, **params)
                self._await(method, answer, self._ready)
                return
            except OperationFailed as failure:
                # the same call again, once what it needs is ready (hazards C02)
                if failure.reason != "RESOURCE_NOT_READY" or attempt == ATTEMPTS:
                    raise
                self._gcp.clock.sleep(self._gcp.target.poll_s[1])
            except ApiFailure as failure:
                live = self.live() if failure.reference == "already-exists" else None
                if live is None:
                    raise
                if not self.ours(live):
                    failure.hint = "it was made by someone else: take it over with `--adopt`, or choose another name"
                    raise
                self._await(method, live, self._ready)
                return

    def _attached(self, method: str, params: Params, sent: Body) -> bool:
        """True when an earlier attempt of this item, found in the journal, has made it after all."""
        resource = resource_of(params, sent)
        since_s = self._row.deadline_s
        found = self._gcp.memory.attempts(item=CURRENT_ITEM.get(), method_id=method, resource=resource, since_s=since_s)
        if not (found and found[0].operation and 200 <= found[0].status < 300):
            return False
        try:
            self._await(method, operations.journalled(method, found[0].operation), self._ready)
        except (OperationFailed, UnknownOutcome):
            return False  # it failed then, or is forgotten; and is tried anew
        return self.live() is not None

    def _mine(self) -> Body | None:
        live = self.live()
        return live if live is not None and self.ours(live) else None

    def _ready(self) -> Body | None:
        live = self._mine()
        return None if live is None or self.pending(live) else live

    def update(self, live: Body, body: Body, fields: tuple[str, ...]) -> None:
        """Change exactly these dotted fields and wait. Starts over when someone else changed it meanwhile (RMW)."""
        method, params = self._row.update
        if not method:
            words = f"{self.name} cannot be changed: {', '.join(fields)}"
            raise ApiFailure(words, hint="set the live value in plant.toml")

        def changed() -> Body | None:
            return self._changed(body, fields)

        def ready() -> Body | None:
            found = changed()
            return None if found is None or self.pending(found) else found

        for attempt in range(1, ATTEMPTS + 1):
            sent, mask = self._change(live, body, fields)
            extra: Params = {"updateMask": mask} if self._row.style in ("mask", "laid-over") else {}
            try:
                answer = self._gcp.call(method, sent, read_back=changed, **params, **extra)
            except ApiFailure as failure:
                if failure.reference != "conflict-retry" or attempt == ATTEMPTS:
                    raise
                self._gcp.clock.sleep(self._gcp.target.poll_s[0] * attempt)
                live = self.live() or live
                continue
            self._await(method, answer, ready)
            return

    def _change(self, live: Body, body: Body, fields: tuple[str, ...]) -> tuple[Body, str]:
        sent: Body = copy.deepcopy(body) if self._row.style == "whole" else {}
        mask = ",".join(fields)
        if self._row.style == "laid-over":
            sent = laid_over(live, body, fields, unsent=self._row.unsent)
            mask = ",".join(sent)
        elif self._row.style != "whole":
            for path in fields:
                put(sent, path, at(body, path))
        for path in self._row.echo:
            if at(live, path) is not None:
                put(sent, path, at(live, path))
        if self._row.style == "body-mask":
            return {self._row.create_wrap: sent, "updateMask": mask}, mask
        return sent, mask

    def _changed(self, body: Body, fields: tuple[str, ...]) -> Body | None:
        live = self.live()
        if live is not None and all(at(live, path) == at(body, path) for path in fields):
            return live
        return None

    def settle(self, live: Body | None) -> None:
        """Wait for the operations in flight, then for the ready state."""
        for method, operation in self._row.running(self._gcp):
            operations.wait(self._gcp, method, operation, deadline_s=self._row.deadline_s)
        self._until_ready()

    def adopt(self, live: Body) -> bool:
        """Write the marker, where the API has a mutable place for it."""
        marker = self._row.marker
        if not (marker and self._row.marker_mutable and self._row.update[0]):
            return False
        body: Body = {}
        if marker == "description":
            words = f"{at(live, marker) or ''} {self._description}".strip()
            put(body, marker, words)
        else:
            put(body, marker, {**(at(live, marker) or {}), **self._labels})
        if self._row.style == "whole":
            body = {**copy.deepcopy(live), **body}
        self.update(live, body, (marker,))
        return True

    def _await(self, method: str, answer: Body, resource: ReadBack) -> None:
        if is_operation(answer):
            operations.wait(self._gcp, method, answer, deadline_s=self._row.deadline_s, resource=resource)
        elif self._row.running(self._gcp):
            self.settle(answer)
            return
        self._until_ready()

    def _until_ready(self) -> None:
        """An operation that is done may leave the state behind for a moment (hazards V03)."""
        if not self._row.state:
            return
        begun = self._gcp.clock.monotonic()
        while True:
            live = self.live()
            if live is None or not self.pending(live):
                return
            if self._gcp.clock.monotonic() - begun > self._row.deadline_s:
                raise DeadlineExceeded(
                    f"{self.name} is still {self.pending(live)} after {self._row.deadline_s:.0f} s",
                    cause="it may still become ready",
                    hint="run the same command again: it waits on",
                )
            self._gcp.clock.sleep(self._gcp.target.poll_s[0])


def laid_over(live: Body, body: Body, fields: tuple[str, ...], *, unsent: tuple[str, ...] = ()) -> Body:
    """The outermost live fields that `fields` lie in, with what `body` has at those paths laid over them.

    Objects are merged, and so are lists of one object on either side; every other list is replaced.
    """
    sent: Body = {}
    for path in fields:
        top = path.split(".")[0]
        if top not in sent:
            sent[top] = copy.deepcopy(live.get(top))
        desired: Body = {}
        put(desired, path, copy.deepcopy(at(body, path)))
        sent[top] = _merged(sent[top], desired[top])
    for path in unsent:
        *parents, last = path.split(".")
        inner = at(sent, ".".join(parents))
        if isinstance(inner, dict):
            inner.pop(last, None)
    return sent


def _merged(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}
    if isinstance(under, list) and isinstance(over, list) and len(under) == len(over) == 1:
        return [_merged(under[0], over[0])]
    return over


def is_operation(body: Body) -> bool:
    """True for an answer that is a long-running operation in one of the three shapes."""
    kind, name = str(body.get("kind", "")), str(body.get("name", ""))
    return kind.endswith("#operation") or "operations/" in name


def at(body: Any, path: str) -> Any:
    """The value at a dotted path, or None."""
    for part in path.split("."):
        if not isinstance(body, dict):
            return None
        body = body.get(part)
    return body


def put(body: Body, path: str, value: Any) -> None:
    """Set the value at a dotted path, making what is missing on the way."""
    *parents, last = path.split(".")
    for part in parents:
        body = body.setdefault(part, {})
    body[last] = value
