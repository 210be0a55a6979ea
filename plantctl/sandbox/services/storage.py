"""Cloud Storage JSON API v1: buckets, their policies, and the world's hook for objects (see storage_objects.py)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from plantctl.sandbox import errors, standard
from plantctl.sandbox.access import get_policy, set_policy
from plantctl.sandbox.service import Answer, Body, Call, Service

service = Service("storage", versions=("v1",))

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
"""3 to 63 characters (storage documentation, bucket naming; dotted names up to 222 are not served here)."""
MULTI_REGIONS = frozenset({"US", "EU", "ASIA"})
OUTPUT_ONLY = frozenset(
    {"id", "selfLink", "kind", "projectNumber", "metageneration", "generation", "timeCreated", "updated", "etag"}
)


def bucket_key(name: str) -> str:
    """Buckets are global: their key holds no project."""
    return f"storage/b/{name}"


def bucket_of(call: Call) -> tuple[str, Body]:
    """Key and body of the bucket that the call names; 404 where there is none."""
    key = bucket_key(str(call.params["bucket"]))
    found = call.store.get(key)
    if found is None:
        raise errors.not_found("The specified bucket does not exist.")
    return key, found


def stamp(body: Body) -> Body:
    """The etag of a body after a change."""
    body["etag"] = standard.etag(body)
    return body


@service.method("storage.buckets.insert")
def insert_bucket(call: Call) -> Body:
    """What the server fills in (recorded exchanges): location type, rpo, soft delete of 7 days, generation."""
    name = str(call.body.get("name", ""))
    if not BUCKET_NAME.fullmatch(name):
        raise errors.invalid(f"Invalid bucket name: '{name}'")
    if bucket_key(name) in call.store:
        # the same words for one's own and for somebody else's bucket (hazards H01)
        message = (
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system."
        )
        raise errors.already_exists(f"{message} Please select a different name and try again.", "conflict")
    number = call.world.project_number(call.project)
    now = call.clock.rfc3339()
    location = str(call.body.get("location", "US")).upper()
    body: Body = {k: v for k, v in call.body.items() if k not in OUTPUT_ONLY and v not in ({}, [])}
    body |= {
        "kind": "storage#bucket",
        "id": name,
        "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}",
        "projectNumber": number,
        "location": location,
        "locationType": "multi-region" if location in MULTI_REGIONS else "region",
        "storageClass": call.body.get("storageClass", "STANDARD"),
        "timeCreated": now,
        "updated": now,
        "metageneration": "1",
        "generation": str(int(call.clock.wall() * 1_000_000)),
        "iamConfiguration": iam_configuration(call.body.get("iamConfiguration", {}), call.clock.now()),
        "softDeletePolicy": soft_delete(call.body.get("softDeletePolicy"), now),
    }
    if location in MULTI_REGIONS:
        body["rpo"] = call.body.get("rpo", "DEFAULT")
    else:
        body["satisfiesPZI"] = True  # recorded exchange, us-central1
    if body.get("autoclass", {}).get("enabled"):
        body |= {"autoclass": autoclass(body["autoclass"], now), "storageClass": "STANDARD"}
    if not body.get("lifecycle", {}).get("rule", True):
        body.pop("lifecycle")
    set_policy(call.world, bucket_key(name), default_policy(number))
    call.store.put(f"storage-owner/{name}", {"project": call.project})
    return call.store.put(bucket_key(name), stamp(body))


def iam_configuration(given: Body, now: datetime) -> Body:
    """`bucketPolicyOnly` is the older twin of `uniformBucketLevelAccess`; both are always sent.

    Uniform access can be turned off again for 90 days (storage documentation): `lockedTime` is their end.
    """
    uniform = {"enabled": False, **given.get("uniformBucketLevelAccess", {})}
    if uniform["enabled"]:
        uniform.setdefault("lockedTime", f"{now + timedelta(days=90):%Y-%m-%dT%H:%M:%S.%fZ}")
    else:
        uniform.pop("lockedTime", None)
    return {
        "bucketPolicyOnly": uniform,
        "uniformBucketLevelAccess": uniform,
        "publicAccessPrevention": given.get("publicAccessPrevention", "inherited"),
    }


def soft_delete(given: Body | None, now: str) -> Body:
    """Seven days unless said otherwise; 0 turns it off and has no effective time (recorded exchanges)."""
    seconds = str((given or {}).get("retentionDurationSeconds", "604800"))
    return {"retentionDurationSeconds": seconds} | ({"effectiveTime": now} if seconds != "0" else {})


def autoclass(given: Body, now: str) -> Body:
    """Terminal class NEARLINE by default (recorded exchanges)."""
    terminal = given.get("terminalStorageClass", "NEARLINE")
    return {
        "enabled": True,
        "toggleTime": now,
        "terminalStorageClass": terminal,
        "terminalStorageClassUpdateTime": now,
    }


def default_policy(number: str) -> Body:
    """Legacy bindings that every new bucket has (storage documentation, IAM for buckets)."""
    owners = [f"projectEditor:{number}", f"projectOwner:{number}"]
    return {
        "bindings": [
            {"role": "roles/storage.legacyBucketOwner", "members": owners},
            {"role": "roles/storage.legacyBucketReader", "members": [f"projectViewer:{number}"]},
        ]
    }


@service.method("storage.buckets.get")
def get_bucket(call: Call) -> Body:
    """One bucket."""
    return bucket_of(call)[1]


@service.method("storage.buckets.list")
def list_buckets(call: Call) -> Body:
    """Buckets of a project, by prefix."""
    number = call.world.project_number(call.project)
    prefix = str(call.params.get("prefix", ""))
    found = [b for _, b in call.store.list("storage/b/", direct=True) if b["projectNumber"] == number]
    found = [b for b in found if b["name"].startswith(prefix)]
    return {"kind": "storage#buckets", **standard.page(found, call.params, "items", size_param="maxResults")}


@service.method("storage.buckets.patch", "storage.buckets.update")
def patch_bucket(call: Call) -> Body:
    """Merge patch; arrays replace; null label removes; metageneration counts; location and name are immutable."""
    key, live = bucket_of(call)
    wanted = call.params.get("ifMetagenerationMatch")
    if wanted is not None and str(wanted) != live["metageneration"]:
        raise errors.condition_not_met("At least one of the pre-conditions you specified did not hold.")
    given = {k: v for k, v in call.body.items() if k not in OUTPUT_ONLY}
    for field in ("location", "name"):
        if field in given and str(given[field]).upper() != str(live[field]).upper():
            raise errors.invalid(f"The bucket's {field} cannot be changed.")
        given.pop(field, None)
    now = call.clock.rfc3339()
    changed = standard.merge(live, given)
    if "iamConfiguration" in given:
        changed["iamConfiguration"] = iam_configuration(changed["iamConfiguration"], call.clock.now())
    if "softDeletePolicy" in given:
        changed["softDeletePolicy"] = soft_delete(given["softDeletePolicy"], now)
    if given.get("autoclass", {}).get("enabled"):
        changed["autoclass"] = autoclass({**live.get("autoclass", {}), **given["autoclass"]}, now)
    if not changed.get("lifecycle", {}).get("rule", True):
        changed.pop("lifecycle")
    changed["metageneration"] = str(int(live["metageneration"]) + 1)
    changed["updated"] = now
    call.store.put(key, stamp(changed))
    return changed if call.params.get("projection") == "noAcl" else {**changed, **access_lists(changed)}


def access_lists(body: Body) -> Body:
    """What projection full, the default of patch and update, adds to a bucket without uniform access.

    The lists are those that every bucket begins with (recorded exchange); no method of the sandbox changes them.
    """
    if body["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]:
        return {}
    number, name = body["projectNumber"], body["name"]
    lists: list[Body] = [
        {
            "entity": f"project-{team}-{number}",
            "role": role,
            "projectTeam": {"projectNumber": number, "team": team},
            "etag": standard.etag({"metageneration": body["metageneration"]}),
        }
        for team, role in (("owners", "OWNER"), ("editors", "OWNER"), ("viewers", "READER"))
    ]
    return {
        "acl": [
            {
                **entry,
                "kind": "storage#bucketAccessControl",
                "bucket": name,
                "id": f"{name}/{entry['entity']}",
                "selfLink": f"{body['selfLink']}/acl/{entry['entity']}",
            }
            for entry in lists
        ],
        "defaultObjectAcl": [{**entry, "kind": "storage#objectAccessControl"} for entry in lists],
        "owner": {"entity": f"project-owners-{number}"},
    }


@service.method("storage.buckets.delete")
def delete_bucket(call: Call) -> Answer:
    """409 while it holds objects (hazards H05); 204 without a body."""
    key, live = bucket_of(call)
    if call.store.list(f"storage-object/{live['name']}/"):
        raise errors.ApiError("ABORTED", "The bucket you tried to delete is not empty.", legacy_reason="conflict")
    call.store.delete(key)
    call.store.delete(f"iam-policy/{key}")
    call.store.delete(f"storage-owner/{live['name']}")
    return Answer(b"", status=204)


@service.method("storage.buckets.getIamPolicy")
def get_bucket_policy(call: Call) -> Body:
    """Storage's policies carry `kind` and `resourceId` (discovery)."""
    key, live = bucket_of(call)
    return {
        "kind": "storage#policy",
        "resourceId": f"projects/_/buckets/{live['name']}",
        "version": 1,
        **get_policy(call.world, key),
    }


@service.method("storage.buckets.setIamPolicy")
def set_bucket_policy(call: Call) -> Body:
    """Public members are refused where publicAccessPrevention is enforced (hazards H06); a stale etag answers 412."""
    key, live = bucket_of(call)
    members = {m for b in call.body.get("bindings", []) for m in b.get("members", [])}
    enforced = live["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    if enforced and members & {"allUsers", "allAuthenticatedUsers"}:
        message = "allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced."
        raise errors.ApiError("FAILED_PRECONDITION", message, http=412, legacy_reason="conditionNotMet")
    given = {k: v for k, v in call.body.items() if k not in ("kind", "resourceId")}
    policy = set_policy(call.world, key, given)
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{live['name']}", **policy}


@service.method("storage.buckets.testIamPermissions")
def test_bucket_permissions(call: Call) -> Body:
    """Which of the asked permissions the caller has."""
    key, _ = bucket_of(call)
    asked = call.params.get("permissions") or []
    held = [p for p in asked if call.world.access.allows(call.principal, p, key)]
    return {"kind": "storage#testIamPermissionsResponse", **({"permissions": held} if held else {})}
