"""Resource Manager v1 and v3: projects on one store key; create is an operation, delete can be undone."""

from __future__ import annotations

import re
from typing import Any

from plantctl.sandbox import errors, projects, standard
from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, Service, World

service = Service("cloudresourcemanager", versions=("v1", "v3"))

P = "cloudresourcemanager.projects"
LABEL = re.compile(r"[a-z0-9_-]{0,63}")
DISPLAY_NAME = re.compile(r"[\w '!-]{4,30}")


@service.method(f"{P}.get")
def get_project(call: Call) -> Body:
    """403 for a project that does not exist (hazards S14)."""
    return _shown(call, _found(call))


@service.method(f"{P}.list")
@service.method(f"{P}.search", versions=("v3",))
def list_projects(call: Call) -> Body:
    """All projects that fit `filter` (v1), `query` (v3) and `parent`."""
    wanted = str(call.params.get("filter") or call.params.get("query") or "")
    bodies = [body for _, body in call.store.list("cloudresourcemanager/projects/", direct=True)]
    if call.params.get("parent"):
        bodies = [body for body in bodies if body.get("parent") == call.params["parent"]]
    if call.method.id.endswith(".list") and call.method.version == "v3" and not call.params.get("showDeleted"):
        bodies = [body for body in bodies if body["state"] == "ACTIVE"]
    shown = [_shown(call, body) for body in bodies if _fits(body, wanted)]
    return standard.page(shown, call.params, "projects")


@service.method(f"{P}.create")
def create_project(call: Call) -> Body:
    """An operation; the project is there when it ends. A taken id answers 409, also one in deletion (hazards S10)."""
    project_id = str(call.body.get("projectId", ""))
    if not projects.PROJECT_ID.fullmatch(project_id):
        raise errors.invalid(
            "field [project_id] has issue [project_id must be at least 6 characters long, at most 30, of lowercase "
            "letters, digits and hyphens, start with a letter and not end with a hyphen]",
            "project_id",
        )
    fields = _given(call)
    if projects.key_of(project_id) in call.store or f"project-pending/{project_id}" in call.store:
        raise errors.already_exists("Requested entity already exists")
    call.store.put(f"project-pending/{project_id}", {"projectId": project_id})
    number = call.store.next_number("operation-cp", 6542000)
    return call.operations.start(
        call,
        kind="lro",
        finisher="cloudresourcemanager.create",
        duration_s=DURATIONS[f"{P}.create"],
        name=f"operations/cp.{number}",
        project=project_id,
        target=projects.key_of(project_id),
        args={"projectId": project_id, "fields": fields, "version": call.method.version, "owner": call.principal},
    )


@service.finisher("create")
def finish_create(world: World, op: Operation) -> Body:
    """The project, with its creator as owner, and the default services on."""
    project_id = op.args["projectId"]
    world.store.delete(f"project-pending/{project_id}")
    body = world.store.get(projects.key_of(project_id))
    if body is None:
        body = projects.create(world, project_id, **op.args["fields"])
        binding = {"role": "roles/owner", "members": [op.args["owner"]]}
        policy = {"version": 1, "etag": standard.etag(binding), "bindings": [binding]}
        world.store.put(f"iam-policy/{projects.key_of(project_id)}", policy)
        for word in projects.DEFAULT_SERVICES:
            projects.enable(world, project_id, f"{word}.googleapis.com")
        world.fire("project-created", project=project_id, origin="api")
    version = op.args["version"]
    word = "ProjectCreationStatus" if version == "v1" else "CreateProjectMetadata"
    kind = f"type.googleapis.com/google.cloud.resourcemanager.{version}"
    if version == "v1":
        kind = "type.googleapis.com/google.cloudresourcemanager.v1"
    op.metadata = {"@type": f"{kind}.{word}", "gettable": True, "ready": True}
    if version == "v3":
        op.metadata["createTime"] = body["createTime"]
    op.response_type = f"{kind}.Project"
    return shape(body, version)


@service.failure("create")
def fail_create(world: World, op: Operation) -> None:
    """The id is free again."""
    world.store.delete(f"project-pending/{op.args['projectId']}")


@service.method(f"{P}.patch", versions=("v3",))
def patch_project(call: Call) -> Body:
    """Display name and labels; an operation that is done at once."""
    body = _found(call)
    changed = standard.masked(body, _given(call), str(call.params.get("updateMask", "")))
    changed["updateTime"] = call.clock.rfc3339()
    call.store.put(projects.key_of(body["projectId"]), changed)
    return _done(call, changed)


@service.method(f"{P}.update", versions=("v1",))
def update_project(call: Call) -> Body:
    """Name, labels and parent, as a whole."""
    body = _found(call)
    kept = {key: value for key, value in body.items() if key not in ("displayName", "labels")}
    changed = {**kept, **_given(call), "updateTime": call.clock.rfc3339()}
    return _shown(call, call.store.put(projects.key_of(body["projectId"]), changed))


@service.method(f"{P}.delete")
def delete_project(call: Call) -> Body:
    """The project stays 30 days in DELETE_REQUESTED, and so does its id."""
    body = _found(call)
    if body["state"] != "ACTIVE":
        raise errors.failed_precondition("Cannot delete an inactive project.")
    _state(call, body, "DELETE_REQUESTED")
    call.world.fire("project-deleted", project=body["projectId"])
    return {} if call.method.version == "v1" else _done(call, _found(call))


@service.method(f"{P}.undelete")
def undelete_project(call: Call) -> Body:
    """Back to ACTIVE."""
    body = _found(call)
    if body["state"] != "DELETE_REQUESTED":
        raise errors.failed_precondition("Cannot restore an active project.")
    _state(call, body, "ACTIVE")
    return {} if call.method.version == "v1" else _done(call, _found(call))


@service.method(f"{P}.getAncestry", versions=("v1",))
def get_ancestry(call: Call) -> Body:
    """The project itself, then its parent."""
    body = _found(call)
    chain = [{"resourceId": {"type": "project", "id": body["projectId"]}}]
    kind, _, number = str(body.get("parent", "")).partition("/")
    if number:
        chain.append({"resourceId": {"type": kind.removesuffix("s"), "id": number}})
    return {"ancestor": chain}


@service.method("cloudresourcemanager.operations.get")
def get_operation(call: Call) -> Body:
    """One operation of either version."""
    found = call.operations.get(f"operation/cloudresourcemanager/{call.params['name']}")
    if found is None:
        raise errors.not_found("Requested entity was not found.")
    return found.render()


def shape(body: Body, version: str) -> Body:
    """The stored project as a version writes it."""
    if version == "v3":
        named = {"name": f"projects/{body['projectNumber']}"}
        fields = ("parent", "projectId", "state", "displayName", "createTime", "updateTime", "deleteTime", "labels")
        shown = {**named, **{field: body[field] for field in fields if body.get(field)}}
        return {**shown, "etag": standard.etag(shown)}
    answer: Body = {
        "projectNumber": body["projectNumber"],
        "projectId": body["projectId"],
        "lifecycleState": body["state"],
        "createTime": body["createTime"],
    }
    if body.get("displayName"):
        answer["name"] = body["displayName"]
    if body.get("labels"):
        answer["labels"] = body["labels"]
    if body.get("parent"):
        kind, _, number = str(body["parent"]).partition("/")
        answer["parent"] = {"type": kind.removesuffix("s"), "id": number}
    return answer


def _shown(call: Call, body: Body) -> Body:
    return shape(body, call.method.version)


def _id(call: Call) -> str:
    named = call.params.get("projectId") or call.params.get("name") or call.params.get("resource") or ""
    return call.world.project_id(str(named).removeprefix("projects/"))


def _found(call: Call) -> Body:
    project_id = _id(call)
    body = call.store.get(projects.key_of(project_id))
    if body is None:
        if call.method.version == "v1":
            raise errors.denied("The caller does not have permission")
        verb = call.method.id.rsplit(".", 1)[-1]
        permission = f"resourcemanager.projects.{'update' if verb == 'patch' else verb}"
        where = f"//cloudresourcemanager.googleapis.com/projects/{project_id}"
        raise errors.denied(f"Permission '{permission}' denied on resource '{where}' (or it may not exist).")
    return body


def _given(call: Call) -> Body:
    given = call.body
    fields: dict[str, Any] = {}
    name = given.get("displayName") or given.get("name")
    if (name and call.method.version == "v1") or given.get("displayName"):
        if not DISPLAY_NAME.fullmatch(str(name)):
            raise errors.invalid("field [display_name] has issue [must be 4 to 30 characters]", "display_name")
        fields["displayName"] = name
    parent = given.get("parent")
    if isinstance(parent, dict):
        parent = f"{parent.get('type', '')}s/{parent.get('id', '')}"
    if parent:
        fields["parent"] = parent
    labels = given.get("labels") or {}
    if any(not LABEL.fullmatch(str(part)) for pair in labels.items() for part in pair) or len(labels) > 256:
        raise errors.invalid("field [labels] has issue [keys and values are lowercase letters, digits, _ and -]")
    if labels:
        fields["labels"] = labels
    return fields


def _state(call: Call, body: Body, state: str) -> None:
    body = {key: value for key, value in body.items() if key != "deleteTime"}
    body["state"] = state
    if state == "DELETE_REQUESTED":
        body["deleteTime"] = call.clock.rfc3339()
    call.store.put(projects.key_of(body["projectId"]), body)


def _done(call: Call, body: Body) -> Body:
    verb = call.method.id.rsplit(".", 1)[-1]
    word = {"patch": "Update", "delete": "Delete", "undelete": "Undelete"}[verb]
    kind = "type.googleapis.com/google.cloud.resourcemanager.v3"
    return call.operations.start(
        call,
        kind="lro",
        finisher="cloudresourcemanager.show",
        duration_s=DURATIONS[f"{P}.delete"],
        name=f"operations/{word[0].lower()}p.{call.store.next_number('operation-cp', 6542000)}",
        project=body["projectId"],
        target=projects.key_of(body["projectId"]),
        metadata={"@type": f"{kind}.{word}ProjectMetadata"},
        response_type=f"{kind}.Project",
    )


@service.finisher("show")
def finish_show(world: World, op: Operation) -> Body:
    """The project as it is when the operation ends."""
    return shape(world.store.get(op.target) or {}, "v3")


def _fits(body: Body, wanted: str) -> bool:
    names = {"lifecyclestate": "state", "state": "state", "id": "projectId", "projectid": "projectId"}
    for term in re.split(r"\s+(?:AND\s+)?", wanted.strip()):
        key, sep, value = re.sub(r"[()]", "", term).partition(":" if ":" in term else "=")
        if not sep:
            continue
        field = names.get(key.lower(), key)
        have = body.get("labels", {}).get(key[7:]) if key.startswith("labels.") else body.get(field)
        plain = value.strip('"')
        fits = have is not None and (plain == "*" or str(have).lower() == plain.lower().rstrip("*"))
        if not fits and not (plain.endswith("*") and str(have or "").startswith(plain[:-1])):
            return False
    return True


iam_policy_handlers(
    service,
    (f"{P}.getIamPolicy", f"{P}.setIamPolicy", f"{P}.testIamPermissions"),
    lambda call: projects.key_of(_found(call)["projectId"]),
)
