"""From a revision in the store to its processes: what is looked at before, how an instance starts, who gets traffic."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

from plantctl.sandbox import errors
from plantctl.sandbox.dataplane.instance import DEFAULT_STARTUP, Plan, Probe
from plantctl.sandbox.dataplane.metadata import Identity
from plantctl.sandbox.dataplane.process import Launch
from plantctl.sandbox.dataplane.running import Running
from plantctl.sandbox.service import Body, World
from plantctl.sandbox.services import run_instances
from plantctl.sandbox.services.run_conditions import Failure, refused, unhealthy
from plantctl.sandbox.services.run_revisioned import kind_of
from plantctl.sandbox.services.run_templates import seconds

TAG_OR_DIGEST = re.compile(r"(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$")
DEFAULT_PORT = 8080
"""Cloud Run container contract."""
MANY = 10**6
DEFAULT_MAXIMUM = 100
"""run v2 reference, RevisionScaling."""


def preflight(world: World, project: str, revision: Body) -> Failure | None:
    """What Cloud Run looks at before it starts a container: image, secrets, network (hazards U02 to U06).

    Puts the image's digest into the revision.
    """
    container = revision["containers"][0]
    try:
        digest = run_instances.image_digest(world, project, container["image"])
    except errors.ApiError as error:
        return refused(error, "image")
    # a tag is looked up once: the revision runs this digest, also when the tag has moved on (run v2, ContainerStatus)
    status = {"imageDigest": f"{TAG_OR_DIGEST.sub('', container['image'])}@{digest}"}
    revision["containerStatuses"] = [{"name": container["name"], **status} if container.get("name") else status]
    try:
        run_instances.environment(world, project, revision, container)
        run_instances.secret_files(world, project, revision, container)
    except errors.ApiError as error:
        return refused(error, "secret")
    try:
        _check_network(world, project, revision.get("vpcAccess") or {})
    except errors.ApiError as error:
        return refused(error, "network")
    return None


def _check_network(world: World, project: str, access: Body) -> None:
    connector = str(access.get("connector") or "")
    if connector:
        live = world.store.get(f"vpcaccess/{world.canonical(connector)}")
        if live is None or live.get("state") != "READY":
            raise errors.not_found(  # unverified: Google's words for it
                f"VPC connector {connector} does not exist, is not READY, or Cloud Run has no permission to use it."
            )
    for interface in access.get("networkInterfaces") or []:
        name = str(interface.get("network") or "").rsplit("/", 1)[-1]
        if name and f"compute/projects/{project}/global/networks/{name}" not in world.store:
            raise errors.not_found(f"VPC network projects/{project}/global/networks/{name} does not exist.")


def bring_up(world: World, key: str) -> Failure | None:
    """Start the revision under this key and wait for its health; gives why it is not ready."""
    revision = world.store.get(key)
    if revision is None:
        return Failure(message="The revision was deleted.", reason="REVISION_FAILED")
    project = key.split("/")[2]
    failure = preflight(world, project, revision)
    if failure is not None:
        return failure
    world.store.put(key, revision)
    if world.plane is None:
        return None
    plan = plan_of(world, key, revision)
    started = world.plane.serving.deploy(plan)
    if started.ok:
        return None
    if isinstance(started.error, errors.ApiError):
        return refused(started.error, "secret")
    if started.error is not None:
        return Failure(message=str(started.error), reason="REVISION_FAILED")
    if not plan.serves:
        words = f"The user-provided container failed to start: {started.reason}."  # unverified: Google's words for it
        return Failure(message=words, revision_reason="HEALTH_CHECK_CONTAINER_ERROR")
    return unhealthy(port_of(revision), default_probe=plan.startup.default, logs=revision["logUri"])


def plan_of(world: World, key: str, revision: Body) -> Plan:
    """How the data plane runs a revision."""
    kind, container = kind_of(key), revision["containers"][0]
    port = port_of(revision)
    common = Plan(
        key=key,
        start=_starter(world, key, revision),
        serves=kind.serves,
        startup=_probe(container["startupProbe"], port) if "startupProbe" in container else DEFAULT_STARTUP,
        liveness=_probe(container["livenessProbe"], port) if "livenessProbe" in container else None,
    )
    if not kind.serves:
        return _for_workers(world, revision, common)
    owner = world.store.get(key.rsplit("/revisions/", 1)[0]) or {}
    counts = [(one.get("scaling") or {}).get("maxInstanceCount") for one in (revision, owner)]
    return replace(
        common,
        concurrency=int(revision["maxInstanceRequestConcurrency"]),
        timeout_s=seconds(revision["timeout"]),
        maximum=min(int(count or DEFAULT_MAXIMUM) for count in counts),
    )


def _for_workers(world: World, revision: Body, plan: Plan) -> Plan:
    """Worker pools get no PORT; a probe asks at a port of the container's own.

    Here all containers share this machine's ports: one that is probed, or whose image sets PORT, gets a free one as
    PORT, and its probes ask there.
    """
    digest = revision["containerStatuses"][0]["imageDigest"].rsplit("@", 1)[1]
    named = world.plane is not None and "PORT" in world.plane.images.get(digest).config.env
    own = {k: replace(v, elsewhere=False) for k in ("startup", "liveness") if (v := getattr(plan, k)) is not None}
    probed = plan.liveness is not None or not plan.startup.default
    return replace(plan, **own, listens=named or probed, minimum=1, maximum=MANY)


def port_of(revision: Body) -> int:
    """The container port."""
    ports = revision["containers"][0].get("ports") or [{}]
    return int(ports[0].get("containerPort") or DEFAULT_PORT)


def _probe(given: Body, port: int) -> Probe:
    action = given.get("httpGet") or given.get("tcpSocket") or given.get("grpc") or {}
    # the first look is made at once: an initial delay only makes the deadline longer
    period = float(given["periodSeconds"])
    extra = math.ceil(float(given.get("initialDelaySeconds") or 0) / period)
    return Probe(
        path=str(given["httpGet"].get("path") or "/") if given.get("httpGet") else None,
        period_s=period,
        timeout_s=float(given["timeoutSeconds"]),
        failures=int(given["failureThreshold"]) + extra,
        elsewhere=int(action.get("port") or port) != port,
    )


def _starter(world: World, key: str, revision: Body) -> Callable[[int | None], Running]:
    kind, parts = kind_of(key), key.split("/")
    project, region, owner, name = parts[2], parts[4], parts[6], parts[8]
    container = revision["containers"][0]
    if kind.serves:
        names = {"K_SERVICE": owner, "K_REVISION": name, "K_CONFIGURATION": owner}
    else:  # unverified: the container contract names them so
        names = {"CLOUD_RUN_WORKER_POOL": owner, "CLOUD_RUN_WORKER_POOL_REVISION": name}

    def note(stream: str, line: str) -> None:
        hook = world.hooks.get("run-line")  # looked up late: what a restart resumes may start before it is there
        if hook is not None:
            hook(key, stream, line)

    def start(port: int | None) -> Running:
        if world.plane is None:
            raise errors.failed_precondition("This sandbox runs without a data plane: nothing can be served.")
        # all of it at the start of every instance: a secret's version may be gone since the last one (hazards K02)
        launch = Launch(
            digest=revision["containerStatuses"][0]["imageDigest"].rsplit("@", 1)[1],
            identity=Identity(
                service_account=revision["serviceAccount"],
                project_id=project,
                project_number=world.project_number(project),
                region=region,
            ),
            command=tuple(container.get("command", ())),
            args=tuple(container.get("args", ())),
            env=run_instances.environment(world, project, revision, container) | names,
            files=run_instances.secret_files(world, project, revision, container),
            forwards=run_instances.open_ways(world, project, revision),
            port=port,
            workdir=container.get("workingDir"),
            on_line=note,
        )
        return world.plane.processes.run(launch)

    return start


def targets(world: World, key: str, body: Body) -> tuple[dict[str, int], dict[str, str]]:
    """Percent by revision key, and revision key by tag, of what the service's traffic says now.

    LATEST is the latest revision that is ready; targets that are not ready get nothing.
    """
    latest = body.get("latestReadyRevision")
    given = body.get("traffic") or [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    percents: dict[str, int] = {}
    tags: dict[str, str] = {}
    for target in given:
        name = f"{body['name']}/revisions/{target['revision']}" if target.get("revision") else latest
        if not name or not is_ready(world, f"run/{name}"):
            continue
        if target.get("percent"):
            percents[f"run/{name}"] = percents.get(f"run/{name}", 0) + int(target["percent"])
        if target.get("tag"):
            tags[str(target["tag"])] = f"run/{name}"
    return percents, tags


def is_ready(world: World, key: str) -> bool:
    """Whether the revision got through its start."""
    revision = world.store.get(key) or {}
    return any(c["type"] == "Ready" and c["state"] == "CONDITION_SUCCEEDED" for c in revision.get("conditions", []))


def reachable(world: World, key: str) -> dict[str, int]:
    """Minimum of instances by key of every revision that a request can reach, or that works (worker pools)."""
    body = world.store.get(key)
    if body is None:
        return {}
    if not kind_of(key).serves:
        latest = body.get("latestReadyRevision")
        count = (body.get("scaling") or {}).get("manualInstanceCount")
        return {f"run/{latest}": 1 if count is None else int(count)} if latest else {}
    percents, tags = targets(world, key, body)
    minimum: dict[str, int] = {}
    for one in {*percents, *tags.values()}:
        own = ((world.store.get(one) or {}).get("scaling") or {}).get("minInstanceCount", 0)
        minimum[one] = max(own, _share(body.get("scaling") or {}, percents.get(one, 0)))
    return minimum


def _share(scaling: Body, percent: int) -> int:
    # service-level counts are divided by the traffic (run v2 reference, ServiceScaling)
    manual = scaling.get("scalingMode") == "MANUAL"
    total = scaling.get("manualInstanceCount" if manual else "minInstanceCount") or 0
    return math.ceil(total * percent / 100)
