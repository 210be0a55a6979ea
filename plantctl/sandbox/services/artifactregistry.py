"""Artifact Registry v1: repositories, and the images that builds push (packages, versions, tags, dockerImages)."""

from __future__ import annotations

import re

from plantctl.sandbox import errors, standard
from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, Service, World
from plantctl.sandbox.services.compute_defaults import REGIONS

service = Service("artifactregistry", versions=("v1",))

LOCATIONS = "artifactregistry.projects.locations"
REPOSITORIES = f"{LOCATIONS}.repositories"
MULTI = ("us", "europe", "asia")
REPOSITORY_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
IMMUTABLE = {"format", "mode", "kmsKeyName", "name"}
TYPE = "type.googleapis.com/google.devtools.artifactregistry.v1"
IMAGE = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+)/([^/]+)/([^:@]+)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?")
"""`us-central1-docker.pkg.dev/project/repository/package[:tag][@digest]`."""


def _live(call: Call, name: str) -> tuple[str, Body]:
    key = f"artifactregistry/{name}"
    found = call.store.get(key)
    if found is None:
        raise errors.not_found("Requested entity was not found.")
    return key, found


def _scanning(world: World, project: str, body: Body) -> Body:
    """Enablement state as recorded: off without the scanning API, unsupported for virtual repositories."""
    given = body.get("vulnerabilityScanningConfig", {})
    result: Body = {**given, "lastEnableTime": world.clock.rfc3339()}
    if body["mode"] != "STANDARD_REPOSITORY":
        state, reason = "SCANNING_UNSUPPORTED", f"Repository mode {body['mode']} is not supported."
    elif f"serviceusage/projects/{project}/services/containerscanning.googleapis.com" not in world.store:
        state, reason = "SCANNING_DISABLED", "API containerscanning.googleapis.com is not enabled."
    elif given.get("enablementConfig") == "DISABLED":
        state, reason = "SCANNING_DISABLED", "Scanning is disabled on the repository."
    else:
        state, reason = "SCANNING_ACTIVE", ""
    return {**result, "enablementState": state, **({"enablementStateReason": reason} if reason else {})}


@service.method(f"{REPOSITORIES}.create")
def create_repository(call: Call) -> Body:
    """Format is required; mode is a standard repository unless said."""
    repository_id = str(call.params.get("repositoryId") or "")
    name = f"{call.name('parent')}/repositories/{repository_id}"
    if not REPOSITORY_ID.fullmatch(repository_id):
        raise errors.invalid(f"invalid repository id {repository_id!r}", "repository_id")
    if f"artifactregistry/{name}" in call.store:
        raise errors.already_exists("the repository already exists")
    if not call.body.get("format"):
        raise errors.invalid("repository format is required", "repository.format")
    now = call.clock.rfc3339()
    body: Body = {"mode": "STANDARD_REPOSITORY", **call.body, "name": name, "createTime": now, "updateTime": now}
    body["satisfiesPzi"] = True
    body["vulnerabilityScanningConfig"] = _scanning(call.world, call.project, body)
    return _start(call, name, "create", "Repository", {"body": body})


def _start(call: Call, name: str, verb: str, response: str, args: Body) -> Body:
    kind = f"{TYPE}.{response}" if response else "type.googleapis.com/google.protobuf.Empty"
    return call.operations.start(
        call,
        kind="lro",
        finisher=f"artifactregistry.{verb}",
        duration_s=DURATIONS.get(call.method.id, 10.0),
        name="/".join(name.split("/")[:4]),
        target=f"artifactregistry/{name}",
        metadata={"@type": f"{TYPE}.OperationMetadata"},
        response_type=kind,
        args={"key": f"artifactregistry/{name}", **args},
    )


@service.finisher("create")
def finish_create(world: World, op: Operation) -> Body:
    """The repository is there; the operation's copy lacks the times (recorded exchange)."""
    world.store.put(op.args["key"], op.args["body"])
    return {k: v for k, v in op.args["body"].items() if k not in ("createTime", "updateTime")}


@service.finisher("delete")
def finish_delete(world: World, op: Operation) -> Body:
    """The repository and all it holds go."""
    for key, _ in world.store.list(f"{op.args['key']}/"):
        world.store.delete(key)
    world.store.delete(op.args["key"])
    world.store.delete(f"iam-policy/{op.args['key']}")
    return {}


def _shown(body: Body) -> Body:
    location, project, name = (body["name"].split("/")[i] for i in (3, 1, 5))
    return {**body, "registryUri": f"{location}-docker.pkg.dev/{project}/{name}"}


@service.method(f"{REPOSITORIES}.get")
def get_repository(call: Call) -> Body:
    """One repository, with its registry URI."""
    return _shown(_live(call, call.name())[1])


@service.method(f"{REPOSITORIES}.list")
def list_repositories(call: Call) -> Body:
    """All repositories of a location."""
    found = [
        _shown(b) for _, b in call.store.list(f"artifactregistry/{call.name('parent')}/repositories/", direct=True)
    ]
    return standard.page(found, call.params, "repositories")


@service.method(f"{REPOSITORIES}.patch")
def patch_repository(call: Call) -> Body:
    """By mask; format and mode are immutable."""
    key, live = _live(call, call.name())
    mask = str(call.params.get("updateMask") or "")
    fields = {standard.camel(path).split(".")[0] for path in mask.split(",") if path}
    if fields & IMMUTABLE:
        raise errors.invalid(f"field {sorted(fields & IMMUTABLE)[0]} is immutable", "update_mask")
    changed = standard.masked(live, call.body, mask) | {"name": live["name"], "updateTime": call.clock.rfc3339()}
    if "vulnerabilityScanningConfig" in fields:
        changed["vulnerabilityScanningConfig"] = _scanning(call.world, call.project, changed)
    return call.store.put(key, changed)


@service.method(f"{REPOSITORIES}.delete")
def delete_repository(call: Call) -> Body:
    """Deleted by an operation."""
    _live(call, call.name())
    return _start(call, call.name(), "delete", "", {})


@service.method(f"{LOCATIONS}.list", f"{LOCATIONS}.get", versions=("v1", "v1beta2"))
def locations(call: Call) -> Body:
    """Regions and multi-regions that hold repositories; `gcloud artifacts repositories list` asks for all of them."""
    parent = "/".join(call.name().split("/")[:2])
    found: list[Body] = [
        {"name": f"{parent}/locations/{word}", "locationId": word, "displayName": word} for word in (*MULTI, *REGIONS)
    ]
    if call.method.id.endswith("list"):
        return standard.page(found, call.params, "locations")
    for location in found:
        if location["name"] == call.name():
            return location
    raise errors.not_found(f"Location {call.name()} is not found or access is unauthorized.")


@service.method(f"{LOCATIONS}.operations.get")
def get_operation(call: Call) -> Body:
    """One operation."""
    found = call.operations.get(f"operation/artifactregistry/{call.name()}")
    if found is None:
        raise errors.not_found("Requested entity was not found.")
    return found.render()


def push(world: World, image: str, digest: str, size_bytes: int) -> None:
    """Keep an image under its digest and tag; raises where the repository is missing or the tag is another's.

    With immutable tags a second push of a tag with other content is refused (hazards A04).
    """
    match = IMAGE.fullmatch(image)
    if match is None:
        raise errors.invalid(f"{image} is no Artifact Registry path")
    location, project, repository, package, tag, _ = match.groups()
    name = f"projects/{project}/locations/{location}/repositories/{repository}"
    live = world.store.get(f"artifactregistry/{name}")
    if live is None:
        raise errors.not_found(f'name unknown: Repository "{repository}" not found')
    now = world.clock.rfc3339()
    base = f"artifactregistry/{name}/packages/{package}"
    tag_key = f"{base}/tags/{tag}"
    taken = world.store.get(tag_key) if tag else None
    version = f"{name}/packages/{package}/versions/{digest}"
    if taken and taken["version"] != version and live.get("dockerConfig", {}).get("immutableTags"):
        message = f"cannot update tag {tag}. The repository has enabled tag immutability"
        raise errors.failed_precondition(message)
    if base not in world.store:
        world.store.put(base, {"name": f"{name}/packages/{package}", "createTime": now, "updateTime": now})
    if f"{base}/versions/{digest}" not in world.store:
        body = {"name": version, "createTime": now, "updateTime": now, "metadata": {"imageSizeBytes": str(size_bytes)}}
        world.store.put(f"{base}/versions/{digest}", body)
        if _scanning(world, project, live)["enablementState"] == "SCANNING_ACTIVE":
            # the scan follows the push, and only a push (Artifact Analysis documentation, automatic scanning)
            world.store.put(f"artifact-scan/{version}", {"repository": name, "digest": digest})
    if tag:
        world.store.put(tag_key, {"name": f"{name}/packages/{package}/tags/{tag}", "version": version})


def resolve(world: World, image: str) -> tuple[str, str] | None:
    """(repository's store key, digest) behind a path with tag or digest, or None when it is not there."""
    match = IMAGE.fullmatch(image)
    if match is None:
        return None
    location, project, repository, package, tag, digest = match.groups()
    key = f"artifactregistry/projects/{world.project_id(project)}/locations/{location}/repositories/{repository}"
    if digest is None:
        found = world.store.get(f"{key}/packages/{package}/tags/{tag or 'latest'}")
        digest = found["version"].rsplit("/", 1)[1] if found else ""
    return (key, digest) if f"{key}/packages/{package}/versions/{digest}" in world.store else None


PACKAGES = f"{REPOSITORIES}.packages"


@service.method(f"{PACKAGES}.get", f"{PACKAGES}.versions.get", f"{PACKAGES}.tags.get")
def get_part(call: Call) -> Body:
    """A package, a version or a tag."""
    return _live(call, call.name())[1]


@service.method(f"{PACKAGES}.list", f"{PACKAGES}.versions.list", f"{PACKAGES}.tags.list")
def list_parts(call: Call) -> Body:
    """Packages of a repository, versions or tags of a package."""
    key = call.method.id.split(".")[-2]
    found = [body for _, body in call.store.list(f"artifactregistry/{call.name('parent')}/{key}/", direct=True)]
    return standard.page(found, call.params, key)


def _docker_images(world: World, repository: str) -> list[Body]:
    location, project, name = (repository.split("/")[i] for i in (3, 1, 5))
    found = []
    prefix = f"artifactregistry/{repository}/packages/"
    for key, body in world.store.list(prefix):
        match = re.fullmatch(rf"{re.escape(prefix)}(.+)/versions/(sha256:\w+)", key)
        if not match:
            continue
        package, digest = match.groups()
        tags = [
            t["name"].rsplit("/", 1)[1]
            for _, t in world.store.list(f"{prefix}{package}/tags/")
            if t["version"] == body["name"]
        ]
        uri = f"{location}-docker.pkg.dev/{project}/{name}/{package}@{digest}"
        found.append(
            {
                "name": f"{repository}/dockerImages/{package}@{digest}",
                "uri": uri,
                "tags": tags,
                "imageSizeBytes": body["metadata"]["imageSizeBytes"],
                "uploadTime": body["createTime"],
                "updateTime": body["updateTime"],
                "buildTime": body["createTime"],
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            }
        )
    return found


def scanned_images(world: World, project: str) -> list[Body]:
    """Images of a project whose push was followed by a scan, as `dockerImages` shows them."""
    scans = [scan for _, scan in world.store.list(f"artifact-scan/projects/{project}/")]
    return [
        image
        for repository in dict.fromkeys(scan["repository"] for scan in scans)
        for image in _docker_images(world, repository)
        if any(image["uri"].endswith(f"@{scan['digest']}") for scan in scans)
    ]


@service.method(f"{REPOSITORIES}.dockerImages.list")
def list_docker_images(call: Call) -> Body:
    """Every image by digest, with its tags."""
    return standard.page(_docker_images(call.world, call.name("parent")), call.params, "dockerImages")


@service.method(f"{REPOSITORIES}.dockerImages.get")
def get_docker_image(call: Call) -> Body:
    """One image by digest."""
    repository = call.name().split("/dockerImages/")[0]
    for image in _docker_images(call.world, repository):
        if image["name"] == call.name():
            return image
    raise errors.not_found("Requested entity was not found.")


def _policy_key(call: Call) -> str:
    return _live(call, call.name("resource"))[0]


iam_policy_handlers(
    service,
    (f"{REPOSITORIES}.getIamPolicy", f"{REPOSITORIES}.setIamPolicy", f"{REPOSITORIES}.testIamPermissions"),
    _policy_key,
)
