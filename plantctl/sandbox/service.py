"""What a service file is written in: Service (handlers by Google's method id), Call (one request), World (all else)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantctl.sandbox import errors
from plantctl.sandbox.clock import SandboxClock
from plantctl.sandbox.meters import Meters
from plantctl.sandbox.store import Body as Body
from plantctl.sandbox.store import Store

if TYPE_CHECKING:
    from plantctl.sandbox.access import Access
    from plantctl.sandbox.dataplane.plane import DataPlane
    from plantctl.sandbox.operations import Operation, Operations

OWNER = "user:owner@example.com"
"""The one principal of a fresh sandbox; every token that no metadata server minted is his."""


@dataclass(frozen=True)
class Method:
    """One API method as the discovery document has it: `api` is the host's first word (`sqladmin`), `id` Google's."""

    id: str
    api: str
    version: str
    verb: str
    path: str
    request: str | None
    response: str | None
    mutating: bool


@dataclass(kw_only=True)
class World:
    """Everything that handlers share. `state` is the sandbox's own folder; `plane` is None in control-plane tests."""

    store: Store
    clock: SandboxClock
    operations: Operations
    access: Access
    state: Path
    plane: DataPlane | None = None
    incarnation: str = ""
    meters: Meters = field(default_factory=Meters)
    hooks: dict[str, Callable[..., Any]] = field(default_factory=dict)
    listeners: dict[str, list[Listener]] = field(default_factory=dict)

    def fire(self, event: str, **facts: Any) -> None:
        """Tell all listeners of an event (see Service.on), in the order of the services."""
        for listener in self.listeners.get(event, []):
            listener(self, **facts)

    def project_id(self, id_or_number: str) -> str:
        """The project id behind an id or number; the word itself where no such project is known."""
        found = self.store.get(f"project-number/{id_or_number}")
        return str(found["projectId"]) if found else id_or_number

    def project_number(self, project_id: str) -> str:
        """The number of a project; raises 403 PERMISSION_DENIED where there is none, as Google does (hazards S14)."""
        project = self.store.get(f"cloudresourcemanager/projects/{self.project_id(project_id)}")
        if project is None:
            raise errors.denied("The caller does not have permission")
        return str(project["projectNumber"])

    def canonical(self, name: str) -> str:
        """A resource name with the project's id in place of its number, without host, version or leading slash."""
        name = re.sub(r"^(https?:)?//[^/]+/", "", name)
        name = re.sub(r"^(compute|sql|storage)?/?(v1beta4|v1beta1|v1|v2|v3|beta)/", "", name)
        return re.sub(r"^projects/([^/]+)", lambda m: f"projects/{self.project_id(m.group(1))}", name)


@dataclass(kw_only=True)
class Call:
    """One request. `params` holds path and query parameters by their discovery names; `media` an upload's bytes."""

    method: Method
    params: dict[str, Any]
    body: Body
    world: World
    principal: str = OWNER
    media: bytes | None = None
    media_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The world's store."""
        return self.world.store

    @property
    def clock(self) -> SandboxClock:
        """The world's clock."""
        return self.world.clock

    @property
    def operations(self) -> Operations:
        """The world's long-running operations."""
        return self.world.operations

    @property
    def project(self) -> str:
        """Id of the project that `project`, `name`, `parent` or `resource` names; empty when none does."""
        for key in ("project", "projectId"):
            if self.params.get(key):
                return self.world.project_id(str(self.params[key]).removeprefix("projects/"))
        for key in ("name", "parent", "resource"):
            found = re.match(r"(?:projects|namespaces)/([^/]+)", str(self.params.get(key, "")))
            if found:
                return self.world.project_id(found.group(1))
        return ""

    @property
    def email(self) -> str:
        """The principal's e-mail, as `user` and `creator` fields show it."""
        return self.principal.split(":", 1)[1]

    def name(self, param: str = "name") -> str:
        """A name-like parameter in canonical form (project id, no host, no version)."""
        return self.world.canonical(str(self.params[param]))


class Answer:
    """A handler's answer when it is no plain JSON body: media bytes, another status, headers."""

    def __init__(
        self, body: Body | bytes, *, status: int = 200, content_type: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers or {}


Handler = Callable[[Call], "Body | Answer"]
Finisher = Callable[["World", "Operation"], "Body | None"]
Listener = Callable[..., None]


class Service:
    """Handlers of one API. Method ids that Google's document lacks are refused when the catalogue is assembled."""

    def __init__(self, api: str, *, versions: tuple[str, ...]) -> None:
        self.api = api
        self.versions = versions
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.blocking: set[str] = set()
        self.finishers: dict[str, tuple[Finisher, bool]] = {}
        self.failures: dict[str, Callable[[World, Operation], None]] = {}
        self.listeners: dict[str, list[Listener]] = {}

    def method(self, *ids: str, versions: tuple[str, ...] = (), blocking: bool = False) -> Callable[[Handler], Handler]:
        """Register a handler for method ids, in these versions (default: all of the service).

        `blocking`: the handler waits or does real work, so it runs without the store's lock.
        """

        def register(handler: Handler) -> Handler:
            for version in versions or self.versions:
                for method_id in ids:
                    self.handlers[version, method_id] = handler
            if blocking:
                self.blocking.update(ids)
            return handler

        return register

    def finisher(self, name: str, *, slow: bool = False) -> Callable[[Finisher], Finisher]:
        """Register what an operation does when its time is up: `(world, operation) -> response or None`.

        Finishers are found by name after a restart, so they take all they need from `operation.args` and the store,
        and may run twice. `slow`: real work (a server starts), never run inside a request. Raising ApiError makes the
        operation end with that error.
        """

        def register(finisher: Finisher) -> Finisher:
            self.finishers[f"{self.api}.{name}"] = (finisher, slow)
            return finisher

        return register

    def failure(self, name: str) -> Callable[[Callable[[World, Operation], None]], Callable[[World, Operation], None]]:
        """Register what becomes of the resource when the operation of this finisher ends in an error."""

        def register(handler: Callable[[World, Operation], None]) -> Callable[[World, Operation], None]:
            self.failures[f"{self.api}.{name}"] = handler
            return handler

        return register

    def on(self, event: str) -> Callable[[Listener], Listener]:
        """Register `listener(world, **facts)` for an event.

        Events: `project-created` (project, origin: reset or api), `project-deleted` (project), `api-enabled` (project,
        api: host name), `clock-advanced` (seconds), `reset` (no facts; the store is empty, the data plane stopped),
        `minute` (no facts; the clock shows another one), `started` (no facts; the ports answer), `request-served`
        (project, location, service, revision, status, latency_s; one a request to a Cloud Run service, in batches
        within one transaction).
        """

        def register(listener: Listener) -> Listener:
            self.listeners.setdefault(event, []).append(listener)
            return listener

        return register
