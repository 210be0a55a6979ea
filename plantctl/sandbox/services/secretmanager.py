"""Secret Manager v1: secrets, versions, policies. Names carry the project number, as recorded exchanges show."""

from __future__ import annotations

import base64
import re
from datetime import timedelta

from plantctl.sandbox import errors, standard
from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.crc32c import crc32c
from plantctl.sandbox.service import Body, Call, Service

service = Service("secretmanager", versions=("v1",))

SECRETS = "secretmanager.projects.secrets"
SECRET_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
MAX_PAYLOAD = 64 * 1024
"""Bytes (Secret Manager quotas)."""
IMMUTABLE = {"replication", "name", "createTime"}


def _numbered(call: Call, name: str) -> str:
    project = name.split("/")[1]
    return name.replace(f"projects/{project}/", f"projects/{call.world.project_number(project)}/", 1)


def _secret_key(call: Call, param: str) -> str:
    return "secretmanager/" + "/".join(call.name(param).split("/")[:4])


def _secret(call: Call, param: str = "name") -> tuple[str, Body]:
    key = _secret_key(call, param)
    found = call.store.get(key)
    if found is None:
        raise errors.not_found(f"Secret [{_numbered(call, key.removeprefix('secretmanager/'))}] not found.")
    return key, found


@service.method(f"{SECRETS}.create")
def create_secret(call: Call) -> Body:
    """Replication is required; the id is free in case and underscores."""
    secret_id = str(call.params.get("secretId", ""))
    name = f"{call.name('parent')}/secrets/{secret_id}"
    if not SECRET_ID.fullmatch(secret_id):
        raise errors.invalid(f"The provided Secret ID [{secret_id}] does not match the expected format [[a-zA-Z_0-9]+]")
    if f"secretmanager/{name}" in call.store:
        raise errors.already_exists(f"Secret [{_numbered(call, name)}] already exists.")
    if not call.body.get("replication"):
        raise errors.invalid("Secret.replication must be provided.", "secret.replication")
    body: Body = {k: v for k, v in call.body.items() if k not in ("name", "createTime", "etag", "ttl")}
    body |= {"name": _numbered(call, name), "createTime": call.clock.rfc3339(), **_expiry(call)}
    body["etag"] = f'"{standard.etag(body)}"'
    return call.store.put(f"secretmanager/{name}", body)


def _expiry(call: Call) -> Body:
    """`ttl` becomes an expireTime (recorded exchange)."""
    ttl = call.body.get("ttl")
    return {"expireTime": call.clock.rfc3339(call.clock.now() + timedelta(seconds=float(ttl[:-1])))} if ttl else {}


@service.method(f"{SECRETS}.get")
def get_secret(call: Call) -> Body:
    """One secret, without payload."""
    return _secret(call)[1]


@service.method(f"{SECRETS}.list")
def list_secrets(call: Call) -> Body:
    """All secrets of a project; `filter` is a substring of the name or `labels.k=v`."""
    prefix = f"secretmanager/{call.name('parent')}/secrets/"
    found = [body for _, body in call.store.list(prefix, direct=True)]
    wanted = str(call.params.get("filter", ""))
    label = re.fullmatch(r"labels\.([\w-]+)[=:](\S+)", wanted)
    if label:
        found = [body for body in found if body.get("labels", {}).get(label.group(1)) == label.group(2)]
    elif wanted:
        found = [body for body in found if wanted.removeprefix("name:") in body["name"]]
    return {**standard.page(found, call.params, "secrets"), "totalSize": len(found)}


@service.method(f"{SECRETS}.patch")
def patch_secret(call: Call) -> Body:
    """By mask; replication is immutable; a stale etag answers 400 (hazards K04)."""
    key, live = _secret(call)
    mask = str(call.params.get("updateMask", ""))
    if not mask:
        raise errors.invalid("The update mask is required.", "update_mask")
    fields = {standard.camel(path).split(".")[0] for path in mask.split(",")}
    if fields & IMMUTABLE:
        raise errors.invalid(f"Field [{sorted(fields & IMMUTABLE)[0]}] is immutable.", "update_mask")
    _check_etag(call, live)
    changed = standard.masked(live, call.body, mask)
    changed["etag"] = f'"{standard.etag(changed)}"'
    return call.store.put(key, changed)


@service.method(f"{SECRETS}.delete")
def delete_secret(call: Call) -> Body:
    """Versions and policy go with it; a new secret of that name starts at version 1 (hazards K07)."""
    key, _ = _secret(call)
    for child, _body in call.store.list(f"{key}/"):
        call.store.delete(child)
    call.store.delete(key)
    call.store.delete(f"counter/{key}")
    call.store.delete(f"iam-policy/{key}")
    return {}


@service.method(f"{SECRETS}.addVersion")
def add_version(call: Call) -> Body:
    """Each call adds a version: no natural key, so a blind resend duplicates (hazards K05)."""
    key, _ = _secret(call, "parent")
    payload = call.body.get("payload", {})
    data = base64.b64decode(payload.get("data", ""))
    if not data:
        raise errors.invalid("Secret Payload cannot be empty.", "payload")
    if len(data) > MAX_PAYLOAD:
        raise errors.invalid(f"The secret payload is larger than the limit of {MAX_PAYLOAD} bytes.", "payload")
    given = payload.get("dataCrc32c")
    if given is not None and int(given) != crc32c(data):
        raise errors.invalid("The provided payload checksum does not match.", "payload.data_crc32c")
    number = call.store.next_number(key)
    body: Body = {
        "name": f"{_numbered(call, key.removeprefix('secretmanager/'))}/versions/{number}",
        "createTime": call.clock.rfc3339(),
        "state": "ENABLED",
        "replicationStatus": {"automatic": {}},
    }
    body["etag"] = f'"{standard.etag(body)}"'
    if given is not None:
        body["clientSpecifiedPayloadChecksum"] = True
    call.store.put(f"{key}/versions/{number}", {**body, "sandboxPayload": base64.b64encode(data).decode()})
    return body


def _version(call: Call) -> tuple[str, Body]:
    key, _ = _secret(call)
    number = call.name().split("/")[5]
    if number == "latest":  # the newest by number, also when disabled (hazards K02)
        numbers = [int(k.rsplit("/", 1)[1]) for k, _ in call.store.list(f"{key}/versions/")]
        number = str(max(numbers, default=0))
    found = call.store.get(f"{key}/versions/{number}")
    if found is None:
        name = _numbered(call, call.name())
        raise errors.not_found(f"Secret Version [{name}] not found.")
    return f"{key}/versions/{number}", found


def _shown(body: Body) -> Body:
    return {k: v for k, v in body.items() if k != "sandboxPayload"}


@service.method(f"{SECRETS}.versions.get")
def get_version(call: Call) -> Body:
    """One version, without payload."""
    return _shown(_version(call)[1])


@service.method(f"{SECRETS}.versions.list")
def list_versions(call: Call) -> Body:
    """Newest first; `filter=state:ENABLED` as the console sends it."""
    key, _ = _secret(call, "parent")
    found = [_shown(body) for _, body in reversed(call.store.list(f"{key}/versions/"))]
    state = re.fullmatch(r"state[:=](\w+)", str(call.params.get("filter", "")))
    if state:
        found = [body for body in found if body["state"] == state.group(1).upper()]
    return {**standard.page(found, call.params, "versions"), "totalSize": len(found)}


@service.method(f"{SECRETS}.versions.access")
def access_version(call: Call) -> Body:
    """The payload; needs `secretmanager.versions.access`, and the version ENABLED (hazards K02)."""
    key, body = _version(call)
    secret = key.split("/versions/")[0]
    if not call.world.access.allows(call.principal, "secretmanager.versions.access", secret):
        name = call.name()
        raise errors.denied(
            f"Permission 'secretmanager.versions.access' denied for resource '{name}' (or it may not exist)."
        )
    if body["state"] != "ENABLED":
        raise errors.failed_precondition(f"Secret Version [{body['name']}] is in {body['state']} state.")
    data = base64.b64decode(body["sandboxPayload"])
    return {"name": body["name"], "payload": {"data": body["sandboxPayload"], "dataCrc32c": str(crc32c(data))}}


@service.method(f"{SECRETS}.versions.enable", f"{SECRETS}.versions.disable", f"{SECRETS}.versions.destroy")
def switch_version(call: Call) -> Body:
    """DESTROYED is final (hazards K03)."""
    key, body = _version(call)
    _check_etag(call, body)
    if body["state"] == "DESTROYED":
        raise errors.failed_precondition(f"Secret Version [{body['name']}] is in DESTROYED state.")
    body["state"] = {"enable": "ENABLED", "disable": "DISABLED", "destroy": "DESTROYED"}[
        call.method.id.rsplit(".", 1)[1]
    ]
    if body["state"] == "DESTROYED":
        body["destroyTime"] = call.clock.rfc3339()
        body["sandboxPayload"] = ""
    body["etag"] = f'"{standard.etag(_shown(body))}"'
    return _shown(call.store.put(key, body))


def _check_etag(call: Call, live: Body) -> None:
    given = call.body.get("etag")
    if given and standard.stale(given, live["etag"]):
        raise errors.failed_precondition("The etag provided in the request does not match the current etag.")


def _policy_key(call: Call) -> str:
    return _secret(call, "resource")[0]


iam_policy_handlers(
    service,
    (f"{SECRETS}.getIamPolicy", f"{SECRETS}.setIamPolicy", f"{SECRETS}.testIamPermissions"),
    _policy_key,
)
