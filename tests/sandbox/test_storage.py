"""Cloud Storage through Google's client: what a bucket gets, preconditions, uploads, versions, lifecycle, access."""

from __future__ import annotations

import io
from typing import Any

import pytest
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

BUCKET = f"{PROJECT}-plant-source"


@pytest.fixture
def storage(sandbox: Sandbox) -> Any:
    """Google's client; one bucket with uniform access."""
    storage = sandbox.client("storage", "v1")
    uniform = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}
    body = {"name": BUCKET, "location": "us-central1", "iamConfiguration": uniform}
    storage.buckets().insert(project=PROJECT, body=body).execute()
    return storage


def put(storage: Any, name: str, data: bytes = b"bytes", *, resumable: bool = False, **params: Any) -> dict[str, Any]:
    """Upload an object."""
    media = MediaIoBaseUpload(io.BytesIO(data), "text/plain", resumable=resumable, chunksize=256 * 1024)
    request = storage.objects().insert(bucket=BUCKET, body={"name": name}, media_body=media, **params)
    return dict(request.execute())


def refusal(request: Any) -> tuple[int, str]:
    """Status and `errors[].reason` of a request that has to fail."""
    with pytest.raises(HttpError) as caught:
        request.execute()
    return int(caught.value.status_code), str(caught.value.error_details[0]["reason"])


def test_what_a_bucket_gets(storage: Any) -> None:
    # recorded exchanges: location in capitals, a week of soft delete, the end of uniform access's grace
    live = storage.buckets().get(bucket=BUCKET).execute()
    assert (live["location"], live["locationType"], live["projectNumber"]) == ("US-CENTRAL1", "region", NUMBER)
    assert live["softDeletePolicy"]["retentionDurationSeconds"] == "604800"
    assert live["iamConfiguration"]["bucketPolicyOnly"] == live["iamConfiguration"]["uniformBucketLevelAccess"]
    assert live["iamConfiguration"]["uniformBucketLevelAccess"]["lockedTime"]
    assert [b["name"] for b in storage.buckets().list(project=PROJECT).execute()["items"]] == [BUCKET]


def test_a_taken_name_a_wrong_name_and_a_missing_bucket(storage: Any) -> None:
    buckets = storage.buckets()
    assert refusal(buckets.insert(project=PROJECT, body={"name": BUCKET})) == (409, "conflict")  # hazards H01
    assert refusal(buckets.insert(project=PROJECT, body={"name": "No Capitals"}))[0] == 400
    assert refusal(buckets.get(bucket="nowhere-at-all")) == (404, "notFound")


def test_a_patch_merges_counts_and_keeps_to_its_precondition(storage: Any) -> None:
    buckets = storage.buckets()
    body = {"versioning": {"enabled": True}, "labels": {"a": "b"}}
    changed = buckets.patch(bucket=BUCKET, body=body, ifMetagenerationMatch="1").execute()
    assert (changed["metageneration"], changed["labels"]) == ("2", {"a": "b"})
    assert "acl" not in changed
    again = buckets.patch(bucket=BUCKET, body={"labels": {"a": None, "c": "d"}}).execute()
    assert again["labels"] == {"c": "d"}
    assert refusal(buckets.patch(bucket=BUCKET, body=body, ifMetagenerationMatch="1")) == (412, "conditionNotMet")
    assert refusal(buckets.patch(bucket=BUCKET, body={"location": "EU"}))[0] == 400


def test_a_patch_without_uniform_access_answers_the_lists_too(storage: Any) -> None:
    # storage documentation: projection of patch is full by default; recorded exchange
    storage.buckets().insert(project=PROJECT, body={"name": "plain-bucket-1"}).execute()
    changed = storage.buckets().patch(bucket="plain-bucket-1", body={"labels": {"a": "b"}}).execute()
    assert [entry["role"] for entry in changed["acl"]] == ["OWNER", "OWNER", "READER"]
    assert "acl" not in storage.buckets().get(bucket="plain-bucket-1").execute()


@pytest.mark.parametrize("resumable", [False, True], ids=["multipart", "resumable"])
def test_an_upload_comes_back_byte_for_byte(storage: Any, resumable: bool) -> None:
    data = bytes(range(256)) * 4096
    made = put(storage, "a/b.bin", data, resumable=resumable)
    assert (made["size"], made["contentType"]) == (str(len(data)), "text/plain")
    assert storage.objects().get_media(bucket=BUCKET, object="a/b.bin").execute() == data


def test_generation_zero_means_only_where_none_is(storage: Any) -> None:
    first = put(storage, "once", ifGenerationMatch=0)
    with pytest.raises(HttpError) as caught:
        put(storage, "once", ifGenerationMatch=0)
    assert caught.value.status_code == 412
    second = put(storage, "once", b"new", ifGenerationMatch=first["generation"])
    assert int(second["generation"]) > int(first["generation"])


def test_versions_are_kept_where_versioning_is_on(storage: Any) -> None:
    storage.buckets().patch(bucket=BUCKET, body={"versioning": {"enabled": True}}).execute()
    first = put(storage, "kept", b"one")
    put(storage, "kept", b"two")
    old = storage.objects().get_media(bucket=BUCKET, object="kept", generation=first["generation"]).execute()
    assert old == b"one"
    storage.objects().delete(bucket=BUCKET, object="kept").execute()
    assert refusal(storage.objects().get(bucket=BUCKET, object="kept"))[0] == 404
    listed = storage.objects().list(bucket=BUCKET, versions=True).execute()["items"]
    assert len(listed) == 2
    assert all("timeDeleted" in one for one in listed)


def test_lists_by_prefix_delimiter_and_page(storage: Any) -> None:
    for name in ("a/1", "a/2", "b/1", "c"):
        put(storage, name)
    objects = storage.objects()
    found = objects.list(bucket=BUCKET, delimiter="/").execute()
    assert (found["prefixes"], [one["name"] for one in found["items"]]) == (["a/", "b/"], ["c"])
    first = objects.list(bucket=BUCKET, maxResults=3).execute()
    rest = objects.list_next(objects.list(bucket=BUCKET, maxResults=3), first).execute()
    assert [one["name"] for one in first["items"] + rest["items"]] == ["a/1", "a/2", "b/1", "c"]


def test_a_bucket_with_objects_stays(storage: Any) -> None:
    put(storage, "here")
    assert refusal(storage.buckets().delete(bucket=BUCKET)) == (409, "conflict")  # hazards H05
    storage.objects().delete(bucket=BUCKET, object="here").execute()
    storage.buckets().delete(bucket=BUCKET).execute()
    assert refusal(storage.buckets().get(bucket=BUCKET))[0] == 404


def test_lifecycle_rules_fire_on_the_sandboxs_clock(sandbox: Sandbox, storage: Any) -> None:
    rule = {"action": {"type": "Delete"}, "condition": {"age": 7, "matchesPrefix": ["old/"]}}
    storage.buckets().patch(bucket=BUCKET, body={"lifecycle": {"rule": [rule]}}).execute()
    put(storage, "old/one")
    put(storage, "new/one")
    sandbox.ok("PUT", "_sandbox/clock", {"advance_s": 8 * 86400})
    left = storage.objects().list(bucket=BUCKET).execute()["items"]
    assert [one["name"] for one in left] == ["new/one"]


def test_enforced_prevention_refuses_the_public(storage: Any) -> None:
    policy = storage.buckets().getIamPolicy(bucket=BUCKET).execute()
    roles = {binding["role"] for binding in policy["bindings"]}
    assert roles == {"roles/storage.legacyBucketOwner", "roles/storage.legacyBucketReader"}
    policy["bindings"].append({"role": "roles/storage.objectViewer", "members": ["allUsers"]})
    assert refusal(storage.buckets().setIamPolicy(bucket=BUCKET, body=policy))[0] == 412  # hazards H06
    policy["bindings"].pop()
    storage.buckets().setIamPolicy(bucket=BUCKET, body=policy).execute()
    assert refusal(storage.buckets().setIamPolicy(bucket=BUCKET, body=policy))[0] == 412  # its etag is stale now


def test_an_account_reads_objects_only_with_a_role(sandbox: Sandbox, storage: Any) -> None:
    put(storage, "x")
    email = f"plant-build-sa@{PROJECT}.iam.gserviceaccount.com"
    sandbox.ok("POST", f"iam/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "plant-build-sa"})
    token, _ = sandbox.app.world.access.mint(email, "access")
    headers = {"Authorization": f"Bearer {token}"}
    path = f"storage/storage/v1/b/{BUCKET}/o/x"
    assert sandbox.get(path, headers=headers).status_code == 403
    policy = storage.buckets().getIamPolicy(bucket=BUCKET).execute()
    policy["bindings"].append({"role": "roles/storage.objectViewer", "members": [f"serviceAccount:{email}"]})
    storage.buckets().setIamPolicy(bucket=BUCKET, body=policy).execute()
    assert sandbox.get(path, headers=headers).status_code == 200
