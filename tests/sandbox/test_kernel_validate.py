"""Bodies and parameters against discovery schemas: what passes, in which form, and Google's words for what does not."""

from __future__ import annotations

from typing import Any

import pytest

from plantctl.sandbox import enums, validate
from plantctl.sandbox.catalog import Catalog, Spec
from plantctl.sandbox.errors import ApiError

CATALOG = Catalog()


def spec(api: str, version: str, method_id: str) -> Spec:
    """One method."""
    return CATALOG.document(api, version).methods[method_id]


INSERT = spec("sqladmin", "v1", "sql.instances.insert")
PATCH = spec("sqladmin", "v1", "sql.instances.patch")
LIST = spec("sqladmin", "v1", "sql.instances.list")
JOB = spec("run", "v2", "run.projects.locations.jobs.create")
SECRET = spec("secretmanager", "v1", "secretmanager.projects.secrets.create")
ADD = spec("secretmanager", "v1", "secretmanager.projects.secrets.addVersion")


def refused(method: Spec, body: Any) -> ApiError:
    """The error of a body that does not pass."""
    with pytest.raises(ApiError) as caught:
        validate.body(method, body)
    assert caught.value.http == 400
    return caught.value


def test_names_types_and_numbers_become_googles() -> None:
    given = {
        "name": "x",
        "database_version": "POSTGRES_15",
        "settings": {"data_disk_size_gb": 20, "backupConfiguration": {"transactionLogRetentionDays": "7"}},
    }
    assert validate.body(INSERT, given) == {
        "name": "x",
        "databaseVersion": "POSTGRES_15",
        "settings": {"dataDiskSizeGb": "20", "backupConfiguration": {"transactionLogRetentionDays": 7}},
    }


def test_an_unknown_field_is_named_with_its_place() -> None:
    error = refused(INSERT, {"settings": {"backupConfiguration": {"zz": 1}}})
    assert error.message == (
        "Invalid JSON payload received. Unknown name \"zz\" at 'settings.backupConfiguration': Cannot find field."
    )
    assert error.details[0]["fieldViolations"][0]["field"] == "settings.backupConfiguration"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"settings": {"dataDiskSizeGb": "many"}}, "TYPE_INT64"),
        ({"settings": {"dataDiskSizeGb": str(2**63)}}, "TYPE_INT64"),
        ({"settings": {"backupConfiguration": {"enabled": "yes"}}}, "TYPE_BOOL"),
        ({"name": 5}, "TYPE_STRING"),
        ({"settings": {"databaseFlags": {}}}, "Repeated"),
        ({"settings": []}, "Message"),
        ({"settings": {"availabilityType": "EVERYWHERE"}}, "EVERYWHERE"),
        ({"settings": {"userLabels": {"a": 1}}}, "TYPE_STRING"),
    ],
)
def test_wrong_values(body: Any, words: str) -> None:
    assert words in refused(INSERT, body).message


def test_all_violations_come_at_once() -> None:
    error = refused(INSERT, {"a": 1, "b": 2})
    assert len(error.details[0]["fieldViolations"]) == 2


@pytest.mark.parametrize("payload", ["not base64!", "abc$"])
def test_bytes_timestamps_and_durations(payload: str) -> None:
    assert "TYPE_BYTES" in refused(ADD, {"payload": {"data": payload}}).message
    assert validate.body(ADD, {"payload": {"data": "aGk"}}) == {"payload": {"data": "aGk"}}
    assert "Duration" in refused(SECRET, {"ttl": "5 minutes"}).message
    assert "Timestamp" in refused(SECRET, {"expireTime": "tomorrow"}).message
    assert validate.body(SECRET, {"ttl": "3600s"}) == {"ttl": "3600s"}


def test_null_clears_in_a_patch_and_is_nothing_elsewhere() -> None:
    assert validate.body(PATCH, {"settings": {"tier": None}}) == {"settings": {"tier": None}}
    assert validate.body(INSERT, {"settings": {"tier": None}}) == {"settings": {}}


def test_output_only_fields_are_dropped_from_requests_and_allowed_in_answers() -> None:
    assert validate.body(JOB, {"uid": "mine", "labels": {"a": "b"}}) == {"labels": {"a": "b"}}
    get = spec("run", "v2", "run.projects.locations.jobs.get")
    assert validate.answer(get, {"uid": "x", "generation": "1"}) == []


def test_answers_are_held_to_canonical_forms() -> None:
    get = spec("sqladmin", "v1", "sql.instances.get")
    assert validate.answer(get, {"settings": {"dataDiskSizeGb": 20}})
    assert validate.answer(get, {"settings": {"dataDiskSizeGb": "20"}}) == []
    assert validate.answer(get, {"made_up": 1})


def test_query_parameters_are_typed_and_unknown_ones_refused() -> None:
    pairs = [("maxResults", "5"), ("filter", "x"), ("alt", "json"), ("$alt", "json;enum-encoding=int"), ("key", "k")]
    assert validate.query(LIST, pairs) == {"maxResults": 5, "filter": "x", "alt": "json"}
    with pytest.raises(ApiError, match='Unknown name "zz": Cannot bind query parameter'):
        validate.query(LIST, [("zz", "1")])
    with pytest.raises(ApiError, match="TYPE_UINT32"):
        validate.query(LIST, [("maxResults", "lots")])


def test_repeated_and_boolean_parameters() -> None:
    batch = spec("serviceusage", "v1", "serviceusage.services.batchGet")
    assert validate.query(batch, [("names", "a"), ("names", "b")]) == {"names": ["a", "b"]}
    assert validate.query(JOB, [("validateOnly", "true"), ("job_id", "j")]) == {"validateOnly": True, "jobId": "j"}


def test_enum_numbers_are_the_descriptors_not_discoverys_order() -> None:
    schema = JOB.method.request
    assert enums.to_names("run", "v2", schema, {"launchStage": 4}) == {"launchStage": "GA"}
    assert enums.to_numbers("run", "v2", schema, {"launchStage": "GA"}) == {"launchStage": 4}
    operation = {
        "name": "o",
        "response": {"@type": "type.googleapis.com/google.cloud.run.v2.Job", "launchStage": "BETA"},
        "metadata": {"@type": "type.googleapis.com/google.cloud.run.v2.Job", "launchStage": "GA"},
    }
    numbered = enums.to_numbers("run", "v2", "GoogleLongrunningOperation", operation)
    assert (numbered["response"]["launchStage"], numbered["metadata"]["launchStage"]) == (3, 4)
    tier = {"tier": 3, "persistenceConfig": {"persistenceMode": 2}}
    named = enums.to_names("redis", "v1", "Instance", tier)
    assert named == {"tier": "STANDARD_HA", "persistenceConfig": {"persistenceMode": "RDB"}}
