"""Cloud Run worker pools with the real data plane: processes without a port, as many as asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from plantctl.sandbox.app import App
from tests.sandbox import plane_kit as kit
from tests.sandbox import run_kit
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.dataplane.tarballs import tar_gz

pytestmark = pytest.mark.dataplane
POOLS = f"run/v2/{kit.LOCATION}/workerPools"
WORKER = """
import os, signal, sys, time
if os.environ.get("MODE") == "crash":
    sys.exit(3)
def leave(*_):
    print("SIGTERM: leaving", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
if os.environ.get("MODE") == "health":
    import http.server, threading
    class Handler(http.server.BaseHTTPRequestHandler):
        status = 200
        def do_GET(self):
            self.send_response(Handler.status)
            self.end_headers()
        def log_message(self, *words):
            pass
    server = http.server.HTTPServer(("", int(os.environ["PORT"])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    def sicken(*_):
        Handler.status = 500
    signal.signal(signal.SIGUSR1, sicken)
print("working", os.environ["CLOUD_RUN_WORKER_POOL"], os.environ.get("PORT"), os.getpid(), flush=True)
while True:
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def box(plane_app: App) -> Iterator[Sandbox]:
    """One world for all tests of this file."""
    box = Sandbox(plane_app)
    box.reset()
    yield box
    box.close()


@pytest.fixture(scope="module")
def image(box: Sandbox) -> str:
    """The toy worker."""
    kit.prepare(box)
    source = tar_gz({"Dockerfile": run_kit.DOCKERFILE, "server.py": WORKER})
    done = kit.build(box, kit.upload(box, source, "worker.tgz"), tag="worker")
    return f"{kit.IMAGE}@{done['response']['results']['images'][0]['digest']}"


def put(box: Sandbox, name: str, image: str, count: int = 1, mode: str = "", **more: Any) -> dict[str, Any]:
    """Upsert a worker pool; the finished operation."""
    env = [{"name": "MODE", "value": mode}]
    template = {"containers": [{"image": image, "env": env, **more}], "serviceAccount": kit.RUNNER}
    body = {"template": template, "scaling": {"manualInstanceCount": count}}
    return kit.wait(box, "run", box.ok("PATCH", f"{POOLS}/{name}?allowMissing=true", body), 60)


def pids(box: Sandbox, name: str) -> set[int]:
    """Launchers of the instances that run."""
    return {i["pid"] for i in run_kit.instances(box, name) if i["state"] == "ready"}


def printed(box: Sandbox, name: str, text: str) -> list[dict[str, Any]]:
    """Lines of the pool's instances."""
    return run_kit.logged(box, f'resource.labels.worker_pool_name="{name}" AND textPayload:"{text}"')


def test_a_worker_works_without_a_port_and_its_lines_are_logged(box: Sandbox, image: str) -> None:
    done = put(box, "worker", image)
    made = done["response"]
    assert made["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert made["latestReadyRevision"] == made["latestCreatedRevision"]
    (line,) = run_kit.until(lambda: printed(box, "worker", "working"))
    assert line["textPayload"].startswith("working worker None ")
    assert line["resource"]["type"] == "cloud_run_worker_pool"
    (listed,) = [p for p in box.ok("GET", POOLS)["workerPools"] if p["name"].endswith("/worker")]
    assert listed == box.ok("GET", f"{POOLS}/worker")
    grants = box.ok("GET", f"{POOLS}/worker:getIamPolicy")
    assert grants["etag"]
    (revision,) = box.ok("GET", f"{POOLS}/worker/revisions")["revisions"]
    assert revision["name"] == made["latestReadyRevision"]


def test_the_number_is_what_was_asked_for_and_a_new_template_replaces_all(box: Sandbox, image: str) -> None:
    put(box, "counted", image, 3)
    run_kit.until(lambda: len(pids(box, "counted")) == 3)
    revision = box.ok("GET", f"{POOLS}/counted")["latestReadyRevision"]
    put(box, "counted", image, 1)
    run_kit.until(lambda: len(pids(box, "counted")) == 1)
    assert box.ok("GET", f"{POOLS}/counted")["latestReadyRevision"] == revision
    run_kit.until(lambda: len(printed(box, "counted", "SIGTERM: leaving")) == 2)
    before = pids(box, "counted")
    put(box, "counted", image, 1, mode="other")
    after = run_kit.until(lambda: pids(box, "counted") - before)
    assert not before & after
    run_kit.until(lambda: len(printed(box, "counted", "SIGTERM: leaving")) == 3)
    put(box, "counted", image, 0, mode="other")
    run_kit.until(lambda: not run_kit.instances(box, "counted"))


def test_a_worker_that_dies_comes_again(box: Sandbox, image: str) -> None:
    put(box, "mortal", image)
    first = run_kit.until(lambda: printed(box, "mortal", "working"))
    os.kill(int(first[0]["textPayload"].split()[-1]), signal.SIGKILL)
    run_kit.until(lambda: len(printed(box, "mortal", "working")) == 2)
    run_kit.until(lambda: len(pids(box, "mortal")) == 1)


def test_probed_workers_have_a_port_each_and_an_unwell_one_is_replaced(box: Sandbox, image: str) -> None:
    asked = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1, "timeoutSeconds": 1}
    done = put(box, "probed", image, 2, "health", livenessProbe={**asked, "failureThreshold": 2})
    assert "error" not in done, done
    lines = run_kit.until(lambda: len(printed(box, "probed", "working")) == 2 and printed(box, "probed", "working"))
    ports, found = ({line["textPayload"].split()[n] for line in lines} for n in (2, 3))
    assert len(ports) == 2
    os.kill(int(min(found)), signal.SIGUSR1)
    run_kit.until(lambda: len(printed(box, "probed", "working")) == 3)
    (entry,) = printed(box, "probed", "liveness probe failed")
    assert entry["severity"] == "ERROR"


def test_one_that_cannot_start_leaves_the_old_one_working(box: Sandbox, image: str) -> None:
    put(box, "broken", image)
    before = run_kit.until(lambda: pids(box, "broken"))
    done = put(box, "broken", image, mode="crash")
    assert "is not ready" in done["error"]["message"]
    pool = box.ok("GET", f"{POOLS}/broken")
    assert pool["terminalCondition"]["state"] == "CONDITION_FAILED"
    assert pool["latestReadyRevision"] != pool["latestCreatedRevision"]
    assert pids(box, "broken") == before
    again = box.post(f"{POOLS}?workerPoolId=broken", {"template": {"containers": [{"image": image}]}})
    assert again.status_code == 409


def test_delete_ends_the_processes(box: Sandbox, image: str) -> None:
    put(box, "gone", image, 2)
    run_kit.until(lambda: len(pids(box, "gone")) == 2)
    kit.wait(box, "run", box.ok("DELETE", f"{POOLS}/gone"))
    run_kit.until(lambda: not run_kit.instances(box, "gone"))
    missing = box.call("GET", f"{POOLS}/gone")
    assert (missing.status_code, missing.json()["error"]["message"]) == (
        404,
        f'worker pool "projects/{PROJECT}/locations/us-central1/workerPools/gone" not found',
    )
