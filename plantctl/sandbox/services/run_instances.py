"""What a container of Cloud Run needs before it starts: image, environment, secrets, ways into the network.

Raises in Cloud Run's words what breaks real deployments. Used by executions of jobs, and by revisions of services.
"""

from __future__ import annotations

import base64
import re

from plantctl.sandbox import errors
from plantctl.sandbox.dataplane import samples
from plantctl.sandbox.dataplane.forward import ForwardSet
from plantctl.sandbox.service import Body, World
from plantctl.sandbox.services import artifactregistry
from plantctl.sandbox.services.redis_plane import endpoints

SQL_PORT = 5432
PEERING = "servicenetworking-googleapis-com"
INSTANCE = re.compile(r"sqladmin/projects/[^/]+/instances/[^/]+")


def image_digest(world: World, project: str, image: str) -> str:
    """Digest of the image; 404 when it is not there, 403 when Cloud Run's agent may not pull it (hazards U02, U03)."""
    if samples.is_sample(image):
        return world.plane.images.build(samples.source()).digest if world.plane is not None else ""
    found = artifactregistry.resolve(world, image)
    if found is None:
        raise errors.not_found(f"Image '{image}' not found.")
    key, digest = found
    if key.split("/")[2] != project:  # the agent reads its own project's images without a grant
        agent = f"service-{world.project_number(project)}@serverless-robot-prod.iam.gserviceaccount.com"
        if not world.access.allows(f"serviceAccount:{agent}", "artifactregistry.repositories.downloadArtifacts", key):
            message = f"Google Cloud Run Service Agent {agent} must have permission to read the image, {image}."
            raise errors.denied(message)
    return digest


def environment(world: World, project: str, template: Body, container: Body) -> dict[str, str]:
    """Plain values, and secrets as they are now: the account needs the accessor role on each (hazards U04)."""
    env: dict[str, str] = {}
    for entry in container.get("env", []):
        reference: Body | None = entry.get("valueSource", {}).get("secretKeyRef")
        if reference is None:
            env[entry["name"]] = str(entry.get("value", ""))
        else:
            env[entry["name"]] = read_secret(world, project, template["serviceAccount"], reference).decode()
    return env


def secret_files(world: World, project: str, template: Body, container: Body) -> dict[str, bytes]:
    """Content of every secret file by the path where the container sees it (run v2 reference, SecretVolumeSource)."""
    volumes = {volume["name"]: volume.get("secret") for volume in template.get("volumes", [])}
    files: dict[str, bytes] = {}
    for mount in container.get("volumeMounts", []):
        source = volumes.get(mount["name"])
        if not source:
            continue
        name = str(source["secret"])
        items = source.get("items") or [{"path": name.rsplit("/", 1)[-1], "version": "latest"}]
        for item in items:
            reference = {"secret": name, "version": item.get("version", "latest")}
            content = read_secret(world, project, template["serviceAccount"], reference)
            files[f"{mount['mountPath'].rstrip('/')}/{item['path']}"] = content
    return files


def read_secret(world: World, project: str, account: str, reference: Body) -> bytes:
    """The value of a secretKeyRef for an account; raises in Cloud Run's words when it may not or cannot be read."""
    given = world.canonical(str(reference["secret"]))
    name = given if given.startswith("projects/") else f"projects/{project}/secrets/{given}"
    version = str(reference.get("version") or "latest")
    key = f"secretmanager/{name}"
    shown = f"{name}/versions/{version}"
    if not world.access.allows(f"serviceAccount:{account}", "secretmanager.versions.access", key):
        message = f"Permission denied on secret: {shown} for Revision service account {account}."
        raise errors.denied(
            f"{message} The service account used must be granted the 'Secret Manager Secret Accessor' role "
            "(roles/secretmanager.secretAccessor) at the secret, project or higher level."
        )
    if version == "latest":
        version = str(max((int(k.rsplit("/", 1)[1]) for k, _ in world.store.list(f"{key}/versions/")), default=0))
    found = world.store.get(f"{key}/versions/{version}")
    if found is None or found["state"] != "ENABLED":
        state = f"in {found['state']} state" if found else "not found"
        raise errors.failed_precondition(f"Secret version {shown} is {state}.")
    return base64.b64decode(found["sandboxPayload"])


def open_ways(world: World, project: str, template: Body) -> ForwardSet:
    """Forwarders to the project's private servers, if the template has VPC access and the peering is ACTIVE.

    Every reserved address gets a stand-in: one that leads to the server, or one where nothing listens.
    """
    assert world.plane is not None
    ways = world.plane.forwards()
    network = reachable_network(world, project, template.get("vpcAccess") or {})
    for key, instance in world.store.list(f"sqladmin/projects/{project}/instances/"):
        if not INSTANCE.fullmatch(key):
            continue
        private = [a["ipAddress"] for a in instance.get("ipAddresses", []) if a["type"] == "PRIVATE"]
        if not private:
            continue
        home = str(instance["settings"].get("ipConfiguration", {}).get("privateNetwork", ""))
        port = world.plane.sql_port(project, instance["name"])
        if network and port and world.canonical(home) == network and peered(world, network):
            ways.open(private[0], SQL_PORT, ("127.0.0.1", port))
        else:
            ways.unreachable(private[0])
    for address, port, real in endpoints(world, project, network):
        if real:
            ways.open(address, port, ("127.0.0.1", real))
        else:
            ways.unreachable(address)
    return ways


def reachable_network(world: World, project: str, access: Body) -> str:
    """The network that a template reaches: by a READY connector or by interfaces of its own; empty when none."""
    if access.get("connector"):
        given = world.canonical(str(access["connector"]))
        found = world.store.get(f"vpcaccess/{given}")
        if found is None or found.get("state") != "READY":
            return ""
        name = str(found.get("network", "")).rsplit("/", 1)[-1]
        return f"projects/{given.split('/')[1]}/global/networks/{name}"
    for interface in access.get("networkInterfaces") or []:
        name = str(interface.get("network") or "").rsplit("/", 1)[-1]
        if name:
            return f"projects/{project}/global/networks/{name}"
    return ""


def peered(world: World, network: str) -> bool:
    """True while the network's private services access peering is ACTIVE."""
    live = world.store.get(f"compute/{network}") or {}
    return any(p["name"] == PEERING and p["state"] == "ACTIVE" for p in live.get("peerings", []))
