"""The way of a job to Memorystore: only with VPC access and an ACTIVE peering; then it speaks TLS and AUTH."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from plantctl.sandbox.app import App
from tests.sandbox import plane_kit as kit
from tests.sandbox import redis_kit
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.dataplane.tarballs import tar_gz

pytestmark = pytest.mark.dataplane
CONNECTOR = f"{kit.LOCATION}/connectors/plant-vpc-connector"
DIAL = """
import os, socket, ssl
context = ssl.create_default_context(cadata=os.environ["REDIS_CA"])
context.check_hostname = False  # by the CA alone: the address is one that stands in for the reserved one
try:
    plain = socket.create_connection((os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])), timeout=3)
except OSError as error:
    print("no way", type(error).__name__)
    raise SystemExit(1)
with context.wrap_socket(plain) as redis:
    for line in ("AUTH " + os.environ["REDIS_PASSWORD"], "SET from job"):
        redis.sendall(line.encode() + b"\\r\\n")
        print(redis.recv(100).decode().strip())
"""
DOCKERFILE = """FROM python:3.12-slim
WORKDIR /app
COPY dial.py .
ENTRYPOINT ["python", "dial.py"]
"""


@pytest.fixture(scope="module")
def box(plane_app: App) -> Iterator[Sandbox]:
    """A network with private services access and a connector, an instance, and two jobs that dial it."""
    box = Sandbox(plane_app)
    box.reset()
    redis_kit.network(box)
    connector = {"network": "plant-network", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    path = f"vpcaccess/v1/{kit.LOCATION}/connectors?connectorId=plant-vpc-connector"
    assert "error" not in kit.wait(box, "vpcaccess", box.ok("POST", path, connector))
    live = redis_kit.make(box)
    kit.prepare(box)
    done = kit.build(box, kit.upload(box, tar_gz({"Dockerfile": DOCKERFILE, "dial.py": DIAL}), "dial.tgz"), "dial")
    image = f"{kit.IMAGE}@{done['response']['results']['images'][0]['digest']}"
    values = {
        "REDIS_HOST": live["host"],
        "REDIS_PORT": str(live["port"]),
        "REDIS_CA": live["serverCaCerts"][0]["cert"],
        "REDIS_PASSWORD": box.ok("GET", f"{redis_kit.REST}/plant-redis/authString")["authString"],
    }
    env = [{"name": name, "value": value} for name, value in values.items()]
    kit.make_job(box, "outside", image, env=env)
    access = {"connector": CONNECTOR, "egress": "PRIVATE_RANGES_ONLY"}
    kit.make_job(box, "inside", image, env=env, vpcAccess=access)
    yield box
    box.close()


def said(box: Sandbox, job: str) -> list[str]:
    """What an execution printed."""
    done: dict[str, Any] = kit.run(box, job)
    return [entry["textPayload"] for entry in kit.entries(box, done["metadata"]["name"])]


def test_with_connector_and_peering_a_job_writes(box: Sandbox) -> None:
    assert said(box, "inside") == ["+OK", "+OK"]


def test_without_vpc_access_it_finds_nothing(box: Sandbox) -> None:
    assert said(box, "outside") == ["no way ConnectionRefusedError"]


def test_nor_when_the_peering_is_gone(box: Sandbox) -> None:
    peering = {"name": "servicenetworking-googleapis-com"}
    box.ok("POST", f"compute/compute/v1/projects/{PROJECT}/global/networks/plant-network/removePeering", peering)
    assert said(box, "inside") == ["no way ConnectionRefusedError"]
