"""A sandbox for the tests of its services: in process, at speed max, without data plane, answers checked strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from googleapiclient import discovery

from plantctl.sandbox.app import App

PROJECT = "plant-test"
NUMBER = "518915279"


class Sandbox:
    """`rest` is the base address; `client("sqladmin", "v1")` a Google client for it; `reset()` a fresh world."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.rest: str = app.endpoints["rest"]
        self.session = requests.Session()
        self.session.trust_env = False
        self._clients: list[Any] = []

    def reset(self, *, services: list[str] | None = None, speed: Any = "max", project: str = PROJECT) -> None:
        """One project; `services` are words or host names, all by default."""
        given = {"projectId": project, "projectNumber": NUMBER, "services": services if services is not None else ["*"]}
        answer = self.post("_sandbox/reset", {"projects": [given], "speed": speed})
        assert answer.status_code == 200, answer.text

    def call(self, verb: str, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        """A plain request; `path` begins with the API's word."""
        return self.session.request(verb, f"{self.rest}/{path}", json=body, timeout=60, **kwargs)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """GET."""
        return self.call("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        """POST."""
        return self.call("POST", path, body, **kwargs)

    def ok(self, verb: str, path: str, body: Any = None, **kwargs: Any) -> Any:
        """The JSON of a request that has to succeed."""
        answer = self.call(verb, path, body, **kwargs)
        assert answer.status_code < 300, f"{verb} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    def wire(self, since: int = 0) -> list[dict[str, Any]]:
        """The wire log."""
        return list(self.get(f"_sandbox/wire?since={since}").json())

    def faults(self, *rules: dict[str, Any]) -> None:
        """Replace the plan of faults."""
        answer = self.call("PUT", "_sandbox/faults", {"rules": list(rules)})
        assert answer.status_code == 200, answer.text

    def client(self, api: str, version: str) -> Any:
        """googleapiclient's own client, without credentials, that sends everything to this sandbox."""
        folder = Path(discovery.__file__).parent / "discovery_cache" / "documents"
        document = json.loads((folder / f"{api}.{version}.json").read_text())
        # client_options replaces the service path and leaves uploads on https, so the document itself is told
        document["rootUrl"] = f"{self.rest}/{api}/"
        document.pop("mtlsRootUrl", None)
        client = discovery.build_from_document(document, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close all connections."""
        self.session.close()
        for client in self._clients:
            client.close()


@pytest.fixture(scope="session")
def sandbox_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One in-process sandbox for the whole run."""
    app = App(tmp_path_factory.mktemp("sandbox"), speed=math.inf, plane=False, strict=True)
    app.start()
    yield app
    app.stop()


@pytest.fixture
def sandbox(sandbox_app: App) -> Iterator[Sandbox]:
    """The sandbox, reset to one project with every API on."""
    box = Sandbox(sandbox_app)
    box.reset()
    yield box
    box.close()


@pytest.fixture(scope="session")
def plane_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One in-process sandbox with a data plane for the whole run; its servers start when they are needed."""
    app = App(tmp_path_factory.mktemp("plane"), speed=math.inf, plane=True, strict=True)
    app.start()
    yield app
    if app.world.plane is not None:
        app.world.plane.purge()
    app.stop()
