"""Cloud Run services with the real data plane: served by processes; what fails leaves the old revision serving."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2

from plantctl.sandbox.app import App
from tests.sandbox import plane_kit as kit
from tests.sandbox import run_kit
from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

pytestmark = pytest.mark.dataplane
SECRETS = f"secretmanager/v1/projects/{PROJECT}/secrets"


@pytest.fixture(scope="module")
def box(plane_app: App) -> Iterator[Sandbox]:
    """One world for all tests of this file."""
    box = Sandbox(plane_app)
    box.reset()
    yield box
    box.close()


@pytest.fixture(scope="module")
def image(box: Sandbox) -> str:
    """The toy server."""
    kit.prepare(box)
    return run_kit.image(box)


@pytest.fixture(scope="module")
def served(box: Sandbox, image: str) -> dict[str, Any]:
    """A service with a pinned secret."""
    kit.secret(box, "PASSWORD", "s3cret")
    member = f"serviceAccount:{kit.RUNNER}"
    kit.grant(box, f"{SECRETS}/PASSWORD", "roles/secretmanager.secretAccessor", member)
    return run_kit.made(box, "served", good(image))


def ended(operation: Any) -> Any:
    """What a long-running operation ends with; raises when that is an error."""
    return operation.result(timeout=60)


def secret_env(name: str, version: str = "1") -> dict[str, Any]:
    """A variable from a pinned version."""
    return {"name": "PASSWORD", "valueSource": {"secretKeyRef": {"secret": name, "version": version}}}


def good(image: str, **more: Any) -> dict[str, Any]:
    """The template that works."""
    env = [{"name": "GREETING", "value": "good day"}, secret_env("PASSWORD")]
    return run_kit.template(image, env=env, **more)


def test_googles_client_makes_a_service_that_answers(box: Sandbox, image: str) -> None:
    options = ClientOptions(api_endpoint=f"{box.rest}/run")
    container = run_v2.Container(image=image)
    template = run_v2.RevisionTemplate(containers=[container], service_account=kit.RUNNER)
    with run_v2.ServicesClient(
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        transport="rest",
        client_options=options,
    ) as client:
        asked = run_v2.Service(template=template)
        made = ended(client.create_service(parent=kit.LOCATION, service_id="made", service=asked))
        assert (made.generation, made.observed_generation, made.reconciling) == (1, 1, False)
        assert made.terminal_condition.state is run_v2.Condition.State.CONDITION_SUCCEEDED
        assert made.latest_ready_revision == made.latest_created_revision
        assert made.uri.startswith("https://made-")
        assert f"https://made-{NUMBER}.us-central1.run.app" in made.urls
        filled = made.template
        assert (filled.max_instance_request_concurrency, filled.timeout.seconds) == (80, 300)
        with pytest.raises(exceptions.Conflict):
            client.create_service(parent=kit.LOCATION, service_id="made", service=asked)
        with pytest.raises(exceptions.BadRequest):
            client.create_service(parent=kit.LOCATION, service_id="No", service=asked)
        with run_kit.caller(box) as session:
            assert session.get(f"{made.uri}/any", timeout=30).json()["version"] == "one"
            ended(client.delete_service(name=made.name))
            assert session.get(f"{made.uri}/any", timeout=30).status_code == 404
        with pytest.raises(exceptions.NotFound):
            client.get_service(name=made.name)


def test_an_instance_has_environment_secret_and_the_names_of_the_contract(box: Sandbox, served: dict[str, Any]) -> None:
    with run_kit.caller(box) as session:
        for url in served["urls"]:
            answer = session.get(f"{url}/x", headers={"X-Forwarded-For": "203.0.113.7"}, timeout=30).json()
            env, headers = answer["env"], answer["headers"]
            assert (env["GREETING"], env["PASSWORD"]) == ("good day", "s3cret")
            assert (env["K_SERVICE"], env["K_CONFIGURATION"]) == ("served", "served")
            assert served["latestReadyRevision"].endswith(f"/{env['K_REVISION']}")
            assert headers["x-forwarded-for"] == "203.0.113.7,127.0.0.1"
            trace = headers["traceparent"].split("-")[1]
            assert headers["x-cloud-trace-context"].startswith(f"{trace}/")


def test_a_trace_that_the_caller_began_goes_on(box: Sandbox, served: dict[str, Any]) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with run_kit.caller(box) as session:
        given = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        headers = session.get(served["uri"], headers=given, timeout=30).json()["headers"]
        assert headers["traceparent"].startswith(f"00-{trace}-")
        assert headers["x-cloud-trace-context"].endswith(";o=1")
    (entry,) = run_kit.until(
        lambda: run_kit.logged(box, f'trace="projects/{PROJECT}/traces/{trace}"'),
    )
    assert entry["logName"].endswith("run.googleapis.com%2Frequests")
    assert entry["httpRequest"]["status"] == 200
    labels = entry["resource"]["labels"]
    assert (labels["service_name"], labels["location"]) == ("served", "us-central1")


def test_a_large_body_arrives_whole_and_too_large_a_one_is_refused(box: Sandbox, served: dict[str, Any]) -> None:
    with run_kit.caller(box) as session:
        answer = session.post(served["uri"], data=b"x" * 3_000_000, timeout=30)
        assert answer.json() == {"length": 3_000_000}
        assert session.post(served["uri"], data=b"x" * (33 * 1024 * 1024), timeout=30).status_code == 413
        assert session.head(f"{served['uri']}/health", timeout=30).status_code == 501  # the toy server's own answer


def test_who_may_call(box: Sandbox, served: dict[str, Any]) -> None:
    url, path = served["uri"], f"{run_kit.SERVICES}/served"
    account = f"caller@{PROJECT}.iam.gserviceaccount.com"
    kit.account(box, account)
    token, _ = box.app.world.access.mint(account, "identity", url)
    other, _ = box.app.world.access.mint(account, "identity", "https://elsewhere.example.com")
    none, sa, wrong = (run_kit.caller(box, one) for one in ("", token, other))
    with none, sa, wrong:
        refused = none.get(f"{url}/secret", timeout=30)
        assert refused.status_code == 403
        assert "does not have permission to get URL <code>/secret</code>" in refused.text
        assert sa.get(url, timeout=30).status_code == 403
        assert wrong.get(url, timeout=30).status_code == 401
        kit.grant(box, path, "roles/run.invoker", f"serviceAccount:{account}")
        run_kit.until(lambda: sa.get(url, timeout=30).status_code == 200)
        assert none.get(url, timeout=30).status_code == 403
        kit.grant(box, path, "roles/run.invoker", "allUsers")
        run_kit.until(lambda: none.get(url, timeout=30).status_code == 200)
        box.ok("POST", f"{path}:setIamPolicy", {"policy": {"bindings": []}})
        run_kit.until(lambda: none.get(url, timeout=30).status_code == 403)


def test_ingress_for_load_balancers_alone_shows_nothing_to_the_internet(box: Sandbox, image: str) -> None:
    made = run_kit.made(box, "inner", run_kit.template(image))
    with run_kit.caller(box) as session:
        assert session.get(made["uri"], timeout=30).status_code == 200
        change = {"ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"}
        kit.wait(box, "run", box.ok("PATCH", f"{run_kit.SERVICES}/inner?updateMask=ingress", change))
        run_kit.until(lambda: session.get(made["uri"], timeout=30).status_code == 404)
    after = run_kit.service(box, "inner")
    assert after["latestCreatedRevision"] == made["latestCreatedRevision"]  # no new revision of it


def _barred(image: str) -> dict[str, Any]:
    return run_kit.template(image, env=[secret_env("BARRED")])


FAILURES: dict[str, tuple[Callable[[str], dict[str, Any]], str, str, str]] = {
    "secret access": (_barred, "reason", "SECRETS_ACCESS_CHECK_FAILED", "Permission denied on"),
    "secret version": (
        lambda image: run_kit.template(image, env=[secret_env("PASSWORD", "2")]),
        "reason",
        "SECRETS_ACCESS_CHECK_FAILED",
        "is in DISABLED state",
    ),
    "no such version": (
        lambda image: run_kit.template(image, env=[secret_env("PASSWORD", "99")]),
        "reason",
        "SECRETS_ACCESS_CHECK_FAILED",
        "not found",
    ),
    "image": (
        lambda image: run_kit.template(f"{image.split('@')[0]}@sha256:{'0' * 64}"),
        "reason",
        "CONTAINER_MISSING",
        "not found",
    ),
    "connector": (
        lambda image: run_kit.template(image, vpcAccess={"connector": f"{kit.LOCATION}/connectors/nowhere"}),
        "reason",
        "VPC_NETWORK_NOT_FOUND",
        "connectors/nowhere",
    ),
    "crash": (
        lambda image: run_kit.template(image, env=[{"name": "MODE", "value": "crash"}]),
        "revisionReason",
        "HEALTH_CHECK_CONTAINER_ERROR",
        "failed the configured startup probe",
    ),
    "wrong port": (
        lambda image: run_kit.template(
            image, env=[{"name": "MODE", "value": "wrong-port"}], startupProbe=run_kit.QUICK_PROBE
        ),
        "revisionReason",
        "HEALTH_CHECK_CONTAINER_ERROR",
        "failed the configured startup probe",
    ),
    "port of the probe": (
        lambda image: run_kit.template(
            image,
            ports=[{"containerPort": 8000}],
            startupProbe={**run_kit.QUICK_PROBE, "httpGet": {"path": "/health", "port": 8001}},
        ),
        "revisionReason",
        "HEALTH_CHECK_CONTAINER_ERROR",
        "failed the configured startup probe",
    ),
}


@pytest.fixture(scope="module")
def broken(box: Sandbox, served: dict[str, Any]) -> dict[str, Any]:
    """The secrets that cannot be read: one without the role, one version that is disabled."""
    kit.secret(box, "BARRED", "hidden")
    data = base64.b64encode(b"second").decode()
    box.ok("POST", f"{SECRETS}/PASSWORD:addVersion", {"payload": {"data": data}})
    box.ok("POST", f"{SECRETS}/PASSWORD/versions/2:disable", {})
    return served


@pytest.mark.parametrize("case", FAILURES)
def test_what_fails_says_why_and_the_old_revision_serves_on(
    box: Sandbox, image: str, broken: dict[str, Any], case: str
) -> None:
    template, field, reason, words = FAILURES[case]
    serving = run_kit.service(box, "served")["latestReadyRevision"]
    done = run_kit.deploy(box, "served", template(image))
    assert words in done["error"]["message"]
    after = run_kit.service(box, "served")
    assert after["terminalCondition"]["state"] == "CONDITION_FAILED"
    assert after["terminalCondition"][field] == reason
    assert after["latestReadyRevision"] == serving != after["latestCreatedRevision"]
    failed = box.ok("GET", f"run/v2/{after['latestCreatedRevision']}")
    (ready,) = [c for c in failed["conditions"] if c["type"] == "Ready"]
    assert (ready["state"], ready[field]) == ("CONDITION_FAILED", reason)
    with run_kit.caller(box) as session:
        answer = session.get(broken["uri"], timeout=30).json()
        assert serving.endswith(f"/{answer['env']['K_REVISION']}")
    assert {i["revision"] for i in run_kit.instances(box, "served")} == {serving.rsplit("/", 1)[1]}


def test_without_a_probe_the_words_name_the_port_and_the_log_has_the_exit(box: Sandbox, image: str) -> None:
    template = run_kit.template(image, env=[{"name": "MODE", "value": "crash"}], ports=[{"containerPort": 8000}])
    del template["containers"][0]["startupProbe"]
    done = run_kit.deploy(box, "fresh", template)
    assert "listen on the port defined provided by the PORT=8000 environment variable" in done["error"]["message"]
    after = run_kit.service(box, "fresh")  # the service stays
    assert "latestReadyRevision" not in after
    again = box.post(f"{run_kit.SERVICES}?serviceId=fresh", {"template": template})
    assert (again.status_code, again.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
    wanted = 'resource.labels.service_name="fresh" AND logName:"varlog"'
    (entry,) = run_kit.until(lambda: run_kit.logged(box, wanted))
    assert entry["textPayload"] == "Container called exit(7)."
    (line,) = run_kit.logged(box, 'resource.labels.service_name="fresh" AND logName:"stdout"')
    assert line["textPayload"] == "cannot start: no reason"
    with run_kit.caller(box) as session:
        assert session.get(after["uri"], timeout=30).status_code == 404
    run_kit.made(box, "fresh", run_kit.template(image))


def test_masks_etags_and_dry_runs(box: Sandbox, image: str) -> None:
    first = run_kit.made(box, "masked", run_kit.template(image), labels={"a": "1"})
    path = f"{run_kit.SERVICES}/masked"
    dry = box.ok("PATCH", f"{path}?validateOnly=true&updateMask=labels", {"labels": {"b": "2"}})
    assert dry["response"]["labels"] == {"b": "2"}
    assert run_kit.service(box, "masked") == first
    stale = box.call("PATCH", path, {**first, "etag": '"old"'})
    assert (stale.status_code, stale.json()["error"]["status"]) == (409, "ABORTED")
    kit.wait(box, "run", box.ok("PATCH", f"{path}?updateMask=labels", {"labels": {"b": "2"}}))
    second = run_kit.service(box, "masked")
    assert (second["labels"], second["generation"]) == ({"b": "2"}, "2")
    assert second["latestCreatedRevision"] == first["latestCreatedRevision"]
    kit.wait(box, "run", box.ok("PATCH", f"{path}?updateMask=labels&forceNewRevision=true", {"labels": {}}))
    third = run_kit.service(box, "masked")
    assert third["latestReadyRevision"] != first["latestReadyRevision"]
    name = third["latestReadyRevision"].rsplit("/", 1)[1]
    again = box.call("PATCH", path, {"template": {**run_kit.template(image), "timeout": "60s", "revision": name}})
    assert "with different configuration already exists" in again.json()["error"]["message"]
    revisions = box.ok("GET", f"{path}/revisions")["revisions"]
    assert [r["name"] for r in revisions] == [third["latestReadyRevision"], first["latestReadyRevision"]]
    assert box.call("DELETE", f"run/v2/{third['latestReadyRevision']}").status_code == 400
    kit.wait(box, "run", box.ok("DELETE", f"run/v2/{first['latestReadyRevision']}"))
    assert box.call("GET", f"run/v2/{first['latestReadyRevision']}").status_code == 404
    assert box.call("PATCH", f"{run_kit.SERVICES}/nowhere", {"template": run_kit.template(image)}).status_code == 404


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resources": {"limits": {"cpu": "1", "memory": "8Gi"}}}, "at most 4Gi"),
        ({"resources": {"limits": {"cpu": "500m"}}, "maxInstanceRequestConcurrency": 10}, "less than 1 CPU"),
        ({"timeout": "3601s"}, "between 1s and 3600s"),
        ({"scaling": {"minInstanceCount": 3, "maxInstanceCount": 2}}, "must not be larger"),
        ({"serviceAccount": f"nobody@{PROJECT}.iam.gserviceaccount.com"}, "was not found"),
        ({"startupProbe": {**run_kit.PROBE, "timeoutSeconds": 5}}, "larger than periodSeconds"),
    ],
)
def test_what_cloud_run_does_not_even_try(box: Sandbox, image: str, change: dict[str, Any], words: str) -> None:
    answer = box.call(
        "PATCH", f"{run_kit.SERVICES}/odd?allowMissing=true", {"template": run_kit.template(image, **change)}
    )
    assert 400 <= answer.status_code < 500
    assert words in answer.json()["error"]["message"]


def test_a_later_deployment_does_not_wait_for_one_that_hangs(box: Sandbox, image: str) -> None:
    run_kit.made(box, "hasty", run_kit.template(image))
    hangs = run_kit.template(image, env=[{"name": "MODE", "value": "wrong-port"}])
    hangs["containers"][0]["startupProbe"] = {**run_kit.PROBE, "failureThreshold": 8}
    first = box.ok("PATCH", f"{run_kit.SERVICES}/hasty", {"template": hangs})
    later = run_kit.made(box, "hasty", run_kit.template(image, env=[{"name": "GREETING", "value": "later"}]))
    assert not box.ok("GET", f"run/v2/{first['name']}").get("done")
    done = kit.wait(box, "run", first, 60)
    assert "is not ready" in done["error"]["message"]
    after = run_kit.service(box, "hasty")
    assert after["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert after["latestReadyRevision"] == later["latestReadyRevision"]
    with run_kit.caller(box) as session:
        assert session.get(after["uri"], timeout=30).json()["env"]["GREETING"] == "later"


def test_an_operation_that_fails_by_itself_can_be_tried_again(box: Sandbox, image: str) -> None:
    first = run_kit.made(box, "again", run_kit.template(image))
    changed = run_kit.template(image, env=[{"name": "GREETING", "value": "again"}])
    box.faults(
        {
            "match": "run.projects.locations.services.patch",
            "when": "on_poll",
            "do": {"lro_error": {"code": 13, "message": "An internal error has occurred."}},
        }
    )
    assert run_kit.deploy(box, "again", changed)["error"]["message"] == "An internal error has occurred."
    box.faults()
    broken = run_kit.service(box, "again")
    assert broken["terminalCondition"]["reason"] == "INTERNAL"
    assert broken["latestReadyRevision"] == first["latestReadyRevision"]
    after = run_kit.made(box, "again", changed)
    with run_kit.caller(box) as session:
        assert session.get(after["uri"], timeout=30).json()["env"]["GREETING"] == "again"


def test_a_grant_that_was_missing_heals_the_same_deployment(box: Sandbox, image: str) -> None:
    kit.secret(box, "LATE", "at last")
    template = run_kit.template(image, env=[secret_env("LATE")])
    assert "Permission denied on secret" in run_kit.deploy(box, "healed", template)["error"]["message"]
    member = f"serviceAccount:{kit.RUNNER}"
    kit.grant(box, f"{SECRETS}/LATE", "roles/secretmanager.secretAccessor", member)
    after = run_kit.made(box, "healed", template)
    with run_kit.caller(box) as session:
        assert session.get(after["uri"], timeout=30).json()["env"]["PASSWORD"] == "at last"
