"""IAM v1: service accounts, their keys and their policies. What a server fills in is from recorded exchanges."""

from __future__ import annotations

import base64
import json
import re
import secrets

from plantctl.sandbox import errors, standard
from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.service import Body, Call, Service

service = Service("iam", versions=("v1",))

ACCOUNTS = "iam.projects.serviceAccounts"
ACCOUNT_ID = re.compile(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])")
"""6 to 30 characters (IAM reference, projects.serviceAccounts.create)."""


def account_key(call: Call, name: str) -> str:
    """Store key of an account named `projects/{p or -}/serviceAccounts/{email or uniqueId}`."""
    project, account = name.split("/")[1], name.split("/")[3]
    if "@" not in account:
        prefix = "iam/projects/" if project == "-" else f"iam/projects/{project}/"
        for key, body in call.store.list(prefix):
            if body.get("uniqueId") == account:
                return key
    if project == "-":  # `-` infers the project from the e-mail (IAM reference)
        project = call.world.project_id(account.partition("@")[2].partition(".")[0])
    return f"iam/projects/{project}/serviceAccounts/{account}"


def _account(call: Call, param: str = "name") -> tuple[str, Body]:
    name = "/".join(call.name(param).split("/")[:4])
    key = account_key(call, name)
    found = call.store.get(key)
    if found is None:
        if name.startswith("projects/-/"):
            # with `-` a missing account answers 403 instead of 404 (IAM reference; gcp-foundation, sa.create)
            email = name.split("/")[3]
            raise errors.denied(
                f"Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist): {email}"
            )
        raise errors.not_found("Unknown service account")
    return key, found


@service.method(f"{ACCOUNTS}.create")
def create_account(call: Call) -> Body:
    """The e-mail is `<accountId>@<project>.iam.gserviceaccount.com`; a taken id answers 409."""
    project = call.name("name").split("/")[1]
    account_id = str(call.body.get("accountId", ""))
    if not ACCOUNT_ID.fullmatch(account_id):
        raise errors.invalid(f'The account ID "{account_id}" does not have a length between 6 and 30.', "account_id")
    email = f"{account_id}@{project}.iam.gserviceaccount.com"
    name = f"projects/{project}/serviceAccounts/{email}"
    if f"iam/{name}" in call.store:
        raise errors.already_exists(f"Service account {account_id} already exists within project projects/{project}.")
    given = call.body.get("serviceAccount", {})
    body: Body = {
        "name": name,
        "projectId": project,
        "uniqueId": str(secrets.randbelow(9 * 10**20) + 10**20),
        "email": email,
        "etag": "",
        "oauth2ClientId": str(secrets.randbelow(9 * 10**20) + 10**20),
        **{field: given[field] for field in ("displayName", "description") if given.get(field)},
    }
    body["etag"] = standard.etag(body)
    # kept beside the body: a new account is not visible to policies at once (hazards I01, I03)
    call.store.put(f"iam-created/{email}", {"scaled": _finite(call.clock.scaled()), "wall": call.clock.wall()})
    return call.store.put(f"iam/{name}", body)


@service.method(f"{ACCOUNTS}.get")
def get_account(call: Call) -> Body:
    """One account, by e-mail or unique id."""
    return _account(call)[1]


@service.method(f"{ACCOUNTS}.list")
def list_accounts(call: Call) -> Body:
    """All accounts of a project."""
    project = call.name("name").split("/")[1]
    found = [body for _, body in call.store.list(f"iam/projects/{project}/serviceAccounts/", direct=True)]
    return standard.page(found, call.params, "accounts")


@service.method(f"{ACCOUNTS}.patch")
def patch_account(call: Call) -> Body:
    """Only displayName and description change; the answer holds just what the mask named (recorded exchange)."""
    key, live = _account(call)
    mask = [standard.camel(part) for part in str(call.body.get("updateMask", "")).split(",") if part]
    if not mask or not set(mask) <= {"displayName", "description"}:
        raise errors.invalid("The update mask names a field that cannot be updated.", "update_mask")
    given = call.body.get("serviceAccount", {})
    if given.get("etag") and standard.stale(given["etag"], live["etag"]):
        raise errors.aborted("There were concurrent changes. Please retry the whole read-modify-write.")
    changed = {field: given.get(field, "") for field in mask}
    live.update(changed)
    live["etag"] = standard.etag(live)
    call.store.put(key, live)
    return {"name": live["name"], **changed}


@service.method(f"{ACCOUNTS}.delete")
def delete_account(call: Call) -> Body:
    """The account goes; policies keep a `deleted:` member (hazards I08)."""
    key, live = _account(call)
    call.store.delete(key)
    call.store.delete(f"iam-created/{live['email']}")
    member = f"serviceAccount:{live['email']}"
    for policy_key, policy in call.store.list("iam-policy/"):
        for binding in policy.get("bindings", []):
            binding["members"] = [
                f"deleted:{m}?uid={live['uniqueId']}" if m == member else m for m in binding.get("members", [])
            ]
        call.store.put(policy_key, policy)
    return {}


@service.method(f"{ACCOUNTS}.disable", f"{ACCOUNTS}.enable")
def switch_account(call: Call) -> Body:
    """Disable or enable."""
    key, live = _account(call)
    if call.method.id.endswith("disable"):
        live["disabled"] = True
    else:
        live.pop("disabled", None)
    call.store.put(key, live)
    return {}


@service.method(f"{ACCOUNTS}.keys.list")
def list_keys(call: Call) -> Body:
    """User-managed keys, and the system-managed one that every account has (IAM reference)."""
    key, live = _account(call)
    found = [{k: v for k, v in body.items() if k != "scaled"} for _, body in call.store.list(f"{key}/keys/")]
    wanted = call.params.get("keyTypes") or []
    if not wanted or "SYSTEM_MANAGED" in wanted:
        found.append(_system_key(live))
    if wanted:
        found = [body for body in found if body["keyType"] in wanted]
    return {"keys": found} if found else {}


@service.method(f"{ACCOUNTS}.keys.create")
def create_key(call: Call) -> Body:
    """The private key is in this one answer only. It is random bytes in the shape of a key file, good for nothing."""
    key, live = _account(call)
    key_id = secrets.token_hex(20)
    body: Body = {
        "name": f"{live['name']}/keys/{key_id}",
        "keyAlgorithm": call.body.get("keyAlgorithm", "KEY_ALG_RSA_2048"),
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": "USER_MANAGED",
        "validAfterTime": call.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "validBeforeTime": "9999-12-31T23:59:59Z",
    }
    call.store.put(f"{key}/keys/{key_id}", body)
    document = {
        "type": "service_account",
        "project_id": live["projectId"],
        "private_key_id": key_id,
        "private_key": secrets.token_urlsafe(64),
        "client_email": live["email"],
        "client_id": live["uniqueId"],
    }
    kind = call.body.get("privateKeyType", "TYPE_GOOGLE_CREDENTIALS_FILE")
    return {
        **body,
        "privateKeyType": kind,
        "privateKeyData": base64.b64encode(json.dumps(document).encode()).decode(),
    }


@service.method(f"{ACCOUNTS}.keys.get")
def get_key(call: Call) -> Body:
    """One key, without its private part."""
    key, _ = _account(call)
    found = call.store.get(f"{key}/keys/{call.name().split('/')[-1]}")
    if found is None:
        raise errors.not_found(f"Key {call.name().split('/')[-1]} not found.")
    return found


@service.method(f"{ACCOUNTS}.keys.delete")
def delete_key(call: Call) -> Body:
    """Remove a key."""
    key, _ = _account(call)
    if call.store.delete(f"{key}/keys/{call.name().split('/')[-1]}") is None:
        raise errors.not_found(f"Key {call.name().split('/')[-1]} not found.")
    return {}


def _system_key(account: Body) -> Body:
    return {
        "name": f"{account['name']}/keys/{account['uniqueId'][:20]}",
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": "SYSTEM_MANAGED",
        "validAfterTime": "2026-01-01T00:00:00Z",
        "validBeforeTime": "2099-01-01T00:00:00Z",
    }


def _finite(scaled: float) -> float:
    return scaled if scaled != float("inf") else 0.0


def _policy_key(call: Call) -> str:
    return _account(call, "resource")[0]


iam_policy_handlers(
    service,
    (f"{ACCOUNTS}.getIamPolicy", f"{ACCOUNTS}.setIamPolicy", f"{ACCOUNTS}.testIamPermissions"),
    _policy_key,
)
