"""Cloud Build v1: a build unpacks the uploaded source, checks the Dockerfile and pushes an image by digest."""

from __future__ import annotations

import re
import uuid
from itertools import pairwise

from plantctl.sandbox import errors, standard
from plantctl.sandbox.dataplane.build_context import BuildError
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, Service, World
from plantctl.sandbox.services import artifactregistry
from plantctl.sandbox.services.logging import write_entry
from plantctl.sandbox.services.storage import bucket_key
from plantctl.sandbox.services.storage_objects import read_object

service = Service("cloudbuild", versions=("v1",))

BUILDS = "cloudbuild.projects.locations.builds"
METADATA = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
DOCKER = "gcr.io/cloud-builders/docker"
OWN_LOGS = {"CLOUD_LOGGING_ONLY", "NONE"}


def _account(call: Call) -> str:
    given = str(call.body.get("serviceAccount") or "")
    if not given:
        # new projects build as the Compute Engine default account (hazards B02)
        return f"{call.world.project_number(call.project)}-compute@developer.gserviceaccount.com"
    return given.rsplit("/", 1)[-1]


@service.method(f"{BUILDS}.create", "cloudbuild.projects.builds.create")
def create_build(call: Call) -> Body:
    """With a service account of one's own the logs need a place of one's own (hazards B01); actAs is checked."""
    body, account = dict(call.body), _account(call)
    project = call.project or call.world.project_id(str(call.params.get("projectId") or ""))
    location = call.name("parent").split("/")[3] if call.params.get("parent") else "global"
    options = body.get("options", {})
    if body.get("serviceAccount"):
        _check_logs(body, options)
        key = f"iam/projects/{project}/serviceAccounts/{account}"
        if key not in call.store:
            raise errors.invalid(f"build.service_account {account} does not exist.")
        if not call.world.access.allows(call.principal, "iam.serviceAccounts.actAs", key):
            raise errors.denied(f"caller does not have permission to act as service account {account}")
    source = body.get("source", {}).get("storageSource")
    if not source:
        raise errors.invalid("The sandbox builds from build.source.storage_source only.", "build.source")
    docker_build(body)
    identity = str(uuid.uuid4())
    now = call.clock.rfc3339()
    build: Body = {
        **body,
        "id": identity,
        "name": f"projects/{call.world.project_number(project)}/locations/{location}/builds/{identity}",
        "projectId": project,
        "status": "QUEUED",
        "createTime": now,
        "queueTtl": body.get("queueTtl", "3600s"),
        "timeout": body.get("timeout", "3600s"),
        "logUrl": f"https://console.cloud.google.com/cloud-build/builds;region={location}/{identity}?project={project}",
        "sourceProvenance": {"resolvedStorageSource": source},
    }
    call.store.put(f"cloudbuild/projects/{project}/locations/{location}/builds/{identity}", build)
    return call.operations.start(
        call,
        kind="lro",
        finisher="cloudbuild.build",
        duration_s=DURATIONS.get(f"{BUILDS}.create", 240.0),
        name=f"projects/{project}/locations/{location}",
        project=project,
        target=f"cloudbuild/projects/{project}/locations/{location}/builds/{identity}",
        metadata={"@type": METADATA, "build": build},
        response_type="type.googleapis.com/google.devtools.cloudbuild.v1.Build",
        args={"account": account, "build": identity, "location": location},
    )


def _check_logs(body: Body, options: Body) -> None:
    bucket = body.get("logsBucket") or options.get("defaultLogsBucketBehavior") == "REGIONAL_USER_OWNED_BUCKET"
    if not bucket and options.get("logging") not in OWN_LOGS:
        message = "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket'"
        raise errors.invalid(
            f"{message}, (b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, "
            "or (c) use either CLOUD_LOGGING_ONLY / NONE logging options"
        )


def docker_build(body: Body) -> tuple[str, dict[str, str]]:
    """(Dockerfile, build arguments) of the one docker step of a build; 400 for steps that the sandbox cannot run."""
    steps = body.get("steps") or []
    if not steps:
        raise errors.invalid("invalid build: invalid build: no build steps specified", "build.steps")
    name, words = str(steps[0].get("name", "")), [str(word) for word in steps[0].get("args") or []]
    if len(steps) > 1 or not name.startswith(DOCKER) or words[:1] != ["build"]:
        raise errors.invalid(f"The sandbox runs one step, {DOCKER} build.", "build.steps")
    dockerfile, arguments = "Dockerfile", {}
    for option, value in pairwise([*words[1:], ""]):
        if option in ("-f", "--file"):
            dockerfile = value
        elif option.startswith("--file="):
            dockerfile = option.split("=", 1)[1]
        elif option == "--build-arg":
            key, _, given = value.partition("=")
            arguments[key] = given
    return dockerfile, arguments


@service.finisher("build", slow=True)
def finish_build(world: World, op: Operation) -> Body:
    """Fetch, build, push, each with the build account's rights; the result names the digest (Build.results)."""
    build = world.store.get(op.target)
    if build is None:
        raise errors.not_found("The build is gone.")
    if build["status"] == "CANCELLED":
        return _cancelled(world, op, build)
    build |= {"status": "WORKING", "startTime": world.clock.rfc3339()}
    world.store.put(op.target, build)
    try:
        image, digest = _run(world, op, build)
    except errors.ApiError as error:
        return _failed(world, op, build, error)
    if (world.store.get(op.target) or build)["status"] == "CANCELLED":
        return _cancelled(world, op, build)
    now = world.clock.rfc3339()
    pushed = [{"name": image, "digest": digest, "pushTiming": {"startTime": now, "endTime": now}}]
    build |= {"status": "SUCCESS", "finishTime": now, "results": {"images": pushed, "buildStepImages": []}}
    world.store.put(op.target, build)
    op.metadata = {"@type": METADATA, "build": build}
    return build


def _cancelled(world: World, op: Operation, build: Body) -> Body:
    build |= {"status": "CANCELLED", "finishTime": world.clock.rfc3339()}
    world.store.put(op.target, build)
    op.metadata = {"@type": METADATA, "build": build}
    raise errors.ApiError("CANCELLED", "Build cancelled")


def _run(world: World, op: Operation, build: Body) -> tuple[str, str]:
    member = f"serviceAccount:{op.args['account']}"
    source = build["source"]["storageSource"]
    bucket, name = source["bucket"], source["object"]
    if not world.access.allows(member, "storage.objects.get", bucket_key(bucket)):
        raise _fault(
            "FETCH_SOURCE_FAILED", f"{op.args['account']} does not have storage.objects.get access to {bucket}/{name}"
        )
    try:
        data = read_object(world, bucket, name, str(source.get("generation") or ""))
    except errors.ApiError as error:
        raise _fault("FETCH_SOURCE_FAILED", error.message) from None
    if world.plane is None:
        raise _fault("LOGGING_FAILURE", "this sandbox runs without a data plane")
    try:
        dockerfile, arguments = docker_build(build)
        built = world.plane.images.build(data, dockerfile=dockerfile, build_args=arguments)
    except BuildError as error:
        _log(world, op, list(error.log_lines))
        raise _fault("USER_BUILD_STEP", str(error)) from None
    _log(world, op, list(built.log_lines))
    image = (build.get("images") or [""])[0]
    match = artifactregistry.IMAGE.fullmatch(image)
    if match is None:
        raise _fault("PUSH_FAILED", f"{image!r} is no Artifact Registry path; Container Registry is shut down")
    repository = f"artifactregistry/projects/{match.group(2)}/locations/{match.group(1)}/repositories/{match.group(3)}"
    if not world.access.allows(member, "artifactregistry.repositories.uploadArtifacts", repository):
        message = (
            f'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "{repository}"'
        )
        raise _fault("PUSH_NOT_AUTHORIZED", message)
    try:
        with world.store.transaction():
            artifactregistry.push(world, image, built.digest, built.size_bytes)
    except errors.ApiError as error:
        raise _fault("PUSH_FAILED", error.message) from None
    return image, built.digest


def _fault(kind: str, detail: str) -> errors.ApiError:
    return errors.ApiError("UNKNOWN", detail, legacy_reason=kind)


def _failed(world: World, op: Operation, build: Body, error: errors.ApiError) -> Body:
    """The build ends FAILURE; the operation's error says only that it failed (hazards B04)."""
    _log(world, op, [f"ERROR: {error.message}"])
    detail = {"type": error.legacy_reason, "detail": error.message}
    build |= {"status": "FAILURE", "finishTime": world.clock.rfc3339(), "failureInfo": detail}
    world.store.put(op.target, build)
    op.metadata = {"@type": METADATA, "build": build}
    raise errors.ApiError("UNKNOWN", "Build failed; check build logs for details")


def _log(world: World, op: Operation, lines: list[str]) -> None:
    resource = {"type": "build", "labels": {"project_id": op.project, "build_id": op.args["build"]}}
    with world.store.transaction():
        for line in lines:
            write_entry(
                world,
                op.project,
                {
                    "logName": f"projects/{op.project}/logs/cloudbuild",
                    "resource": resource,
                    "severity": "ERROR" if line.startswith("ERROR") else "INFO",
                    "textPayload": line,
                },
            )


def _key(call: Call) -> str:
    if call.params.get("name"):
        return f"cloudbuild/{call.name()}"
    project = call.world.project_id(str(call.params["projectId"]))
    return f"cloudbuild/projects/{project}/locations/global/builds/{call.params['id']}"


@service.method(f"{BUILDS}.get", "cloudbuild.projects.builds.get")
def get_build(call: Call) -> Body:
    """One build."""
    found = call.store.get(_key(call))
    if found is None:
        raise errors.not_found("Requested entity was not found.")
    return found


@service.method(f"{BUILDS}.cancel", "cloudbuild.projects.builds.cancel")
def cancel_build(call: Call) -> Body:
    """What has ended stays as it is, and cannot be cancelled (cloudbuild reference)."""
    key = _key(call)
    found = call.store.get(key)
    if found is None:
        raise errors.not_found("Requested entity was not found.")
    if found["status"] not in ("QUEUED", "WORKING"):
        raise errors.failed_precondition("Cannot cancel build that is already finished.")
    return call.store.put(key, {**found, "status": "CANCELLED"})


@service.method(f"{BUILDS}.list", "cloudbuild.projects.builds.list")
def list_builds(call: Call) -> Body:
    """Newest first; `filter` knows `tags="x"` and `status="S"`, joined by AND: how a lost create is looked for."""
    parent = call.name("parent") if call.params.get("parent") else ""
    project = call.world.project_id(str(call.params.get("projectId") or "")) if not parent else ""
    prefix = f"cloudbuild/{parent}/builds/" if parent else f"cloudbuild/projects/{project}/locations/global/builds/"
    found = [body for _, body in reversed(call.store.list(prefix))]
    for term in re.split(r"\s+AND\s+", str(call.params.get("filter") or "")):
        match = re.fullmatch(r'(tags|status)\s*[=:]\s*"?([^"]+)"?', term.strip()) if term else None
        if term and not match:
            raise errors.invalid(f"invalid filter {term!r}", "filter")
        if match:
            field, wanted = match.groups()
            found = [b for b in found if wanted in (b.get("tags", []) if field == "tags" else [b["status"]])]
    return standard.page(found, call.params, "builds")


@service.method("cloudbuild.projects.locations.operations.get", "cloudbuild.operations.get")
def get_operation(call: Call) -> Body:
    """One operation; while it runs, its metadata shows the build as it is."""
    found = call.operations.get(f"operation/cloudbuild/{call.name()}")
    if found is None:
        raise errors.not_found("Requested entity was not found.")
    build = call.store.get(found.target)
    if build is not None and not found.done:
        found.metadata = {"@type": METADATA, "build": build}
    return found.render()
