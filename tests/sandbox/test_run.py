"""Cloud Run jobs through the generated client over REST, and the same jobs as Knative shows them to gcloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2

from tests.sandbox.conftest import NUMBER, PROJECT, Sandbox

PARENT = f"projects/{PROJECT}/locations/us-central1"
JOB = f"{PARENT}/jobs/plant-ops"
LAUNCH_STAGE_GA = 4
IMAGE = f"us-central1-docker.pkg.dev/{PROJECT}/plant/backend@sha256:{'0' * 64}"


@pytest.fixture
def jobs(sandbox: Sandbox) -> Iterator[run_v2.JobsClient]:
    """The generated client."""
    options = ClientOptions(api_endpoint=f"{sandbox.rest}/run")
    with run_v2.JobsClient(
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        transport="rest",
        client_options=options,
    ) as client:
        yield client


def job(**template: Any) -> run_v2.Job:
    """A job of one container."""
    container = run_v2.Container(image=IMAGE, **template.pop("container", {}))
    inner = run_v2.TaskTemplate(containers=[container], **template)
    return run_v2.Job(template=run_v2.ExecutionTemplate(template=inner))


def ended(operation: Any) -> Any:
    """What a long-running operation ends with; raises when that is an error."""
    return operation.result(timeout=20)


def make(jobs: run_v2.JobsClient, job_id: str = "plant-ops", **template: Any) -> run_v2.Job:
    """Create a job and wait."""
    made: run_v2.Job = ended(jobs.create_job(parent=PARENT, job_id=job_id, job=job(**template)))
    return made


def test_a_job_gets_what_the_recordings_show(jobs: run_v2.JobsClient) -> None:
    made = make(jobs)
    task = made.template.template
    assert (made.name, made.generation, made.launch_stage) == (JOB, 1, LAUNCH_STAGE_GA)
    assert (made.template.task_count, task.max_retries, task.timeout.seconds) == (1, 3, 600)
    assert task.service_account == f"{NUMBER}-compute@developer.gserviceaccount.com"
    assert task.execution_environment is run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2
    assert dict(task.containers[0].resources.limits) == {"cpu": "1000m", "memory": "512Mi"}
    assert made.terminal_condition.state is run_v2.Condition.State.CONDITION_SUCCEEDED
    assert jobs.get_job(name=JOB) == made


def test_a_taken_id_a_wrong_id_and_a_missing_job(jobs: run_v2.JobsClient) -> None:
    make(jobs)
    with pytest.raises(exceptions.Conflict):
        make(jobs)
    with pytest.raises(exceptions.BadRequest):
        make(jobs, "No Capitals")
    with pytest.raises(exceptions.NotFound):
        jobs.get_job(name=f"{PARENT}/jobs/nowhere")


def test_a_patch_replaces_the_job_and_keeps_to_its_etag(jobs: run_v2.JobsClient) -> None:
    made = make(jobs)
    changed = job(max_retries=0)
    changed.name, changed.etag = JOB, made.etag
    second = ended(jobs.update_job(job=changed))
    assert (second.generation, second.template.template.max_retries, second.uid) == (2, 0, made.uid)
    with pytest.raises(exceptions.Conflict):  # hazards U07: the etag is stale now
        jobs.update_job(job=changed)


def test_allow_missing_makes_and_validate_only_does_not(jobs: run_v2.JobsClient) -> None:
    wanted = job()
    wanted.name = JOB
    with pytest.raises(exceptions.NotFound):
        jobs.update_job(job=wanted)
    jobs.update_job(request={"job": wanted, "validate_only": True, "allow_missing": True})
    assert list(jobs.list_jobs(parent=PARENT)) == []
    ended(jobs.update_job(request={"job": wanted, "allow_missing": True}))
    assert [one.name for one in jobs.list_jobs(parent=PARENT)] == [JOB]


def test_lists_come_in_pages_and_from_all_regions(jobs: run_v2.JobsClient) -> None:
    for name in ("a-job", "b-job", "c-job"):
        make(jobs, name)
    pages = [list(page.jobs) for page in jobs.list_jobs(request={"parent": PARENT, "page_size": 2}).pages]
    assert [len(page) for page in pages] == [2, 1]
    assert len(list(jobs.list_jobs(parent=f"projects/{PROJECT}/locations/-"))) == 3


def test_a_missing_account_and_a_timeout_beyond_a_week(jobs: run_v2.JobsClient) -> None:
    with pytest.raises(exceptions.NotFound):
        make(jobs, service_account=f"nobody@{PROJECT}.iam.gserviceaccount.com")
    with pytest.raises(exceptions.BadRequest):
        make(jobs, timeout={"seconds": 604801})


def test_without_a_data_plane_nothing_runs_and_the_execution_says_so(jobs: run_v2.JobsClient) -> None:
    make(jobs)
    operation = jobs.run_job(name=JOB)
    with pytest.raises(exceptions.GoogleAPICallError, match="without a data plane"):
        ended(operation)
    assert jobs.get_job(name=JOB).execution_count == 1


def test_deleted_with_its_executions(sandbox: Sandbox, jobs: run_v2.JobsClient) -> None:
    make(jobs)
    with pytest.raises(exceptions.GoogleAPICallError):
        ended(jobs.run_job(name=JOB))
    assert ended(jobs.delete_job(name=JOB)).name == JOB
    assert sandbox.ok("GET", f"run/v2/{JOB}/executions") == {}


def test_the_same_job_as_knative_shows_it(sandbox: Sandbox, jobs: run_v2.JobsClient) -> None:
    reference = run_v2.SecretKeySelector(secret="DATABASE_PASSWORD", version="3")
    secret = run_v2.EnvVar(name="PASSWORD", value_source=run_v2.EnvVarSource(secret_key_ref=reference))
    plain = run_v2.EnvVar(name="LEVEL", value="info")
    access = {"connector": f"{PARENT}/connectors/c", "egress": "PRIVATE_RANGES_ONLY"}
    make(jobs, container={"env": [plain, secret], "args": ["check"]}, vpc_access=access)
    namespace = f"run/apis/run.googleapis.com/v1/namespaces/{PROJECT}"
    (listed,) = sandbox.ok("GET", f"{namespace}/jobs")["items"]
    assert listed == sandbox.ok("GET", f"run/apis/run.googleapis.com/v1/namespaces/{NUMBER}/jobs/plant-ops")
    assert listed["status"]["conditions"][0]["status"] == "True"
    template = listed["spec"]["template"]
    assert template["metadata"]["annotations"]["run.googleapis.com/vpc-access-egress"] == "private-ranges-only"
    (container,) = template["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["check"]
    assert container["env"] == [
        {"name": "LEVEL", "value": "info"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "DATABASE_PASSWORD", "key": "3"}}},
    ]
    execution = sandbox.ok("POST", f"{namespace}/jobs/plant-ops:run", {})
    name = execution["metadata"]["name"]
    assert execution["metadata"]["labels"]["run.googleapis.com/job"] == "plant-ops"
    assert [one.name.rsplit("/", 1)[1] for one in executions(sandbox)] == [name]
    selector = "labelSelector=run.googleapis.com%2Fjob%3Dother"
    assert sandbox.ok("GET", f"{namespace}/executions?{selector}")["items"] == []


def executions(sandbox: Sandbox) -> list[run_v2.Execution]:
    """Executions of the job through the generated client."""
    options = ClientOptions(api_endpoint=f"{sandbox.rest}/run")
    with run_v2.ExecutionsClient(
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        transport="rest",
        client_options=options,
    ) as client:
        return list(client.list_executions(parent=JOB))
