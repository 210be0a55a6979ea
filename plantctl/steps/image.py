"""Functions behind the image items: Dockerfile, upload, build, push, scan."""

from __future__ import annotations

from plantctl.desired import image as desired
from plantctl.desired import storage as desired_storage
from plantctl.errors import ApiFailure, DeadlineExceeded, GateFailed, OperationFailed, PlantctlError, ProbeFailed
from plantctl.gcp import operations
from plantctl.gcp.resource import Params, is_operation
from plantctl.model.step import Body, Change, Evidence, Finding, Verdict
from plantctl.steps import source
from plantctl.steps.context import Context

BUILD = "backend.image.build"
PUSH = "backend.image.push"
BUILD_DEADLINE_S = 1500.0
BUILDS = "cloudbuild.projects.locations.builds"
RUNNING = frozenset({"PENDING", "QUEUED", "WORKING"})


def check_dockerfile(ctx: Context) -> Finding:
    """A local look; the fact is the source's digest, on which the build depends."""
    root = source.folder(ctx.plant, ctx.base)
    wrong = source.faults(root)
    if wrong:
        hint = f"mend the Dockerfile in the folder that backend.source names ({ctx.plant.backend.source})"
        return Finding(verdict=Verdict.CONFLICT, reason=f"the Dockerfile: {'; '.join(wrong)}", hint=hint)
    return Finding(verdict=Verdict.IN_PLACE, facts={"source": source.pack(root).sha256})


def nothing(ctx: Context, finding: Finding) -> None:
    """There is nothing to write: the check finds IN_PLACE or CONFLICT."""


def verify_dockerfile(ctx: Context) -> Evidence:
    """What the build context holds."""
    packed = source.pack(source.folder(ctx.plant, ctx.base))
    words = (
        f"build context: {packed.files} files, {len(packed.data)} bytes, sha256 {packed.sha256[:16]}",
        "several stages, no root user, exec-form entry point",
    )
    return Evidence(words=words, where="the local Dockerfile")


def _parent(ctx: Context) -> str:
    return f"projects/{ctx.plant.project.id}/locations/{ctx.plant.region}"


def _builds(ctx: Context) -> list[Body]:
    """Builds of this source, newest first, found by their tag (class X)."""
    sha256 = ctx.known("backend.image.dockerfile", "source")
    wanted = f'tags="{desired.source_tag(sha256)}"'
    found = ctx.gcp.list(f"{BUILDS}.list", "builds", parent=_parent(ctx), filter=wanted)
    image = desired.tagged(ctx.plant)
    return [build for build in found if image in build.get("images", [])]


def check_build(ctx: Context) -> Finding:
    """A successful build of this very source under this very tag; one that runs is waited for, not started again."""
    builds = _builds(ctx)
    done = next((build for build in builds if build.get("status") == "SUCCESS"), None)
    if done is not None:
        facts = {"digest": str(done["results"]["images"][0]["digest"]), "build": str(done["id"])}
        return Finding(verdict=Verdict.IN_PLACE, facts=facts)
    if any(build.get("status") in RUNNING for build in builds):
        return Finding(verdict=Verdict.PENDING, reason="the image is being built")
    taken = _tag(ctx)
    if taken is not None:
        hint = "raise backend.version in plant.toml: a tag, once pushed, stays what it was"
        reason = f"{desired.tagged(ctx.plant)} was built from another source"
        return Finding(verdict=Verdict.CONFLICT, reason=reason, hint=hint)
    return Finding(verdict=Verdict.MISSING, changes=(Change(field=desired.tagged(ctx.plant), desired="to be built"),))


def apply_build(ctx: Context, finding: Finding) -> None:
    """Upload (once a content), build, wait."""
    running = next((build for build in _builds(ctx) if build.get("status") in RUNNING), None)
    if running is not None:
        _await_build(ctx, running)
        return
    packed = source.pack(source.folder(ctx.plant, ctx.base))
    generation = _upload(ctx, packed)
    method = f"{BUILDS}.create"
    body = desired.build(ctx.plant, packed.sha256, generation)
    answer = ctx.gcp.call(method, body, parent=_parent(ctx), read_back=lambda: next(iter(_builds(ctx)), None))
    if is_operation(answer):
        operations.wait(ctx.gcp, method, answer, deadline_s=BUILD_DEADLINE_S)
    else:
        _await_build(ctx, answer)


def _await_build(ctx: Context, build: Body) -> None:
    """Wait for a build without its operation (a resume, or a lost answer)."""
    name = f"{_parent(ctx)}/builds/{build['id']}"
    begun = ctx.clock.monotonic()
    while build.get("status") in RUNNING:
        if ctx.clock.monotonic() - begun > BUILD_DEADLINE_S:
            raise DeadlineExceeded(
                f"build {build['id']} did not end within {BUILD_DEADLINE_S:.0f} s",
                cause="it may still succeed: it goes on in the cloud when nobody waits",
                hint=f"look with `{_log_command(ctx, build)}`; the same plantctl command waits on",
            )
        ctx.clock.sleep(ctx.gcp.target.poll_s[0])
        build = ctx.gcp.call(f"{BUILDS}.get", name=name)
    if build.get("status") != "SUCCESS":
        detail = build.get("failureInfo", {}).get("detail", "")
        hint = f"read `{_log_command(ctx, build)}`, mend it, and run again"
        raise OperationFailed(f"build {build['id']} ended {build.get('status')}: {detail}", hint=hint)


def _log_command(ctx: Context, build: Body) -> str:
    return f"gcloud builds log {build['id']} --region {ctx.plant.region} --project {ctx.plant.project.id}"


def _upload(ctx: Context, packed: source.Source) -> str:
    """The generation of the uploaded source; a 412 means that these very bytes are there already."""
    where: Params = {"bucket": ctx.plant.bucket("source"), "name": desired.source_object(packed.sha256)}

    def there() -> Body | None:
        return ctx.gcp.get("storage.objects.get", bucket=where["bucket"], object=where["name"])

    found = there()
    if found is None:
        try:
            found = ctx.gcp.call(
                "storage.objects.insert", {}, upload=packed.data, ifGenerationMatch="0", read_back=there, **where
            )
        except ApiFailure as failure:
            found = there() if failure.code == 412 else None
            if found is None:
                raise
    return str(found["generation"])


def verify_build(ctx: Context) -> Evidence:
    """The registry has the digest that the build says it pushed."""
    digest = ctx.known(BUILD, "digest")
    found = _docker_image(ctx, digest)
    words = (f"build {ctx.known(BUILD, 'build')} made {digest}", f"{found['imageSizeBytes']} bytes in the registry")
    return Evidence(words=words, where="Artifact Registry, dockerImages by digest")


def _docker_image(ctx: Context, digest: str) -> Body:
    found = stored(ctx, digest)
    if found is None:
        raise ProbeFailed(
            f"the registry does not have {digest}",
            hint="raise backend.version in plant.toml: what was built once is not built again under the same tag",
            reference="image-missing",
        )
    return found


def stored(ctx: Context, digest: str) -> Body | None:
    """The image of a digest as the registry keeps it, or None."""
    repository = desired_storage.repository_name(ctx.plant)
    method = "artifactregistry.projects.locations.repositories.dockerImages.get"
    return ctx.gcp.get(method, name=f"{repository}/dockerImages/{ctx.plant.backend.image}@{digest}")


def digest_of_version(ctx: Context) -> str:
    """The digest that the tag of backend.version leads to; empty when there is no such tag."""
    tag = _tag(ctx)
    return str(tag["version"]).rsplit("/", 1)[1] if tag is not None else ""


def versions_by_digest(ctx: Context) -> dict[str, list[str]]:
    """Tags of the image by the digest that they lead to."""
    parent = f"{desired_storage.repository_name(ctx.plant)}/packages/{ctx.plant.backend.image}"
    method = "artifactregistry.projects.locations.repositories.packages.tags.list"
    found: dict[str, list[str]] = {}
    for tag in ctx.gcp.list(method, "tags", parent=parent):
        found.setdefault(str(tag["version"]).rsplit("/", 1)[1], []).append(str(tag["name"]).rsplit("/", 1)[1])
    return found


def _tag(ctx: Context) -> Body | None:
    package = f"{desired_storage.repository_name(ctx.plant)}/packages/{ctx.plant.backend.image}"
    method = "artifactregistry.projects.locations.repositories.packages.tags.get"
    return ctx.gcp.get(method, name=f"{package}/tags/{ctx.plant.backend.version}")


def check_push(ctx: Context) -> Finding:
    """The tag leads to the digest that was built. The push itself is the build's last step."""
    digest = ctx.known(BUILD, "digest")
    tag = _tag(ctx)
    if tag is None and stored(ctx, digest) is None:
        hint = "raise backend.version in plant.toml: what was built once is not built again under the same tag"
        reason = f"the image {digest[:19]} was built and is gone from the registry"
        return Finding(verdict=Verdict.CONFLICT, reason=reason, hint=hint)
    if tag is None:
        change = Change(field=f"tag {ctx.plant.backend.version}", desired=digest)
        hint = f"gcloud artifacts docker tags add {ctx.plant.image_name}@{digest} {desired.tagged(ctx.plant)}"
        hint = f"the tag was deleted by hand: type `{hint}`, or raise backend.version in plant.toml"
        return Finding(verdict=Verdict.CONFLICT, changes=(change,), reason="the image has lost its tag", hint=hint)
    live = str(tag["version"]).rsplit("/", 1)[1]
    if live != digest:
        hint = "raise backend.version in plant.toml: a tag, once pushed, stays what it was"
        reason = f"{ctx.plant.backend.version} is {live[:19]}, not {digest[:19]}"
        return Finding(verdict=Verdict.CONFLICT, reason=reason, hint=hint)
    return Finding(verdict=Verdict.IN_PLACE, facts={"digest": digest})


def verify_push(ctx: Context) -> Evidence:
    """The image lists the tag among its own."""
    digest = ctx.known(PUSH, "digest")
    found = _docker_image(ctx, digest)
    if ctx.plant.backend.version not in found.get("tags", []):
        raise ProbeFailed(f"{digest} does not carry the tag {ctx.plant.backend.version}")
    return Evidence(words=(f"{desired.tagged(ctx.plant)} is {digest}",), where="Artifact Registry, dockerImages")


def _occurrences(ctx: Context, kind: str, digest: str) -> list[Body]:
    wanted = f'kind="{kind}" AND resourceUrl="https://{ctx.plant.image_name}@{digest}"'
    parent = f"projects/{ctx.plant.project.id}"
    return ctx.gcp.list("containeranalysis.projects.occurrences.list", "occurrences", parent=parent, filter=wanted)


def require_scanned(ctx: Context, digest: str) -> None:
    """PlantctlError (`no-candidate`) while the scan of an image has not ended well: the gate would prove nothing."""
    status = _scan_status(ctx, digest)
    if status != "FINISHED_SUCCESS":
        raise PlantctlError(
            f"the scan of {digest[:19]} is {status or 'not started yet'}",
            hint=f"plantctl release build --version {ctx.plant.backend.version}",
            reference="no-candidate",
        )


def _scan_status(ctx: Context, digest: str) -> str:
    found = _occurrences(ctx, "DISCOVERY", digest)
    return str(found[0].get("discovery", {}).get("analysisStatus", "")) if found else ""


def check_scan(ctx: Context) -> Finding:
    """The scan starts by itself after a push; PENDING until it has finished."""
    digest = ctx.known(PUSH, "digest")
    status = _scan_status(ctx, digest)
    if status == "FINISHED_SUCCESS":
        return Finding(verdict=Verdict.IN_PLACE, facts={"scanned": digest})
    if status in ("FINISHED_FAILED", "FINISHED_UNSUPPORTED"):
        hint = f"see why: `gcloud artifacts docker images describe {ctx.plant.image_name}:{ctx.plant.backend.version} "
        hint += "--show-all-metadata`; raise backend.version in plant.toml to have a new image scanned"
        return Finding(verdict=Verdict.CONFLICT, reason=f"the scan ended {status}", hint=hint)
    return Finding(verdict=Verdict.PENDING, reason=f"the scan is {status or 'not started yet'}")


def apply_scan(ctx: Context, finding: Finding) -> None:
    """Wait: nothing is written."""
    begun = ctx.clock.monotonic()
    while check_scan(ctx).verdict is Verdict.PENDING:
        if ctx.clock.monotonic() - begun > 600:
            raise DeadlineExceeded(
                "the image was not scanned within ten minutes",
                cause="containerscanning.googleapis.com is off, or was switched on after the push",
                hint="look: plantctl item show predeploy.project.apis; a new backend.version is scanned when pushed",
            )
        ctx.clock.sleep(ctx.gcp.target.poll_s[0])


def verify_scan(ctx: Context) -> Evidence:
    """The gate, and what else was found."""
    where = "Container Analysis" + (" (findings of the local fixture)" if ctx.gcp.target.local else "")
    return Evidence(words=(pass_gate(ctx, ctx.known(PUSH, "digest")),), where=where)


def pass_gate(ctx: Context, digest: str) -> str:
    """Counts by severity; GateFailed (exit 6) when there is a CRITICAL one for which there is a fix."""
    found = [occurrence["vulnerability"] for occurrence in _occurrences(ctx, "VULNERABILITY", digest)]
    critical = [v for v in found if v.get("effectiveSeverity") == "CRITICAL" and v.get("fixAvailable")]
    if critical:
        names = ", ".join(sorted(str(v.get("shortDescription") or "unnamed") for v in critical))
        raise GateFailed(
            f"the image has {len(critical)} critical vulnerabilities with a fix: {names}",
            cause=f"scan of {digest[:19]}",
            hint="update the packages in backend/requirements.lock, raise backend.version, and run again",
        )
    counts = dict.fromkeys(("CRITICAL", "HIGH", "MEDIUM", "LOW"), 0)
    for vulnerability in found:
        severity = str(vulnerability.get("effectiveSeverity"))
        counts[severity] = counts.get(severity, 0) + 1
    return ", ".join(f"{n} {s.lower()}" for s, n in counts.items())
