"""Cloud Storage objects: uploads with preconditions, downloads, versions, lifecycle on the sandbox's clock.

Bytes lie under `<state>/objects/`, one file a generation; metadata is in the store under
`storage-object/<bucket>/<name>#<generation>`, the live generation marked there.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
from datetime import datetime
from typing import Any
from urllib.parse import quote

from plantctl.sandbox import errors, standard
from plantctl.sandbox.crc32c import crc32c
from plantctl.sandbox.service import Answer, Body, Call, World
from plantctl.sandbox.services.storage import bucket_key, bucket_of, service

PRECONDITION = "At least one of the pre-conditions you specified did not hold."


def put_object(world: World, bucket: str, name: str, data: bytes, content_type: str, **fields: Any) -> Body:
    """Keep a new live generation of an object; the hook by which other services write (exports, logs).

    Raises ApiError 404 where the bucket is missing.
    """
    holder = world.store.get(bucket_key(bucket))
    if holder is None:
        raise errors.not_found("The specified bucket does not exist.")
    with world.store.transaction():
        generation = str(world.store.next_number("storage-generation", int(world.clock.wall() * 1_000_000)))
        retire(world, bucket, name, keep=bool(holder.get("versioning", {}).get("enabled")))
        path = world.state / "objects" / bucket / generation
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        now = world.clock.rfc3339()
        body: Body = {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{generation}",
            "selfLink": f"https://www.googleapis.com/storage/v1/b/{bucket}/o/{quote(name, safe='')}",
            "mediaLink": f"https://storage.googleapis.com/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
            f"?generation={generation}&alt=media",
            "name": name,
            "bucket": bucket,
            "generation": generation,
            "metageneration": "1",
            "contentType": content_type or "application/octet-stream",
            "storageClass": holder["storageClass"],
            "size": str(len(data)),
            "md5Hash": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
            "crc32c": base64.b64encode(crc32c(data).to_bytes(4, "big")).decode(),
            "etag": standard.etag({"generation": generation}),
            "timeCreated": now,
            "updated": now,
            "timeStorageClassUpdated": now,
            **fields,
        }
        world.store.put(f"storage-live/{bucket}/{name}", {"generation": generation})
        return world.store.put(f"storage-object/{bucket}/{name}#{generation}", body)


def live_object(world: World, bucket: str, name: str) -> Body | None:
    """Metadata of the live generation, or None."""
    live = world.store.get(f"storage-live/{bucket}/{name}")
    return world.store.get(f"storage-object/{bucket}/{name}#{live['generation']}") if live else None


def read_object(world: World, bucket: str, name: str, generation: str = "") -> bytes:
    """Bytes of a generation (default: the live one); 404 where there is none."""
    body = _generation(world, bucket, name, generation)
    return (world.state / "objects" / bucket / str(body["generation"])).read_bytes()


def retire(world: World, bucket: str, name: str, *, keep: bool) -> None:
    """The live generation becomes noncurrent (versioned bucket), or goes."""
    body = live_object(world, bucket, name)
    if body is None:
        return
    world.store.delete(f"storage-live/{bucket}/{name}")
    if keep:
        world.store.put(
            f"storage-object/{bucket}/{name}#{body['generation']}", {**body, "timeDeleted": world.clock.rfc3339()}
        )
    else:
        _remove(world, body)


def _remove(world: World, body: Body) -> None:
    world.store.delete(f"storage-object/{body['bucket']}/{body['name']}#{body['generation']}")
    (world.state / "objects" / body["bucket"] / body["generation"]).unlink(missing_ok=True)


def _generation(world: World, bucket: str, name: str, generation: str = "") -> Body:
    found = (
        world.store.get(f"storage-object/{bucket}/{name}#{generation}")
        if generation
        else live_object(world, bucket, name)
    )
    if found is None:
        raise errors.not_found(f"No such object: {bucket}/{name}")
    return found


def _allowed(call: Call, permission: str, bucket: str) -> None:
    if not call.world.access.allows(call.principal, permission, bucket_key(bucket)):
        message = f"{call.email} does not have {permission} access to the Google Cloud Storage object."
        raise errors.denied(f"{message} Permission '{permission}' denied on resource (or it may not exist).")


def _preconditions(call: Call, live: Body | None) -> None:
    wanted = call.params.get("ifGenerationMatch")
    if wanted is not None and str(wanted) != (live["generation"] if live else "0"):
        raise errors.condition_not_met(PRECONDITION)
    unwanted = call.params.get("ifGenerationNotMatch")
    if unwanted is not None and str(unwanted) == (live["generation"] if live else "0"):
        raise errors.condition_not_met(PRECONDITION)
    meta = call.params.get("ifMetagenerationMatch")
    if meta is not None and (live is None or str(meta) != live["metageneration"]):
        raise errors.condition_not_met(PRECONDITION)


@service.method("storage.objects.insert")
def insert_object(call: Call) -> Body:
    """`ifGenerationMatch=0`: only where no live object of that name is, else 412 (hazards section 2, class P)."""
    bucket_of(call)
    bucket, name = str(call.params["bucket"]), str(call.params.get("name") or call.body.get("name") or "")
    if not name:
        raise errors.invalid("Required parameter: name", "name", "required")
    _allowed(call, "storage.objects.create", bucket)
    _preconditions(call, live_object(call.world, bucket, name))
    fields = {k: call.body[k] for k in ("metadata", "cacheControl", "contentEncoding", "customTime") if k in call.body}
    return put_object(
        call.world, bucket, name, call.media or b"", str(call.body.get("contentType") or call.media_type), **fields
    )


@service.method("storage.objects.get")
def get_object(call: Call) -> Body | Answer:
    """Metadata, or the bytes with `alt=media`."""
    bucket_of(call)
    bucket, name = str(call.params["bucket"]), str(call.params["object"])
    _allowed(call, "storage.objects.get", bucket)
    body = _generation(call.world, bucket, name, str(call.params.get("generation") or ""))
    _preconditions(call, body)
    if call.params.get("alt") == "media":
        data = read_object(call.world, bucket, name, body["generation"])
        headers = {"x-goog-generation": body["generation"], "x-goog-hash": f"crc32c={body['crc32c']}"}
        return Answer(data, content_type=body["contentType"], headers=headers)
    return body


@service.method("storage.objects.list")
def list_objects(call: Call) -> Body:
    """By prefix and delimiter; `versions` includes noncurrent generations."""
    bucket_of(call)
    bucket, prefix = str(call.params["bucket"]), str(call.params.get("prefix") or "")
    _allowed(call, "storage.objects.list", bucket)
    found = [b for _, b in call.store.list(f"storage-object/{bucket}/{prefix}")]
    if not call.params.get("versions"):
        found = [b for b in found if "timeDeleted" not in b]
    found.sort(key=lambda b: (b["name"], int(b["generation"])))
    delimiter, prefixes = str(call.params.get("delimiter") or ""), set()
    if delimiter:
        inner = [b for b in found if delimiter in b["name"][len(prefix) :]]
        prefixes = {prefix + b["name"][len(prefix) :].split(delimiter)[0] + delimiter for b in inner}
        found = [b for b in found if b not in inner]
    answer = {"kind": "storage#objects", **standard.page(found, call.params, "items", size_param="maxResults")}
    return {**answer, "prefixes": sorted(prefixes)} if prefixes else answer


@service.method("storage.objects.delete")
def delete_object(call: Call) -> Answer:
    """A named generation goes for good; the live one becomes noncurrent in a versioned bucket."""
    _, holder = bucket_of(call)
    bucket, name = str(call.params["bucket"]), str(call.params["object"])
    _allowed(call, "storage.objects.delete", bucket)
    generation = str(call.params.get("generation") or "")
    body = _generation(call.world, bucket, name, generation)
    _preconditions(call, body)
    if generation:
        if "timeDeleted" not in body:
            call.store.delete(f"storage-live/{bucket}/{name}")
        _remove(call.world, body)
    else:
        retire(call.world, bucket, name, keep=bool(holder.get("versioning", {}).get("enabled")))
    return Answer(b"", status=204)


@service.on("clock-advanced")
def expire(world: World, seconds: float) -> None:
    """Delete what lifecycle rules name (age, daysSinceNoncurrentTime, matchesPrefix), as of the sandbox's now."""
    for _, bucket in world.store.list("storage/b/", direct=True):
        for rule in bucket.get("lifecycle", {}).get("rule", []):
            if rule.get("action", {}).get("type") != "Delete":
                continue
            for _, body in world.store.list(f"storage-object/{bucket['name']}/"):
                if _matches(world, rule.get("condition", {}), body):
                    if "timeDeleted" in body or "daysSinceNoncurrentTime" in rule["condition"]:
                        _remove(world, body)
                    else:
                        keep = bool(bucket.get("versioning", {}).get("enabled"))
                        retire(world, bucket["name"], body["name"], keep=keep)


def _matches(world: World, condition: Body, body: Body) -> bool:
    def days(moment: str) -> float:
        return (world.clock.now() - datetime.fromisoformat(moment.replace("Z", "+00:00"))).total_seconds() / 86400

    if not condition:
        return False
    if "daysSinceNoncurrentTime" in condition and (
        "timeDeleted" not in body or days(body["timeDeleted"]) < condition["daysSinceNoncurrentTime"]
    ):
        return False
    if "age" in condition and days(body["timeCreated"]) < condition["age"]:
        return False
    prefixes = condition.get("matchesPrefix")
    return not prefixes or any(body["name"].startswith(prefix) for prefix in prefixes)


@service.on("reset")
def forget_bytes(world: World) -> None:
    """Remove every stored byte."""
    shutil.rmtree(world.state / "objects", ignore_errors=True)
