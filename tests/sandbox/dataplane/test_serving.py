"""The front door by itself: framing of requests and answers, connections that are kept, starts that fail."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plantctl.sandbox.dataplane.edge import Route, Served
from plantctl.sandbox.dataplane.image import ImageStore
from plantctl.sandbox.dataplane.instance import Plan, Probe
from plantctl.sandbox.dataplane.process import Launch, ProcessPlane
from plantctl.sandbox.dataplane.running import Running
from plantctl.sandbox.dataplane.serving import Serving
from plantctl.sandbox.proxy import authority
from tests.sandbox.dataplane.process_kit import SELF
from tests.sandbox.dataplane.tarballs import toy

HOST = "toy.a.run.app"
SERVER = """
import os, socket, threading, time
count = 0
def answer(connection):
    global count
    count += 1
    data, earlier = b"", 0
    while True:
        while b"\\r\\n\\r\\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, _, data = data.partition(b"\\r\\n\\r\\n")
        path = head.split()[1].decode()
        earlier += 1
        if path == "/fresh" and earlier > 1:
            connection.close()
            return
        if path == "/stream":
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n3\\r\\none\\r\\n")
            time.sleep(1)
            connection.sendall(b"3\\r\\ntwo\\r\\n0\\r\\n\\r\\n")
        elif path == "/old":
            connection.sendall(b"HTTP/1.0 200 OK\\r\\nServer: mine\\r\\n\\r\\nto the end")
            connection.close()
            return
        elif path == "/broken":
            connection.sendall(b"nonsense\\r\\n\\r\\n")
        elif path == "/cut":
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\nhalf")
            connection.close()
            return
        elif path == "/stale":
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
            connection.close()
            return
        elif head.startswith(b"HEAD"):
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\n")
        else:
            body = f"{path} {count}".encode()
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%b" % (len(body), body))
server = socket.create_server(("", int(os.environ["PORT"])))
while True:
    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""
Start = Callable[[int | None], Running]


class Door:
    """The front door with one service, and what it said was served."""

    def __init__(self, serving: Serving, folder: Path) -> None:
        self.serving = serving
        self.served: list[Served] = []
        serving.on_flush = self.served.extend
        ca = authority(folder)
        self._context = ssl.create_default_context(cafile=str(ca))
        self.port = serving.start(folder / "leaf.pem", folder / "leaf.key")

    def open(self) -> ssl.SSLSocket:
        """A raw connection, TLS checked against the authority."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return self._context.wrap_socket(raw, server_hostname=HOST)

    def client(self) -> http.client.HTTPSConnection:
        """A client of the standard library that dials the front door for the service's name."""
        client = http.client.HTTPSConnection(HOST, timeout=20)
        client.sock = self.open()
        return client


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A front door with two cores."""
    serving = Serving(cores=2)
    yield Door(serving, tmp_path)
    serving.stop()


@pytest.fixture
def start(plane: ProcessPlane, images: ImageStore) -> Start:
    """Starts an instance of the toy server."""
    digest = images.build(toy(SERVER)).digest
    return lambda port: plane.run(Launch(digest=digest, identity=SELF, port=port))


def serve(door: Door, start: Start, **more: Any) -> None:
    """Deploy the toy server and send everything there."""
    plan = Plan(key="run/toy", start=start, startup=Probe(period_s=1, failures=20), **more)
    started = door.serving.deploy(plan)
    assert started.ok, started
    door.serving.keep(plan, 1)
    route = Route(service="run/service", targets=(("run/toy", 100),), admit=lambda _credential, _audience: 0)
    door.serving.route("run/service", {HOST: route})


def test_a_connection_is_kept_on_both_sides(door: Door, start: Start) -> None:
    serve(door, start)
    client = door.client()
    seen = []
    for n in range(5):
        client.request("GET", f"/{n}", headers={"Host": HOST})
        seen.append(client.getresponse().read().decode().split())
    client.request("HEAD", "/head")
    head = client.getresponse()
    assert (head.status, head.headers["content-length"], head.read()) == (200, "1000", b"")
    client.request("GET", "/after")
    assert client.getresponse().read().startswith(b"/after")
    client.close()
    assert [path for path, _ in seen] == [f"/{n}" for n in range(5)]
    assert len({connection for _, connection in seen}) == 1


def test_an_answer_is_handed_on_as_it_comes(door: Door, start: Start) -> None:
    serve(door, start)
    client = door.client()
    begun = time.monotonic()
    client.request("GET", "/stream")
    answer = client.getresponse()
    assert answer.read1(3) == b"one"
    first = time.monotonic() - begun
    assert answer.read() == b"two"
    assert time.monotonic() - begun - first > 0.5
    client.close()


def test_an_answer_without_a_length_ends_with_its_connection(door: Door, start: Start) -> None:
    serve(door, start)
    client = door.client()
    client.request("GET", "/old")
    answer = client.getresponse()
    assert answer.read() == b"to the end"
    assert answer.headers["server"] == "Google Frontend"
    assert answer.headers["x-cloud-trace-context"]
    client.close()


def test_a_connection_that_went_stale_costs_no_request(door: Door, start: Start) -> None:
    serve(door, start)
    client = door.client()
    for path in ("/first", "/fresh"):  # the second is closed by the toy server as it comes, without an answer
        client.request("GET", path)
        assert client.getresponse().read().startswith(path.encode())
    client.close()


def test_a_post_is_never_sent_twice(door: Door, start: Start) -> None:
    serve(door, start)
    client = door.client()
    client.request("GET", "/first")
    client.getresponse().read()
    client.request("POST", "/fresh")
    assert client.getresponse().status == 503
    client.close()


def test_what_the_instance_breaks_is_its_failure(door: Door, start: Start) -> None:
    serve(door, start)
    client = door.client()
    client.request("GET", "/broken")
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (503, b"Service Unavailable")
    client.request("GET", "/cut")
    with pytest.raises((http.client.IncompleteRead, OSError)):
        client.getresponse().read()
    client.close()


def test_a_client_that_goes_away_leaves_nothing_under_way(door: Door, start: Start) -> None:
    serve(door, start, concurrency=1, maximum=1)
    waiting = [door.client() for _ in range(3)]
    for client in waiting:
        client.request("GET", "/stream")

    def under_way() -> int:
        (found,) = door.serving.describe()["revisions"]
        return int(sum(i["requests_under_way"] for i in found["instances"]))

    end = time.monotonic() + 20
    while not under_way() and time.monotonic() < end:
        time.sleep(0.01)
    for client in waiting:
        client.close()
    while under_way() and time.monotonic() < end:
        time.sleep(0.01)
    assert under_way() == 0
    client = door.client()
    client.request("GET", "/after")
    assert client.getresponse().status == 200
    client.close()


def test_pipelined_requests_are_answered_in_order_and_nonsense_is_refused(door: Door, start: Start) -> None:
    serve(door, start)
    with door.open() as raw:
        lines = [b"GET /%d HTTP/1.1\r\nHost: %b\r\n" % (n, HOST.encode()) for n in range(3)]
        raw.sendall(b"\r\n".join(lines) + b"Connection: close\r\n\r\n")
        found = b""
        while more := raw.recv(65536):
            found += more
    assert found.count(b"HTTP/1.1 200") == 3
    assert found.index(b"/0 ") < found.index(b"/1 ") < found.index(b"/2 ")
    with door.open() as raw:
        raw.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_host_that_nobody_has_is_404_and_every_request_is_told(door: Door, start: Start) -> None:
    serve(door, start)
    client = door.client()
    client.request("GET", "/x", headers={"Host": "other.a.run.app"})
    answer = client.getresponse()
    assert answer.status == 404
    assert b"The requested URL was not found on this server." in answer.read()
    client.request("POST", "/told", body=json.dumps({}), headers={"User-Agent": "me"})
    client.getresponse().read()
    client.close()
    end = time.monotonic() + 10
    while not door.served and time.monotonic() < end:
        time.sleep(0.02)
    (one,) = door.served
    assert (one.method, one.url, one.status) == ("POST", f"https://{HOST}/told", 200)
    assert (one.request_size, one.user_agent, one.revision) == (2, "me", "run/toy")


def test_a_start_that_raises_is_the_deployments_failure(door: Door) -> None:
    def refuse(_port: int | None) -> Running:
        raise ValueError("no such image")

    started = door.serving.deploy(Plan(key="run/none", start=refuse))
    assert (started.ok, started.reason) == (False, "no such image")
    assert door.serving.describe()["revisions"] == []


def test_an_instance_that_cannot_start_again_makes_503_and_is_tried_again(door: Door, start: Start) -> None:
    broken: list[bool] = []

    def sometimes(port: int | None) -> Running:
        if broken:
            raise ValueError("the secret is gone")
        return start(port)

    serve(door, sometimes)
    broken.append(True)
    (found,) = door.serving.describe()["revisions"]
    (instance,) = found["instances"]
    client = door.client()
    os.killpg(instance["pid"], signal.SIGKILL)
    end = time.monotonic() + 20
    while door.serving.describe()["revisions"][0]["last_failure"] != "the secret is gone":
        assert time.monotonic() < end
        time.sleep(0.02)
    client.request("GET", "/x")
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (503, b"Service Unavailable")
    broken.clear()
    while True:
        client.request("GET", "/x")
        answer = client.getresponse()
        answer.read()
        if answer.status == 200:
            break
        assert time.monotonic() < end
        time.sleep(0.1)
    client.close()
