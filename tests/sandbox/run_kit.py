"""What the tests of Cloud Run services share: an image of a toy server, a service of it, a caller by the proxy."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.sandbox import plane_kit as kit
from tests.sandbox.conftest import PROJECT, Sandbox
from tests.sandbox.dataplane.tarballs import tar_gz

SERVICES = f"run/v2/{kit.LOCATION}/services"
DOCKERFILE = """FROM python:3.12-slim
WORKDIR /app
COPY server.py .
CMD ["python", "server.py"]
"""
SERVER = """
import http.server, json, os, signal, sys, threading, time
VERSION = "one"
MODE = os.environ.get("MODE", "")
if MODE == "crash":
    print("cannot start: no reason", flush=True)
    sys.exit(7)
port = int(os.environ.get("PORT", "0")) if MODE != "wrong-port" else 0
under_way = 0
unwell = False

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        global under_way, unwell
        path, _, query = self.path.partition("?")
        if path == "/health":
            return self.answer(503 if unwell else 200, {"ok": not unwell})
        if path == "/unwell":
            unwell = True
        if path == "/exit":
            os._exit(9)
        if path == "/slow":
            under_way += 1
            time.sleep(float(query))
            under_way -= 1
        names = ("K_SERVICE", "K_REVISION", "K_CONFIGURATION", "PORT", "GREETING", "PASSWORD")
        env = {name: os.environ.get(name) for name in names}
        self.answer(200, {"version": VERSION, "pid": os.getpid(), "env": env, "headers": dict(self.headers.items())})
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, {"length": len(body)})
    def answer(self, status, document):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *words):
        pass

def drain(*_):
    print("SIGTERM: draining", flush=True)
    def end():
        while under_way:
            time.sleep(0.01)
        print("drained", flush=True)
        os._exit(0)
    threading.Thread(target=end).start()

if MODE != "abrupt":
    signal.signal(signal.SIGTERM, drain)
time.sleep(float(os.environ.get("START_S", "0")))
print(json.dumps({"severity": "NOTICE", "message": "listening"}), flush=True)
Server(("", port), Handler).serve_forever()
"""
PROBE = {"httpGet": {"path": "/health"}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 20}
QUICK_PROBE = {**PROBE, "failureThreshold": 2}


def image(box: Sandbox, version: str = "one", *, tag: str = "") -> str:
    """The toy server's image by digest, under `server-VERSION` unless given; another version is other code."""
    source = tar_gz({"Dockerfile": DOCKERFILE, "server.py": SERVER.replace('"one"', f'"{version}"')})
    done = kit.build(box, kit.upload(box, source, f"{version}.tgz"), tag=tag or f"server-{version}")
    assert "error" not in done, done
    return f"{kit.IMAGE}@{done['response']['results']['images'][0]['digest']}"


def template(image: str, **more: Any) -> dict[str, Any]:
    """A template; `env`, `ports`, probes and `resources` go to its container."""
    words = ("env", "ports", "startupProbe", "livenessProbe", "resources", "volumeMounts", "args")
    own = {key: more.pop(key) for key in words if key in more}
    container = {"image": image, "startupProbe": PROBE, **own}
    return {"containers": [container], "serviceAccount": kit.RUNNER, "scaling": {"minInstanceCount": 1}, **more}


def deploy(box: Sandbox, name: str, template: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Upsert a service; the finished operation."""
    body = {"template": template, "ingress": "INGRESS_TRAFFIC_ALL", **more}
    operation = box.ok("PATCH", f"{SERVICES}/{name}?allowMissing=true", body)
    return kit.wait(box, "run", operation, 90)


def made(box: Sandbox, name: str, template: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Upsert a service, which has to succeed; the service."""
    done = deploy(box, name, template, **more)
    assert "error" not in done, done
    return service(box, name)


def service(box: Sandbox, name: str) -> dict[str, Any]:
    """The service."""
    return dict(box.ok("GET", f"{SERVICES}/{name}"))


def shift(box: Sandbox, name: str, *traffic: dict[str, Any]) -> dict[str, Any]:
    """Set the traffic alone; the service."""
    path = f"{SERVICES}/{name}?updateMask=traffic"
    done = kit.wait(box, "run", box.ok("PATCH", path, {"traffic": list(traffic)}), 60)
    assert "error" not in done, done
    return service(box, name)


def caller(box: Sandbox, token: str = "owner") -> requests.Session:
    """A session that dials as a client would: through the proxy, with the sandbox's authority."""
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"https": box.app.endpoints["proxy"]}
    session.verify = box.app.endpoints["ca"]
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    return session


def until(holds: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait for something to be true; gives what it was."""
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def logged(box: Sandbox, wanted: str) -> list[dict[str, Any]]:
    """Entries by filter, oldest first."""
    body = {"resourceNames": [f"projects/{PROJECT}"], "filter": wanted, "orderBy": "timestamp asc", "pageSize": 1000}
    return list(box.ok("POST", "logging/v2/entries:list", body).get("entries", []))


def instances(box: Sandbox, name: str) -> list[dict[str, Any]]:
    """What the data plane says of a service's or worker pool's instances that take part."""
    found = box.ok("GET", "_sandbox/dataplane")["run"]["revisions"]
    owner = f"/{name}/revisions/"
    every = [{**i, "revision": r["revision"]} for r in found if owner in r["name"] for i in r["instances"]]
    return [i for i in every if i["state"] in ("starting", "ready")]


class Load:
    """Steady requests from a few threads between enter and exit; counts what came back."""

    def __init__(self, box: Sandbox, url: str, workers: int = 3) -> None:
        self.statuses: Counter[Any] = Counter()
        self.versions: Counter[str] = Counter()
        self.slowest_s = 0.0
        self._box, self._url = box, url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        until(lambda: sum(self.statuses.values()) > 5)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def seen(self, version: str) -> None:
        """Wait until a version has answered some requests."""
        before = self.versions[version]
        until(lambda: self.versions[version] > before + 5)

    def _work(self) -> None:
        with caller(self._box) as session:
            while not self._stop.is_set():
                try:
                    answer = session.get(self._url, timeout=30)
                    self.slowest_s = max(self.slowest_s, answer.elapsed.total_seconds())
                    self.statuses[answer.status_code] += 1
                    if answer.status_code == 200:
                        self.versions[answer.json()["version"]] += 1
                except requests.RequestException as error:
                    self.statuses[repr(error)] += 1
                time.sleep(0.01)


def port_of(url: str) -> int:
    """The port of an endpoint."""
    return int(urlsplit(url).port or 0)
