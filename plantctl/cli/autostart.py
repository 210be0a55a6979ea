"""The sandbox of a home as commands need it: found, started when a command's target is the sandbox, asked by HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plantctl.cli.output import err
from plantctl.errors import TargetError, UsageError

START_SPEED = "60"
ASK_LIMIT_S = 60.0
PURGED = "none"
"""An incarnation that no sandbox has: where there is no state at all, nothing of the past holds."""


def running(home: Path) -> dict[str, Any] | None:
    """Endpoints of the running sandbox of this home, or None."""
    from plantctl.sandbox import life

    return life.status(home)


def ensure(home: Path, *, speed: str = START_SPEED) -> dict[str, Any]:
    """What the sandbox of this home says of itself, started first when it does not run. TargetError when it cannot."""
    found = running(home)
    if found is None:
        err(f"starting the local sandbox (speed {speed}) in {home / 'sandbox'}")
        found = start(home, speed=speed)
    answer: dict[str, Any] = control(str(found["rest"]), "GET", "status")
    return answer


def start(home: Path, *, speed: str = START_SPEED, port: int = 0, foreground: bool = False) -> dict[str, Any]:
    """Start the sandbox and give its endpoints; TargetError when it does not come up."""
    from plantctl.sandbox import life

    try:
        return life.up(home, speed=speed, port=port, foreground=foreground)
    except life.LifeError as error:
        raise TargetError(
            "the sandbox cannot be started", cause=str(error), hint="plantctl sandbox logs", reference="sandbox-down"
        ) from error


def stop(home: Path, *, purge: bool = False) -> bool:
    """Stop the sandbox and all it started; False when none ran. TargetError when it does not end."""
    from plantctl.sandbox import life

    try:
        return life.down(home, purge=purge)
    except life.LifeError as error:
        raise TargetError(
            "the sandbox cannot be stopped", cause=str(error), hint="plantctl sandbox logs", reference="sandbox-down"
        ) from error


def incarnation(home: Path) -> str:
    """The incarnation of this home's sandbox without starting it; PURGED when it has no state."""
    found = running(home)
    if found is not None:
        return str(control(str(found["rest"]), "GET", "status")["incarnation"])
    path = home / "sandbox" / "store.sqlite"
    if not path.is_file():
        return PURGED
    from plantctl.sandbox.store import Store

    store = Store(path)
    try:
        return str((store.get("sandbox/self") or {}).get("incarnation", PURGED))
    finally:
        store.close()


def control(rest: str, verb: str, path: str, body: object = None) -> Any:
    """One request to the sandbox's own API below `/_sandbox/`; its JSON. UsageError for what it refuses, TargetError
    when it does not answer."""
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    connection = HTTPConnection(urlsplit(rest).netloc, timeout=ASK_LIMIT_S)  # no proxy variable counts here
    try:
        data = None if body is None else json.dumps(body)
        connection.request(verb, f"/_sandbox/{path}", body=data, headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        found, status = json.loads(answer.read() or b"null"), answer.status
    except (OSError, HTTPException, ValueError) as error:
        raise TargetError(
            f"the sandbox at {rest} does not answer",
            cause=str(error),
            hint="plantctl sandbox logs",
            reference="sandbox-down",
        ) from error
    finally:
        connection.close()
    if status >= 400:
        raise UsageError("the sandbox refuses that", cause=str(found.get("error", {}).get("message", found)))
    return found
