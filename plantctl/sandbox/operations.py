"""Long-running operations: one record a piece of work, three shapes on the wire, a finisher when its time is up.

An operation is accepted at once and ends after its invented duration on the scaled clock; then its finisher does the
real work and changes the store. Records live in the store, so after a restart what was under way goes on.
"""

from __future__ import annotations

import secrets
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from plantctl.sandbox import standard
from plantctl.sandbox.clock import pause, wall
from plantctl.sandbox.errors import RPC_CODE, ApiError
from plantctl.sandbox.store import Body

if TYPE_CHECKING:
    from plantctl.sandbox.service import Call, Finisher, World

GOOGLEAPIS = "https://www.googleapis.com"


@dataclass(kw_only=True)
class Operation:
    """One record. `kind` is lro, sql or compute; `name` the full name for lro, the bare one else.

    `scope` (compute): `global`, `regions/us-central1`, `zones/...`. `target` is the canonical store key of the resource
    worked on (several operations on one target can be looked up). `args` is what the finisher needs. `metadata` (lro)
    is sent as it is; a finisher may replace it. Times are sandbox time in RFC 3339; `duration_s` is invented seconds.
    """

    key: str
    api: str
    kind: str
    name: str
    project: str
    method_id: str
    finisher: str
    target: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    scope: str = ""
    operation_type: str = ""
    target_link: str = ""
    target_id: str = ""
    user: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    response: Body | None = None
    response_type: str = ""
    error: dict[str, Any] | None = None
    duration_s: float = 0.0
    started_wall: float = 0.0
    insert_time: str = ""
    end_time: str = ""
    done: bool = False
    request_id: str = ""
    planned_error: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def render(self) -> Body:
        """The record as its API writes it."""
        return {"lro": _lro, "sql": _sql, "compute": _compute}[self.kind](self)


class Operations:
    """Starts, finishes and finds operations. One timer thread; slow finishers run on a small pool."""

    def __init__(
        self,
        world_of: Callable[[], World],
        finishers: dict[str, tuple[Finisher, bool]],
        failures: dict[str, Callable[[World, Operation], None]] | None = None,
    ) -> None:
        self._world_of = world_of
        self._finishers = finishers
        self._failures = failures or {}
        self._planned = threading.local()
        self._busy = 0
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="operation")
        self._wake = threading.Condition()
        self._due: dict[str, float] = {}
        self._closed = False
        self._timer = threading.Thread(target=self._tick, name="operations", daemon=True)
        self._timer.start()

    def start(self, call: Call, *, kind: str, finisher: str, duration_s: float, **fields: Any) -> Body:
        """Accept an operation and give its first answer (not yet done, as the recorded exchanges show).

        `finisher` is `<service api>.<name>`; `fields` are those of Operation. lro needs `name` as the prefix before
        `/operations/` (`projects/p/locations/l`, or empty for `operations/...`); compute needs `scope`. At speed max
        a finisher that is not slow has run when this returns, though the answer still says RUNNING.
        """
        world = call.world
        record = self._record(call, kind, finisher, duration_s, fields)
        with world.store.transaction():
            world.store.put(record.key, vars(record))
            first = record.render()
        slow = self._finishers[finisher][1]
        if world.clock.real_seconds(duration_s) > 0:
            with self._wake:
                self._due[record.key] = world.clock.scaled() + duration_s
                self._wake.notify()
        elif slow:
            self._pool.submit(self._finish, record.key)
        else:
            self._finish(record.key)
        return first

    def get(self, key: str) -> Operation | None:
        """The record under `operation/<api>/<full name>`, or None."""
        body = self._world_of().store.get(key)
        return None if body is None else Operation(**body)

    def of_target(self, target: str, *, running: bool = False) -> list[Operation]:
        """Operations on a resource, oldest first; `running`: only those not done."""
        found = (Operation(**body) for _, body in self._world_of().store.list("operation/"))
        return [op for op in found if op.target == target and not (running and op.done)]

    def all(self) -> list[Operation]:
        """Every operation, oldest first."""
        return [Operation(**body) for _, body in self._world_of().store.list("operation/")]

    def plan_error(self, error: dict[str, Any] | None) -> None:
        """Operations that this thread starts from now on end with `{code, message}` and do no work; None: as usual."""
        self._planned.error = error

    def drop(self) -> None:
        """Forget what is due and wait for finishers under way, at most 20 s (before the store is emptied)."""
        with self._wake:
            self._due.clear()
        end = time.monotonic() + 20
        while self._busy and time.monotonic() < end:
            pause(0.01)

    def resume(self) -> None:
        """After a restart: what was under way goes on with what is left of its duration."""
        world = self._world_of()
        for op in self.all():
            if op.done:
                continue
            spent = max(0.0, world.clock.wall() - op.started_wall) * min(world.clock.speed, 1e9)
            with self._wake:
                self._due[op.key] = world.clock.scaled() + max(0.0, op.duration_s - spent)
                self._wake.notify()

    def speed_changed(self) -> None:
        """Look at the due times again."""
        with self._wake:
            self._wake.notify()

    def wait(self, key: str, seconds: float) -> Operation | None:
        """Wait until done, at most so many real seconds (`operations.wait`)."""
        end = time.monotonic() + seconds
        while True:
            op = self.get(key)
            if op is None or op.done or time.monotonic() >= end:
                return op
            pause(0.01)

    def close(self) -> None:
        """Stop the timer; finishers under way end by themselves."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _record(self, call: Call, kind: str, finisher: str, duration_s: float, fields: dict[str, Any]) -> Operation:
        if finisher not in self._finishers:
            raise KeyError(f"no finisher {finisher}")
        name = _new_name(kind, fields.pop("name", ""))
        project = fields.pop("project", call.project)
        # compute names are unique in their scope, sql ones in their project; the scope is part of the key
        scope = "/".join(part for part in (f"projects/{project}", fields.get("scope", "")) if part)
        full = name if kind == "lro" else f"{scope}/operations/{name}"
        return Operation(
            key=f"operation/{call.method.api}/{full}",
            api=call.method.api,
            kind=kind,
            name=name,
            project=project,
            method_id=call.method.id,
            finisher=finisher,
            duration_s=duration_s,
            started_wall=call.clock.wall(),
            insert_time=call.clock.rfc3339() if kind == "lro" else call.clock.millis(),
            user=call.email,
            planned_error=getattr(self._planned, "error", None),
            **fields,
        )

    def _tick(self) -> None:
        while True:
            with self._wake:
                if self._closed:
                    return
                clock = self._world_of().clock if self._due else None
                now = clock.scaled() if clock else 0.0
                ripe = [key for key, due in self._due.items() if due <= now]
                for key in ripe:
                    del self._due[key]
                if not ripe:
                    # a short upper bound: the speed may change while we wait
                    left = min((due - now for due in self._due.values()), default=60.0)
                    self._wake.wait(min(0.5, clock.real_seconds(left)) if clock else None)
                    continue
            for key in ripe:
                self._pool.submit(self._finish, key)

    def _finish(self, key: str) -> None:
        with self._wake:
            self._busy += 1
        try:
            self._run(key)
        finally:
            with self._wake:
                self._busy -= 1

    def _run(self, key: str) -> None:
        world = self._world_of()
        op = self.get(key)
        if op is None or op.done:
            return
        finisher, slow = self._finishers[op.finisher]
        try:
            if op.planned_error is not None:
                op.error = _planned(op)
                response = None
            elif slow:
                response = finisher(world, op)
            else:
                with world.store.transaction():
                    response = finisher(world, op)
            op.response = response
        except ApiError as error:
            op.error = _error_of(op, error)
        except Exception:  # a defect of the sandbox must show as a failed operation, not as one that never ends
            op.error = _error_of(op, ApiError("INTERNAL", f"sandbox defect in {op.finisher}: {traceback.format_exc()}"))
        if op.error is not None and op.finisher in self._failures:
            with world.store.transaction():
                self._failures[op.finisher](world, op)
        if self.get(key) is None:
            return  # the sandbox was reset meanwhile
        op.done = True
        op.end_time = world.clock.rfc3339() if op.kind == "lro" else world.clock.millis()
        world.store.put(key, vars(op))


def _new_name(kind: str, prefix: str) -> str:
    if kind == "sql":
        return str(uuid.uuid4())
    if kind == "compute":
        return f"operation-{int(wall() * 1000)}-{secrets.token_hex(6)}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
    if prefix.startswith("operations/"):  # serviceusage: operations/acf.p2-...; the caller chose the whole name
        return prefix
    tail = f"operations/{uuid.uuid4()}"
    return f"{prefix}/{tail}" if prefix else tail


def _planned(op: Operation) -> dict[str, Any]:
    given = op.planned_error or {}
    code, message = given.get("code", "INTERNAL"), str(given.get("message", "injected fault"))
    if op.kind != "lro":
        return {"code": str(code), "message": message, "http": int(given.get("http", 500))}
    number = code if isinstance(code, int) else RPC_CODE.get(str(code), 2)
    return {"code": number, "message": message, **({"details": given["details"]} if "details" in given else {})}


def _error_of(op: Operation, error: ApiError) -> dict[str, Any]:
    if op.kind == "lro":
        return error.to_rpc()
    code = error.legacy_reason if op.kind == "compute" else error.legacy_reason or "INTERNAL_ERROR"
    return {"code": code, "message": error.message, "http": error.http}


def _lro(op: Operation) -> Body:
    body: Body = {"name": op.name}
    if op.metadata:
        body["metadata"] = op.metadata
    if op.done:
        body["done"] = True
        if op.error is not None:
            body["error"] = op.error
        else:
            response = op.response if op.response is not None else {}
            kind = op.response_type or "type.googleapis.com/google.protobuf.Empty"
            body["response"] = {"@type": kind, **response}
    return body


def _sql(op: Operation) -> Body:
    version = op.extra.get("version", "v1beta4")
    root = f"https://sqladmin.googleapis.com/{'sql/' if version == 'v1beta4' else ''}{version}/projects/{op.project}"
    body: Body = {
        "kind": "sql#operation",
        "targetLink": op.target_link or f"{root}/instances/{op.target_id}",
        "status": "DONE" if op.done else op.extra.get("status", "PENDING"),
        "user": op.user,
        "insertTime": op.insert_time,
        "operationType": op.operation_type,
        "name": op.name,
        "targetId": op.target_id,
        "selfLink": f"{root}/operations/{op.name}",
        "targetProject": op.project,
    }
    if op.done:
        body["startTime"] = op.insert_time
        body["endTime"] = op.end_time
        if op.error is not None:
            error = {"kind": "sql#operationError", "code": op.error["code"], "message": op.error["message"]}
            body["error"] = {"kind": "sql#operationErrors", "errors": [error]}
    body.update({k: v for k, v in op.extra.items() if k.endswith("Context")})
    return body


def _compute(op: Operation) -> Body:
    body: Body = {
        "kind": "compute#operation",
        "id": op.extra.get("id", "0"),
        "name": op.name,
        "operationType": op.operation_type,
        "targetLink": op.target_link,
        "targetId": op.target_id,
        "status": "DONE" if op.done else "RUNNING",
        "user": op.user,
        "progress": 100 if op.done else 0,
        "insertTime": op.insert_time,
        "startTime": op.insert_time,
        "selfLink": f"{GOOGLEAPIS}/compute/v1/projects/{op.project}/{op.scope}/operations/{op.name}",
    }
    body = {k: v for k, v in body.items() if v != ""}
    if op.scope.startswith("regions/"):
        body["region"] = f"{GOOGLEAPIS}/compute/v1/projects/{op.project}/{op.scope}"
    if op.done:
        body["endTime"] = op.end_time
        if op.error is not None:
            body["error"] = {"errors": [{"code": op.error["code"], "message": op.error["message"]}]}
            body["httpErrorStatusCode"] = op.error["http"]
            body["httpErrorMessage"] = op.error["message"]
    return body


def seconds(op: Operation) -> float:
    """The operation's own duration in real seconds, insert to end; 0 while it runs."""
    if not op.end_time:
        return 0.0
    start, end = (datetime.fromisoformat(t.replace("Z", "+00:00")) for t in (op.insert_time, op.end_time))
    return (end - start).total_seconds()


def new_compute_id() -> str:
    """Numeric id for a compute operation or resource."""
    return standard.number_id()
