"""The sandbox's own API below `/_sandbox/`: reset, wire, faults, clock, state, dataplane, status."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.gateway import JSON, Reply
from plantctl.sandbox.operations import Operation, seconds

if TYPE_CHECKING:
    from plantctl.sandbox.app import App


SECRET = re.compile(r"(?i)(payload|password|privatekey|authstring|rootpassword)$")


class Console:
    """Answers on any thread."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._routes: dict[tuple[str, str], Callable[[dict[str, str], dict[str, Any]], Any]] = {
            ("POST", "reset"): self._reset,
            ("GET", "wire"): self._wire,
            ("GET", "faults"): self._faults,
            ("PUT", "faults"): self._plan,
            ("GET", "clock"): self._clock,
            ("PUT", "clock"): self._set_clock,
            ("GET", "state"): self._state,
            ("GET", "dataplane"): self._dataplane,
            ("GET", "status"): self._status,
        }

    def handle(self, verb: str, path: str, query: str, body: bytes) -> Reply:
        """One request; errors have Google's newer shape."""
        route = self._routes.get((verb, path.strip("/")))
        try:
            if route is None:
                known = ", ".join(sorted(f"{v} /_sandbox/{p}" for v, p in self._routes))
                raise ApiError("NOT_FOUND", f"no {verb} /_sandbox/{path}; there are: {known}")
            given = json.loads(body) if body.strip() else {}
            if not isinstance(given, dict):
                raise ApiError("INVALID_ARGUMENT", "the body is a JSON object")
            params = {key: values[-1] for key, values in parse_qs(query).items()}
            answer, status = route(params, given), 200
        except ApiError as error:
            answer, status = error.to_json("sandbox"), error.http
        except (ValueError, KeyError, TypeError) as error:
            answer, status = ApiError("INVALID_ARGUMENT", f"{type(error).__name__}: {error}").to_json("sandbox"), 400
        return Reply(status=status, body=json.dumps(answer).encode(), headers={"content-type": JSON})

    def _reset(self, _: dict[str, str], given: dict[str, Any]) -> Any:
        if given.get("speed") is not None:
            self._app.set_speed(speed_of(given["speed"]))
        self._app.reset(list(given.get("projects", [])))
        return self._app.status()

    def _wire(self, params: dict[str, str], _: dict[str, Any]) -> Any:
        return self._app.wire.entries(int(params.get("since", "0")))

    def _faults(self, _: dict[str, str], __: dict[str, Any]) -> Any:
        return self._app.faults.account()

    def _plan(self, _: dict[str, str], given: dict[str, Any]) -> Any:
        self._app.gateway.stales.clear()
        self._app.faults.load(given)
        return self._app.faults.account()

    def _clock(self, _: dict[str, str], __: dict[str, Any]) -> Any:
        clock = self._app.world.clock
        return {"speed": speed_text(clock.speed), "offset_s": clock.offset_s, "now": clock.rfc3339()}

    def _set_clock(self, params: dict[str, str], given: dict[str, Any]) -> Any:
        if set(given) - {"speed", "advance_s"}:
            raise ApiError("INVALID_ARGUMENT", f"the clock takes speed and advance_s, not {sorted(given)}")
        if given.get("speed") is not None:
            self._app.set_speed(speed_of(given["speed"]))
        if given.get("advance_s") is not None:
            self._app.advance(float(given["advance_s"]))
        return self._clock(params, given)

    def _state(self, params: dict[str, str], _: dict[str, Any]) -> Any:
        world = self._app.world
        prefix = params.get("prefix", "")
        hidden = ("operation/", "counter/", "sandbox/", "storage-owner/", "monitoring-series/")
        resources = [
            {"key": key, "body": _without_secrets(body)}
            for key, body in world.store.list(prefix)
            if not key.startswith(hidden)
        ]
        operations = [_operation(op) for op in world.operations.all()]
        return {"incarnation": world.incarnation, "resources": resources, "operations": operations}

    def _dataplane(self, _: dict[str, str], __: dict[str, Any]) -> Any:
        return self._app.dataplane()

    def _status(self, _: dict[str, str], __: dict[str, Any]) -> Any:
        return self._app.status()


def _without_secrets(value: Any) -> Any:
    """The value with what is secret in it left out: this answer ends in reports and logs."""
    if isinstance(value, list):
        return [_without_secrets(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: "(secret)" if SECRET.search(key) else _without_secrets(one) for key, one in value.items()}


def speed_of(value: Any) -> float:
    """A positive number, or "max"."""
    if value == "max":
        return math.inf
    speed = float(value)
    if not speed > 0:
        raise ApiError("INVALID_ARGUMENT", f'speed is a number above 0, or "max", not {value}')
    return speed


def speed_text(speed: float) -> float | str:
    """The speed as JSON can hold it."""
    return "max" if math.isinf(speed) else speed


def _operation(op: Operation) -> dict[str, Any]:
    kept = ("name", "api", "kind", "project", "method_id", "target", "done", "insert_time", "end_time", "duration_s")
    whole = asdict(op)
    return {
        **{key: whole[key] for key in kept},
        "started_wall": op.started_wall,
        "seconds": seconds(op),
        "failed": op.error is not None,
        "error": op.error,
    }
