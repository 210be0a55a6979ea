"""What the tests with a data plane share: a built image, a job, one execution of it, its lines."""

from __future__ import annotations

import base64
import time
from typing import Any

from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.dataplane.tarballs import tar_gz

LOCATION = f"projects/{PROJECT}/locations/us-central1"
BUILDER = f"plant-build-sa@{PROJECT}.iam.gserviceaccount.com"
RUNNER = f"plant-backend-sa@{PROJECT}.iam.gserviceaccount.com"
IMAGE = f"us-central1-docker.pkg.dev/{PROJECT}/plant/toy"
DOCKERFILE = """FROM python:3.12-slim
WORKDIR /app
COPY toy.py .
ENTRYPOINT ["python", "toy.py"]
CMD ["hello"]
"""
TOY = """
import json, os, signal, socket, sys, time, urllib.request
what = sys.argv[1]
if what == "hello":
    names = ("GREETING", "DATABASE_PASSWORD", "CLOUD_RUN_JOB", "CLOUD_RUN_TASK_ATTEMPT")
    print(json.dumps({"severity": "WARNING", "message": "hi", **{n: os.environ.get(n) for n in names}}), flush=True)
    print("plain line", file=sys.stderr, flush=True)
elif what == "file":
    print(json.dumps({"content": open(os.environ["PASSWORD_FILE"]).read()}))
elif what == "fail":
    print("attempt", os.environ["CLOUD_RUN_TASK_ATTEMPT"])
    sys.exit(3)
elif what == "sleep":
    print("sleeping", flush=True)
    time.sleep(60)
elif what == "dial":
    host, port = os.environ["DB_HOST"], 5432
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        print("no way", type(error).__name__)
        sys.exit(1)
    print("connected")
elif what == "token":
    url = "http://" + os.environ["GCE_METADATA_HOST"] + "/computeMetadata/v1/instance/service-accounts/default/token"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    print(json.dumps({"token": json.load(urllib.request.urlopen(request))["access_token"]}))
"""


def wait(box: Sandbox, api: str, operation: dict[str, Any], seconds: float = 40) -> dict[str, Any]:
    """The operation when it is done."""
    version = {"run": "v2"}.get(api, "v1")
    end = time.monotonic() + seconds
    while not operation.get("done"):
        assert time.monotonic() < end, operation
        time.sleep(0.02)
        operation = box.ok("GET", f"{api}/{version}/{operation['name']}")
    return operation


def grant(box: Sandbox, resource: str, role: str, member: str) -> None:
    """Add a binding to a policy; `resource` is the path up to the verb."""
    verb = "GET" if resource.startswith(("secretmanager", "artifactregistry", "run")) else "POST"
    policy = box.ok(verb, f"{resource}:getIamPolicy")
    policy.setdefault("bindings", []).append({"role": role, "members": [member]})
    box.ok("POST", f"{resource}:setIamPolicy", {"policy": policy})


def account(box: Sandbox, email: str) -> None:
    """A service account of the project."""
    body = {"accountId": email.split("@")[0], "serviceAccount": {"displayName": "for tests"}}
    box.ok("POST", f"iam/v1/projects/{PROJECT}/serviceAccounts", body)


def upload(box: Sandbox, data: bytes, name: str = "source.tgz") -> dict[str, Any]:
    """An object in the source bucket."""
    path = f"storage/upload/storage/v1/b/{PROJECT}-plant-source/o?uploadType=media&name={name}"
    answer = box.session.post(f"{box.rest}/{path}", data=data, headers={"content-type": "application/gzip"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def build_body(uploaded: dict[str, Any], tag: str = "1", **more: Any) -> dict[str, Any]:
    """A build of an uploaded source."""
    return {
        "source": {"storageSource": {k: uploaded[v] for k, v in SOURCE.items()}},
        "steps": [{"name": "gcr.io/cloud-builders/docker", "args": ["build", "-t", f"{IMAGE}:{tag}", "."]}],
        "images": [f"{IMAGE}:{tag}"],
        "serviceAccount": f"projects/{PROJECT}/serviceAccounts/{BUILDER}",
        "options": {"logging": "CLOUD_LOGGING_ONLY"},
        **more,
    }


SOURCE = {"bucket": "bucket", "object": "name", "generation": "generation"}


def build(box: Sandbox, uploaded: dict[str, Any], tag: str = "1", **more: Any) -> dict[str, Any]:
    """The finished operation of a build."""
    answer = box.ok("POST", f"cloudbuild/v1/{LOCATION}/builds", build_body(uploaded, tag, **more))
    return wait(box, "cloudbuild", answer)


def prepare(box: Sandbox) -> str:
    """Accounts, bucket, repository, rights and one image; gives the image by digest."""
    box.ok("POST", f"serviceusage/v1/projects/{PROJECT}/services/containerscanning.googleapis.com:enable", {})
    account(box, BUILDER)
    account(box, RUNNER)
    box.ok("POST", f"storage/storage/v1/b?project={PROJECT}", {"name": f"{PROJECT}-plant-source"})
    path = f"artifactregistry/v1/{LOCATION}/repositories?repositoryId=plant"
    wait(box, "artifactregistry", box.ok("POST", path, {"format": "DOCKER"}))
    project = f"cloudresourcemanager/v1/projects/{PROJECT}"
    for role in ("roles/storage.objectViewer", "roles/artifactregistry.writer", "roles/logging.logWriter"):
        grant(box, project, role, f"serviceAccount:{BUILDER}")
    done = build(box, upload(box, tar_gz({"Dockerfile": DOCKERFILE, "toy.py": TOY})))
    assert "error" not in done, done
    return f"{IMAGE}@{done['response']['results']['images'][0]['digest']}"


def make_job(box: Sandbox, job_id: str, image: str, **template: Any) -> None:
    """A job; `env`, `args`, `volumeMounts` go to its container, the rest to its template."""
    container = {key: template.pop(key) for key in ("env", "args", "volumeMounts") if key in template}
    inner: dict[str, Any] = {
        "containers": [{"image": image, **container}],
        "serviceAccount": RUNNER,
        "maxRetries": 0,
        **template,
    }
    answer = box.ok("POST", f"run/v2/{LOCATION}/jobs?jobId={job_id}", {"template": {"template": inner}})
    assert "error" not in wait(box, "run", answer)


def start(box: Sandbox, job_id: str, *args: str, **overrides: Any) -> dict[str, Any]:
    """Run a job with these arguments; the operation's first answer."""
    change: dict[str, Any] = {"args": list(args), **overrides}
    body: dict[str, Any] = {"overrides": {"containerOverrides": [change]}} if args or overrides else {}
    return dict(box.ok("POST", f"run/v2/{LOCATION}/jobs/{job_id}:run", body))


def run(box: Sandbox, job_id: str, *args: str, **overrides: Any) -> dict[str, Any]:
    """Run a job to its end."""
    return wait(box, "run", start(box, job_id, *args, **overrides))


def entries(box: Sandbox, execution: str) -> list[dict[str, Any]]:
    """What an execution wrote, oldest first."""
    label = f'labels."run.googleapis.com/execution_name"="{execution.rsplit("/", 1)[-1]}"'
    body = {"resourceNames": [f"projects/{PROJECT}"], "filter": label, "orderBy": "timestamp asc"}
    return list(box.ok("POST", "logging/v2/entries:list", body).get("entries", []))


def secret(box: Sandbox, name: str, value: str) -> None:
    """A secret with one version."""
    path = f"secretmanager/v1/projects/{PROJECT}/secrets"
    box.ok("POST", f"{path}?secretId={name}", {"replication": {"automatic": {}}})
    data = base64.b64encode(value.encode()).decode()
    box.ok("POST", f"{path}/{name}:addVersion", {"payload": {"data": data}})
