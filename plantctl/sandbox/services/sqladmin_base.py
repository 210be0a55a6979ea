"""Cloud SQL Admin: what all its files share. Keys, look-ups, links, and one administrative operation at a time."""

from __future__ import annotations

import hashlib
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Call, Service, World
from plantctl.sandbox.store import Body

service = Service("sqladmin", versions=("v1", "v1beta4"))

ANSWER_WAIT_S = 60.0
"""Longest real wait of a request whose operation the API answers as DONE."""


def key_of(project: str, instance: str) -> str:
    """The store key of an instance."""
    return f"sqladmin/projects/{project}/instances/{instance}"


def root(version: str) -> str:
    """Where the links of a version begin (recorded exchanges: v1beta4 has `sql/` before it)."""
    return f"https://sqladmin.googleapis.com/{'sql/' if version == 'v1beta4' else ''}{version}"


def link(call: Call, tail: str) -> str:
    """selfLink of something below the project, in the version that was asked."""
    return f"{root(call.method.version)}/projects/{call.project}/{tail}"


def not_authorized() -> ApiError:
    """403 of an unknown project: Cloud SQL does not tell missing from forbidden (hazards Q04)."""
    message = "The client is not authorized to make this request."
    return errors.denied(message, legacy_reason="notAuthorized")


def no_instance() -> ApiError:
    """404 of an unknown instance (recorded exchange)."""
    return errors.not_found("The Cloud SQL instance does not exist.", "instanceDoesNotExist")


def invalid(message: str) -> ApiError:
    """400 with the words that Cloud SQL puts before every refusal; `errors[].reason` is `invalid`."""
    return errors.invalid(f"Invalid request: {message}", legacy_reason="invalid")


def exists() -> ApiError:
    """409 of a name that is taken (gcp-foundation 0.4)."""
    return errors.already_exists("The Cloud SQL instance already exists.", "instanceAlreadyExists")


def wrong_state() -> ApiError:
    """409 of an instance that is failed, suspended or on its way out (hazards Q03)."""
    message = "The instance or operation is not in an appropriate state to handle the request."
    return ApiError("ABORTED", message, legacy_reason="invalidState")


def stale() -> ApiError:
    """412 of a settingsVersion that is not the present one (hazards Q10; the words are unverified)."""
    return ApiError("FAILED_PRECONDITION", "Condition does not match.", http=412, legacy_reason="staleData")


def project_of(call: Call) -> str:
    """The id of a project that exists; 403 notAuthorized otherwise."""
    try:
        call.world.project_number(call.project)
    except ApiError:
        raise not_authorized() from None
    return call.project


def find(call: Call) -> tuple[str, Body]:
    """Key and body of the instance that the call names, as `name` or `project:name`; 404 where there is none."""
    project = project_of(call)
    name = str(call.params["instance"]).rpartition(":")[2]
    key = key_of(project, name)
    body = call.store.get(key)
    if body is None:
        raise no_instance()
    return key, body


def running(call: Call) -> tuple[str, Body]:
    """Like `find`, for what needs a server: 409 in the wrong state, 400 where the instance is stopped."""
    key, body = find(call)
    if body["state"] != "RUNNABLE":
        raise wrong_state()
    if stopped(body):
        raise invalid("Invalid request since instance is not running.")
    return key, body


def stopped(body: Body) -> bool:
    """Whether somebody stopped the instance: its state stays RUNNABLE (recorded exchange)."""
    return bool(body["settings"].get("activationPolicy") == "NEVER")


def claim(call: Call, *keys: str) -> None:
    """409 while an operation works on one of these instances: one at a time (hazards Q01)."""
    for operation in call.operations.all():
        if operation.done or operation.api != "sqladmin":
            continue
        if {operation.target, *operation.args.get("also", ())} & set(keys):
            message = "Operation failed because another operation was already in progress."
            message += " Try your request after the current operation is complete."
            raise ApiError("ABORTED", message, legacy_reason="operationInProgress")


def start(call: Call, finisher: str, kind: str, key: str, *, args: Body | None = None, **more: Any) -> Body:
    """Claim the instances and accept an operation on `key`; gives its first answer.

    `kind` is the operationType; `args` reach the finisher, `args["also"]` are further instances it keeps busy;
    `timing` names a row of DURATIONS other than the method's; `more` are fields of Operation.
    """
    args = args or {}
    with call.store.transaction():
        claim(call, key, *args.get("also", ()))
        extra: Body = {"version": call.method.version, **more.pop("extra", {})}
        return call.operations.start(
            call,
            kind="sql",
            finisher=f"sqladmin.{finisher}",
            duration_s=DURATIONS.get(more.pop("timing", call.method.id), DURATIONS["sql.default"]),
            operation_type=kind,
            target=key,
            target_id=more.pop("target_id", key.rpartition("/")[2]),
            args=args,
            extra=extra,
            **more,
        )


def settled(call: Call, first: Body, *, done: bool = True) -> Body:
    """Wait for an operation that Cloud SQL does at once; its error becomes the answer's (400, hazards Q12).

    `done`: answer the finished operation, as recorded for users and new databases; else the first, PENDING one.
    """
    key = f"operation/sqladmin/projects/{call.project}/operations/{first['name']}"
    operation = call.operations.wait(key, ANSWER_WAIT_S)
    if operation is None or not operation.done:
        return first
    if operation.error is not None:
        code = str(operation.error["code"])
        status = _STATUS.get(int(operation.error["http"]), "INTERNAL")
        raise ApiError(status, operation.error["message"], legacy_reason=code)
    return operation.render() if done else first


_STATUS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}


def changed(world: World, key: str, body: Body, *, bump: bool = False) -> Body:
    """Keep an instance with a new etag; `bump` counts settingsVersion up."""
    if bump:
        body["settings"]["settingsVersion"] = str(int(body["settings"].get("settingsVersion", "0")) + 1)
    body["etag"] = standard.etag(body)
    return world.store.put(key, body)


def under_way(world: World, operation: Operation) -> Body | None:
    """The instance that an operation works on, or None when it is gone."""
    return world.store.get(operation.target)


def digits(*words: str) -> int:
    """A number that stays the same for the same words: for values that a server draws once."""
    return int.from_bytes(hashlib.sha256("/".join(words).encode()).digest()[:6], "big")
