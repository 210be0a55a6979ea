"""The deployed plant seen by others: gcloud, redis-cli, a customer during a failover, a job whose worker is killed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from typing import Any

import pytest

from tests.e2e.gcloud import Gcloud
from tests.e2e.load import address, get, session
from tests.e2e.operator import PROJECT, Operator

REGION = "us-central1"
LOCATION = f"projects/{PROJECT}/locations/{REGION}"
BACK_WITHIN_S = DONE_WITHIN_S = 10.0


def secret(operator: Operator, name: str) -> str:
    """The newest version of a secret, read as its owner."""
    path = f"secretmanager/v1/projects/{PROJECT}/secrets/{name}/versions/latest:access"
    return base64.b64decode(operator.call("GET", path)["payload"]["data"]).decode()


@pytest.mark.gcloud
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed here")
def test_gcloud_sees_what_was_deployed(served: Operator) -> None:
    gcloud = Gcloud(served)
    redis = gcloud(f"redis instances describe plant-redis --region {REGION}")
    assert (redis["tier"], redis["memorySizeGb"], redis["redisVersion"]) == ("STANDARD_HA", 1, "REDIS_7_0")
    assert (redis["authEnabled"], redis["transitEncryptionMode"]) == (True, "SERVER_AUTHENTICATION")
    assert redis["redisConfigs"]["maxmemory-policy"] == "volatile-ttl"
    service = gcloud(f"run services describe plant-backend --region {REGION}")
    container = service["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert "@sha256:" in container["image"]
    assert service["status"]["url"] == address(served)
    serving = [one["revisionName"] for one in service["status"]["traffic"] if one.get("percent") == 100]
    revisions = gcloud(f"run revisions list --service plant-backend --region {REGION}")
    assert serving
    assert serving[0] in [one["metadata"]["name"] for one in revisions]
    jobs = gcloud(f"scheduler jobs list --location {REGION}")
    assert [job["state"] for job in jobs if "redis" in job["name"]] == ["ENABLED"]
    images = gcloud(f"artifacts docker images list {REGION}-docker.pkg.dev/{PROJECT}/plant")
    assert container["image"].rsplit("@", 1)[1] in [image["version"] for image in images]


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed here")
def test_redis_cli_needs_the_ca_and_the_password(served: Operator) -> None:
    instance = served.control("GET", "dataplane")["redis"]["instances"][0]
    given = ["redis-cli", "-h", "127.0.0.1", "-p", str(instance["port"])]
    tls = ["--tls", "--cacert", instance["ca_file"]]
    auth = {"REDISCLI_AUTH": secret(served, "REDIS_PASSWORD")}

    def asks(*words: str, **env: str) -> str:
        done = subprocess.run([*words, "PING"], env=os.environ | env, capture_output=True, text=True, timeout=20)
        return (done.stdout + done.stderr).strip()

    assert asks(*given, *tls, **auth) == "PONG"
    assert "NOAUTH" in asks(*given, *tls)
    assert "PONG" not in asks(*given, **auth), "without TLS"
    assert "certificate verify failed" in asks(*given, "--tls", "--cacert", served.endpoint["ca"], **auth)
    get(served, "/api/v1/industries")
    kept = subprocess.run(
        [*given, *tls, "--scan", "--pattern", "cache:v1:*"],
        env=os.environ | auth,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert kept.stdout.count("cache:v1:catalogue") >= 1, "what the service answered is cached there"


class Watcher(threading.Thread):
    """Asks for readiness without a pause; knows the longest time without a good answer."""

    def __init__(self, operator: Operator) -> None:
        super().__init__(daemon=True)
        self._operator, self._over = operator, threading.Event()
        self.longest_s, self.bad, self.good = 0.0, 0, 0

    def run(self) -> None:
        """Until `end`."""
        uri, since = address(self._operator), time.monotonic()
        with session(self._operator) as asks:
            while not self._over.is_set():
                if asks.get(f"{uri}/health/ready?strict=1", timeout=10).status_code == 200:
                    self.good += 1
                    self.longest_s, since = max(self.longest_s, time.monotonic() - since), time.monotonic()
                else:
                    self.bad += 1
                time.sleep(0.02)
            self.longest_s = max(self.longest_s, time.monotonic() - since)

    def end(self) -> None:
        """Stop asking."""
        self._over.set()
        self.join(30)


def test_the_backend_is_back_within_ten_seconds_of_a_redis_failover(served: Operator) -> None:
    watcher = Watcher(served)
    watcher.start()
    done = served.do("drill", "failover", "redis")
    watcher.end()
    assert done.code == 0, done.err
    words = " ".join(done.out.split())
    assert "without an acknowledged write" in words
    assert "acknowledged writes lost" in words
    print(f"{words}\nnot ready for {watcher.longest_s:.2f} s at most ({watcher.bad} refusals, {watcher.good} answers)")
    assert watcher.good > 20
    assert watcher.longest_s < BACK_WITHIN_S
    assert get(served, "/health/ready?strict=1").status_code == 200


def workers(operator: Operator) -> list[int]:
    """Process ids of the worker pool's instances."""
    revisions: list[dict[str, Any]] = operator.control("GET", "dataplane")["run"]["revisions"]
    mine = [one for one in revisions if "/workerPools/plant-worker/" in one["name"]]
    return [int(instance["pid"]) for one in mine for instance in one["instances"]]


def test_a_job_is_done_also_when_its_worker_is_killed(served: Operator) -> None:
    key = next(one["key"] for one in json.loads(secret(served, "API_KEYS")) if "jobs:check" in one["scopes"])
    before = workers(served)
    assert before
    with session(served) as asks:
        asks.headers["X-API-Key"] = key
        checks = f"{address(served)}/api/v1/service/job-checks"
        begun = time.monotonic()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        job = asks.post(checks, timeout=30)
        assert job.status_code == 202, job.text
        status = ""
        while status != "done":
            status = asks.get(f"{checks}/{job.json()['id']}", timeout=30).json()["status"]
            assert time.monotonic() - begun < DONE_WITHIN_S, status
            time.sleep(0.05)
    print(f"done {time.monotonic() - begun:.1f} s after its worker was killed")
    assert not set(workers(served)) & set(before)
