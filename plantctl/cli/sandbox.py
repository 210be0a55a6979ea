"""`plantctl sandbox up|down|status|env|logs|faults|reset`: the local Google Cloud of a home."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from plantctl.cli import autostart, compose
from plantctl.cli.options import common, noun, verb
from plantctl.cli.output import Common, err, out, show
from plantctl.errors import TargetError, UsageError

app = noun("sandbox", "The local Google Cloud: start it, look at it, point other tools at it.")
STATUS = ("rest", "grpc", "proxy", "edge", "ca", "speed", "pid", "dataplane")
Speed = Annotated[str, typer.Option("--speed", metavar="N|max", help="Invented waits: how many times faster.")]


@verb(app, "up", "plantctl sandbox up", "plantctl sandbox up --speed max", "plantctl sandbox up --foreground")
def up(
    ctx: typer.Context,
    speed: Speed = autostart.START_SPEED,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="N", help="REST port; 0: a free one.")] = 0,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Serve in this terminal until a signal.", show_default=False)
    ] = False,
) -> None:
    """Start the sandbox and return when it answers. One that runs already is left as it is."""
    said = common(ctx)
    home = compose.settings(said).home
    checked_speed(speed)
    there = autostart.running(home)
    if there is not None:
        err(f"it runs already (pid {there['pid']})")
    else:
        autostart.start(home, speed=speed, port=port, foreground=foreground)
        if foreground:
            return
    _tell(said, home)


@verb(app, "down", "plantctl sandbox down", "plantctl sandbox down --purge")
def down(
    ctx: typer.Context,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove its state and all data as well.", show_default=False)
    ] = False,
) -> None:
    """Stop the sandbox and everything that it started. Its state stays, and `sandbox up` goes on from there."""
    home = compose.settings(common(ctx)).home
    stopped = autostart.stop(home, purge=purge)
    out(("stopped" if stopped else "none was running") + ("; its state is removed" if purge else ""))


@verb(app, "status", "plantctl sandbox status", "plantctl sandbox status --format json")
def status(ctx: typer.Context) -> None:
    """Show addresses, speed and what really runs. Exit 1 when no sandbox runs."""
    said = common(ctx)
    _tell(said, compose.settings(said).home)


@verb(app, "env", 'eval "$(plantctl sandbox env)"', "gcloud sql instances list    # in the same shell")
def env(ctx: typer.Context) -> None:
    """Print the exports that point the real gcloud, Ansible and Terraform at the sandbox, through its proxy."""
    said = common(ctx)
    given = compose.settings(said)
    found = exports(_running(given.home), given.home, given.plant.project.id)
    show(
        said,
        lambda: "\n".join(f"export {name}={shlex.quote(value)}" for name, value in found.items()),
        lambda: found,
    )


@verb(app, "logs", "plantctl sandbox logs", "plantctl sandbox logs --lines 500")
def logs(
    ctx: typer.Context,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, metavar="N", help="How many of the last lines.")] = 100,
) -> None:
    """Print the end of the sandbox's log, also after it stopped."""
    path = compose.settings(common(ctx)).home / "sandbox" / "sandbox.log"
    if not path.is_file():
        raise UsageError(f"there is no log {path}", hint="plantctl sandbox up")
    err(str(path))
    out("\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]))


@verb(
    app,
    "faults",
    "plantctl sandbox faults",
    "plantctl sandbox faults plan.json",
    """echo '{"rules": [{"match": "sql.instances.insert", "when": "after_commit", "do": "reset"}]}' \\
    | plantctl sandbox faults -""",
)
def faults(
    ctx: typer.Context,
    plan: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="A plan as JSON, or - for standard input.", show_default=False),
    ] = None,
) -> None:
    """Show the planned faults and which have fired; with a file, plan anew. `{}` clears the plan."""
    home = compose.settings(common(ctx)).home
    body = None if plan is None else _plan(plan)
    rest = str(_running(home)["rest"])
    account = autostart.control(rest, "GET" if body is None else "PUT", "faults", body)
    out(json.dumps(account, ensure_ascii=False, indent=2))


@verb(app, "reset", "plantctl sandbox reset", "plantctl sandbox reset --yes")
def reset(ctx: typer.Context) -> None:
    """Make the sandbox's world anew: no project, no data. Ticks of the old world become stale."""
    said = common(ctx)
    home = compose.settings(said).home
    rest = str(_running(home)["rest"])
    if not said.yes:
        compose.ask(f"All that the sandbox of {home} holds goes, data included. Go on?", flag="--yes")
    autostart.control(rest, "POST", "reset", {"projects": []})
    out("the sandbox begins anew")


def checked_speed(text: str) -> str:
    """The speed as typed; UsageError unless it is a number above 0, or `max`."""
    try:
        if text != "max" and not 0 < float(text) < float("inf"):
            raise ValueError
    except ValueError:
        raise UsageError(f"--speed cannot be {text!r}", hint="a number above 0, or max") from None
    return text


def exports(found: dict[str, Any], home: Path, project: str) -> dict[str, str]:
    """Variables for tools of others (sandbox.md section 4, way B); writes the token file that gcloud wants.

    Any token is the owner's in the sandbox. NO_PROXY keeps plantctl's own calls, and any to loopback, off the proxy.
    """
    folder = home / "sandbox" / "gcloud"
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    token.write_text("plantctl-owner\n", encoding="utf-8")
    proxy, ca = str(found["proxy"]), str(found["ca"])
    host, _, port = proxy.removeprefix("http://").rpartition(":")
    local = "127.0.0.1,localhost"
    return {
        "CLOUDSDK_CONFIG": str(folder),
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": host,
        "CLOUDSDK_PROXY_PORT": port,
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": ca,
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "REQUESTS_CA_BUNDLE": ca,
        "SSL_CERT_FILE": ca,
        "NO_PROXY": local,
        "no_proxy": local,
    }


def _running(home: Path) -> dict[str, Any]:
    found = autostart.running(home)
    if found is None:
        raise TargetError(f"no sandbox runs for {home}", hint="plantctl sandbox up", reference="sandbox-down")
    return found


def _tell(said: Common, home: Path) -> None:
    found = autostart.running(home)
    if found is None:
        show(
            said,
            lambda: f"no sandbox runs for {home}; plantctl sandbox up starts it",
            lambda: dict.fromkeys(STATUS),
        )
        raise typer.Exit(1)
    told = autostart.control(str(found["rest"]), "GET", "status")
    show(said, lambda: _text(told, home), lambda: {key: told.get(key) for key in STATUS})


def _text(told: dict[str, Any], home: Path) -> str:
    lines = [f"running in {home / 'sandbox'}", f"  rest   {told['rest']}"]
    lines += [f"  grpc   {told['grpc']}"] if told.get("grpc") else []
    lines += [f"  proxy  {told['proxy']}  (for gcloud and others: plantctl sandbox env)", f"  ca     {told['ca']}"]
    lines += [f"  speed  {told['speed']}", f"  pid    {told['pid']}"]
    for name, what in (told.get("dataplane") or {}).items():
        shown = what if isinstance(what, str | int | float) else json.dumps(what, ensure_ascii=False)
        lines.append(f"  {name}: {shown}")
    return "\n".join(lines)


def _plan(path: str) -> Any:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{'standard input' if path == '-' else path} is no JSON", cause=str(error)) from None
