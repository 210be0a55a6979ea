"""The gRPC port by Google's own clients, unmodified: same handlers, log, faults and errors as by REST."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3, redis_v1, run_v2, secretmanager_v1
from google.cloud.monitoring_v3.types import AlertPolicy, NotificationChannel
from google.rpc import error_details_pb2, status_pb2

from plantctl.sandbox.app import App
from plantctl.sandbox.catalog import Catalog
from plantctl.sandbox.transcode import rpc_names
from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

NAME = f"projects/{PROJECT}"
CREATE = "monitoring.projects.alertPolicies.create"


@pytest.fixture
def channel(sandbox: Sandbox, sandbox_app: App) -> Iterator[grpc.Channel]:
    """A plain channel to the sandbox."""
    with grpc.insecure_channel(sandbox_app.endpoints["grpc"]) as made:
        yield made


def client(kind: Any, channel: grpc.Channel) -> Any:
    """One of Google's clients on the channel."""
    return kind(transport=kind.get_transport_class("grpc")(channel=channel))


def policy(name: str = "memory", **more: Any) -> AlertPolicy:
    """A policy with one threshold."""
    condition = {
        "display_name": "memory is nearly full",
        "condition_threshold": {
            "filter": 'metric.type="redis.googleapis.com/stats/memory/usage_ratio" AND resource.type="redis_instance"',
            "comparison": "COMPARISON_GT",
            "threshold_value": 0.9,
            "duration": {"seconds": 300},
            "aggregations": [{"alignment_period": {"seconds": 300}, "per_series_aligner": "ALIGN_MEAN"}],
        },
    }
    return AlertPolicy({"display_name": name, "combiner": "OR", "conditions": [condition], **more})


def test_a_policy_from_create_to_delete(sandbox: Sandbox, channel: grpc.Channel) -> None:
    policies = client(monitoring_v3.AlertPolicyServiceClient, channel)
    made = policies.create_alert_policy(name=NAME, alert_policy=policy(user_labels={"team": "plant"}))
    assert made.name.startswith(f"{NAME}/alertPolicies/")
    assert made.enabled
    assert made.conditions[0].name.startswith(f"{made.name}/conditions/")
    assert made.conditions[0].condition_threshold.duration.total_seconds() == 300
    assert made.mutation_record.mutated_by == "owner@example.com"
    # one store: what gRPC made, REST shows, in its own words
    shown = sandbox.ok("GET", f"monitoring/v3/{made.name}")
    assert shown["conditions"][0]["conditionThreshold"]["comparison"] == "COMPARISON_GT"
    assert policies.get_alert_policy(name=made.name) == made

    policies.create_alert_policy(name=f"projects/{NUMBER}", alert_policy=policy("other"))
    found = list(policies.list_alert_policies(request={"name": NAME, "filter": 'user_labels.team="plant"'}))
    assert [one.name for one in found] == [made.name]
    pages = policies.list_alert_policies(request={"name": NAME, "page_size": 1})
    assert [one.display_name for one in pages] == ["memory", "other"]

    changed = AlertPolicy(name=made.name, display_name="changed")
    changed = policies.update_alert_policy(alert_policy=changed, update_mask={"paths": ["display_name"]})
    assert (changed.display_name, len(changed.conditions)) == ("changed", 1)
    policies.delete_alert_policy(name=made.name)
    with pytest.raises(exceptions.NotFound):
        policies.get_alert_policy(name=made.name)


def test_a_channel_and_who_uses_it(channel: grpc.Channel) -> None:
    channels = client(monitoring_v3.NotificationChannelServiceClient, channel)
    policies = client(monitoring_v3.AlertPolicyServiceClient, channel)
    given = NotificationChannel(type_="email", display_name="on call", labels={"email_address": "a@example.com"})
    made = channels.create_notification_channel(name=NAME, notification_channel=given)
    assert made.enabled
    policies.create_alert_policy(name=NAME, alert_policy=policy(notification_channels=[made.name]))
    with pytest.raises(exceptions.FailedPrecondition):
        channels.delete_notification_channel(name=made.name)
    channels.delete_notification_channel(name=made.name, force=True)
    assert [list(one.notification_channels) for one in policies.list_alert_policies(name=NAME)] == [[]]
    kinds = channels.list_notification_channel_descriptors(name=NAME)
    assert "email" in [kind.type_ for kind in kinds]


def test_errors_carry_code_reason_and_details(sandbox: Sandbox, channel: grpc.Channel) -> None:
    policies = client(monitoring_v3.AlertPolicyServiceClient, channel)
    with pytest.raises(exceptions.InvalidArgument) as caught:
        policies.create_alert_policy(name=NAME, alert_policy=AlertPolicy(display_name="none", combiner="OR"))
    assert "one to six" in caught.value.message
    assert any(isinstance(one, error_details_pb2.BadRequest) for one in caught.value.details)
    with pytest.raises(exceptions.InvalidArgument):
        policies.get_alert_policy(name="nonsense")
    sandbox.reset(services=["logging"])
    with pytest.raises(exceptions.PermissionDenied) as off:
        policies.list_alert_policies(name=NAME)
    assert off.value.reason == "SERVICE_DISABLED"
    assert off.value.metadata["service"] == "monitoring.googleapis.com"


def test_the_wire_log_tells_of_each_call(sandbox: Sandbox, channel: grpc.Channel) -> None:
    stub = client(monitoring_v3.AlertPolicyServiceClient, channel).transport.create_alert_policy
    stub({"name": NAME, "alert_policy": policy()}, metadata=[("x-goog-request-reason", "plantctl/r/a1")])
    stub = client(monitoring_v3.SnoozeServiceClient, channel).transport.list_snoozes
    with pytest.raises(grpc.RpcError) as gap:
        stub({"parent": NAME})
    assert gap.value.code() is grpc.StatusCode.UNIMPLEMENTED
    made, missing = sandbox.wire()[-2:]
    assert (made["transport"], made["method_id"], made["mutating"], made["status"]) == ("grpc", CREATE, True, 200)
    assert made["reason"] == "plantctl/r/a1"
    assert "grpc-python" in made["user_agent"]
    assert made["resource"] == f"monitoring/{NAME}/alertPolicies"
    assert (missing["method_id"], missing["status"]) == ("monitoring.projects.snoozes.list", 404)


def test_an_rpc_that_nobody_knows_is_refused_and_logged(sandbox: Sandbox, channel: grpc.Channel) -> None:
    for rpc in ("/google.monitoring.v3.AlertPolicyService/Invent", "/nobody.v1.Service/Get", "nonsense"):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(rpc)(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, rpc
    assert [one["status"] for one in sandbox.wire()[-3:]] == [404] * 3


def test_a_planned_status_comes_with_its_reason(sandbox: Sandbox, channel: grpc.Channel) -> None:
    sandbox.faults({"match": CREATE, "do": {"status": 429, "reason": "RATE_LIMIT_EXCEEDED", "retry_after": 7}})
    policies = client(monitoring_v3.AlertPolicyServiceClient, channel)
    with pytest.raises(exceptions.ResourceExhausted) as caught:
        policies.create_alert_policy(name=NAME, alert_policy=policy())
    assert caught.value.reason == "RATE_LIMIT_EXCEEDED"
    assert [one.retry_delay.seconds for one in caught.value.details if hasattr(one, "retry_delay")] == [7]
    assert len(list(policies.list_alert_policies(name=NAME))) == 0


@pytest.mark.parametrize(("when", "left"), [("before", 0), ("after_commit", 1)])
def test_a_broken_connection_tells_nothing_of_the_write(
    sandbox: Sandbox, channel: grpc.Channel, when: str, left: int
) -> None:
    sandbox.faults({"match": CREATE, "when": when, "do": "reset"})
    policies = client(monitoring_v3.AlertPolicyServiceClient, channel)
    with pytest.raises(exceptions.ServiceUnavailable) as caught:
        policies.create_alert_policy(name=NAME, alert_policy=policy())
    assert not caught.value.details
    assert len(list(policies.list_alert_policies(name=NAME))) == left
    (entry,) = [one for one in sandbox.wire() if one["method_id"] == CREATE]
    assert (entry["status"], entry["fault"]) == (None, f"{when} reset")


def test_a_hanging_answer_runs_into_the_deadline(sandbox: Sandbox, channel: grpc.Channel) -> None:
    sandbox.faults({"match": CREATE, "when": "after_commit", "do": "hang:1.5"})
    policies = client(monitoring_v3.AlertPolicyServiceClient, channel)
    began = time.monotonic()
    with pytest.raises(exceptions.DeadlineExceeded):
        policies.create_alert_policy(name=NAME, alert_policy=policy(), timeout=0.3, retry=None)
    assert time.monotonic() - began < 1.4
    assert len(list(policies.list_alert_policies(name=NAME))) == 1


def test_who_calls_is_who_shows_a_token(sandbox: Sandbox, sandbox_app: App, channel: grpc.Channel) -> None:
    email = f"plant-sa@{PROJECT}.iam.gserviceaccount.com"
    token, _ = sandbox_app.world.access.mint(email, "access")
    stub = client(monitoring_v3.AlertPolicyServiceClient, channel).transport.list_alert_policies
    with pytest.raises(grpc.RpcError) as caught:
        stub({"name": NAME}, metadata=[("authorization", f"Bearer {token}")])
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    trailer = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert status_pb2.Status.FromString(trailer).details[0].Is(error_details_pb2.ErrorInfo.DESCRIPTOR)


def test_other_services_need_no_code_of_their_own(sandbox: Sandbox, channel: grpc.Channel) -> None:
    secrets = client(secretmanager_v1.SecretManagerServiceClient, channel)
    secret = secrets.create_secret(parent=NAME, secret_id="S", secret={"replication": {"automatic": {}}})
    version = secrets.add_secret_version(parent=secret.name, payload={"data": b"word"})
    assert secrets.access_secret_version(name=version.name).payload.data == b"word"
    assert [one.name for one in secrets.list_secret_versions(parent=secret.name)] == [version.name]
    binding = {"role": "roles/viewer", "members": ["user:owner@example.com"]}
    policy = secrets.set_iam_policy({"resource": secret.name, "policy": {"bindings": [binding]}})
    assert secrets.get_iam_policy({"resource": secret.name}).etag == policy.etag
    with pytest.raises(exceptions.AlreadyExists):
        secrets.create_secret(parent=NAME, secret_id="S", secret={"replication": {"automatic": {}}})


def test_an_operation_is_waited_for_by_grpc_too(sandbox: Sandbox, channel: grpc.Channel) -> None:
    """One Operations service stands for all APIs; the library waits by it, and reads what the operation packed."""
    jobs = client(run_v2.JobsClient, channel)
    image = f"us-central1-docker.pkg.dev/{PROJECT}/plant/backend@sha256:{'0' * 64}"
    template = {"template": {"containers": [{"image": image}]}}
    place = f"{NAME}/locations/us-central1"
    operation = jobs.create_job(parent=place, job_id="grpc", job={"template": template})
    made = operation.result(timeout=30)
    assert made.name == f"{place}/jobs/grpc"
    assert operation.metadata.name == made.name
    assert jobs.get_job(name=made.name).launch_stage == made.launch_stage
    patched = jobs.update_job(job={"name": made.name, "template": template, "labels": {"a": "b"}}).result(timeout=30)
    assert dict(patched.labels) == {"a": "b"}
    with pytest.raises(exceptions.NotFound):
        jobs.get_job(name=f"{place}/jobs/none")
    methods = [one["method_id"] for one in sandbox.wire()]
    assert "run.projects.locations.operations.get" in methods


def test_every_rpc_of_googles_clients_finds_its_method() -> None:
    """By name alone, so that a method needs no table of its own."""
    catalog = Catalog()
    missing = set()
    for module, (api, version) in {
        monitoring_v3: ("monitoring", "v3"),
        secretmanager_v1: ("secretmanager", "v1"),
        redis_v1: ("redis", "v1"),
        run_v2: ("run", "v2"),
    }.items():
        known = {name for method in catalog.document(api, version).methods for name in rpc_names(method)}
        requests = {name.removesuffix("Request") for name in dir(module) if name.endswith("Request")}
        missing |= requests - known
    assert missing == set()


def test_a_client_with_no_address_of_ours_comes_by_the_proxy(
    sandbox: Sandbox, sandbox_app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As production would: Google's host, TLS, and nothing but the environment that `sandbox env` prints."""
    monkeypatch.setenv("https_proxy", sandbox_app.endpoints["proxy"])
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    roots = grpc.ssl_channel_credentials(Path(sandbox_app.endpoints["ca"]).read_bytes())
    with grpc.secure_channel("monitoring.googleapis.com:443", roots) as channel:
        policies = client(monitoring_v3.AlertPolicyServiceClient, channel)
        assert list(policies.list_alert_policies(name=NAME, timeout=20)) == []
    assert sandbox.wire()[-1]["method_id"] == "monitoring.projects.alertPolicies.list"
