"""What instances print and how requests went, into Cloud Logging; many at a time, for each costs a commit."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

from plantctl.sandbox.dataplane.edge import Served
from plantctl.sandbox.dataplane.instance import Instance, Plan
from plantctl.sandbox.service import Body, World
from plantctl.sandbox.services.logging import from_line, write_entry
from plantctl.sandbox.services.run_revisioned import kind_of

KEPT_REQUESTS = 5_000
"""Request entries a project; apart from the rest, so that a load test does not push out what programs said."""
WAITING_LINES = 50_000


class RunLogs:
    """Takes lines from any thread; `flush` is called every 0.2 s on one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines: deque[tuple[str, str, Body]] = deque(maxlen=WAITING_LINES)

    def line(self, key: str, stream: str, text: str) -> None:
        """A line that an instance of this revision printed."""
        entry = from_line(text)
        entry.setdefault("timestamp", self._world.clock.rfc3339())
        self._lines.append((key, stream, entry))

    def ended(self, plan: Plan, instance: Instance) -> None:
        """An instance is gone; said in Cloud Run's system log when nobody asked for it."""
        running = instance.running
        code = running.poll() if running is not None else None
        if running is None or (running.ended_because == "terminated" and not instance.unwell):
            return
        text = f"Container terminated: {instance.unwell}." if instance.unwell else f"Container called exit({code})."
        severity = "WARNING" if code == 0 else "ERROR"
        entry = {"textPayload": text, "severity": severity, "timestamp": self._world.clock.rfc3339()}
        self._lines.append((plan.key, "varlog%2Fsystem", entry))

    def forget(self) -> None:
        """Drop what is not written yet."""
        self._lines.clear()

    def flush(self, served: list[Served]) -> None:
        """Write it, and tell who counts requests."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines and not served:
            return
        world = self._world
        with world.store.transaction():
            for key, stream, entry in lines:
                project = key.split("/")[2]
                head = {"logName": f"projects/{project}/logs/run.googleapis.com%2F{stream}", "resource": _resource(key)}
                write_entry(world, project, head | entry)
            for one in served:
                self._request(one)
                world.fire("request-served", **_facts(one))

    def _request(self, one: Served) -> None:
        world, project = self._world, one.service.split("/")[2]
        at = datetime.fromtimestamp(one.at, UTC) + timedelta(seconds=world.clock.offset_s)
        entry: Body = {
            "logName": f"projects/{project}/logs/run.googleapis.com%2Frequests",
            "resource": _resource(one.revision or f"{one.service}/revisions/"),
            "severity": "ERROR" if one.status >= 500 else "WARNING" if one.status >= 400 else "INFO",
            "timestamp": world.clock.rfc3339(at),
            "trace": f"projects/{project}/traces/{one.trace}",
            "spanId": one.span,
            "httpRequest": {
                "requestMethod": one.method,
                "requestUrl": one.url,
                "requestSize": str(one.request_size),
                "status": one.status,
                "responseSize": str(one.response_size),
                "userAgent": one.user_agent,
                "remoteIp": one.remote_ip,
                "latency": f"{one.latency_s:.6f}s",
                "protocol": one.protocol,
            },
        }
        if one.sampled:
            entry["traceSampled"] = True
        write_entry(world, project, entry, ring="request-", kept=KEPT_REQUESTS)


def _facts(one: Served) -> Body:
    parts = one.service.split("/")
    return {
        "project": parts[2],
        "location": parts[4],
        "service": parts[6],
        "revision": one.revision.rsplit("/", 1)[-1],
        "status": one.status,
        "latency_s": one.latency_s,
    }


def _resource(key: str) -> Body:
    """The monitored resource of a revision (Cloud Logging, monitored resource types)."""
    parts = key.split("/")
    common = {"project_id": parts[2], "location": parts[4], "revision_name": parts[8]}
    if kind_of(key).serves:
        own = {"service_name": parts[6], "configuration_name": parts[6]}
        return {"type": "cloud_run_revision", "labels": common | own}
    return {"type": "cloud_run_worker_pool", "labels": common | {"worker_pool_name": parts[6]}}
