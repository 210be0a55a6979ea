"""Users of the deployed service: several threads that ask without a pause worth the name, and count what they got."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import requests

from tests.e2e.operator import PROJECT, Operator

SERVICE = f"run/v2/projects/{PROJECT}/locations/us-central1/services/plant-backend"
IDENTITY = {"X-Serverless-Authorization": "Bearer plantctl"}
PAUSE_S = 0.02


def address(operator: Operator) -> str:
    """The service's own address."""
    return str(operator.call("GET", SERVICE)["uri"])


def session(operator: Operator) -> requests.Session:
    """A session that dials what runs in the sandbox."""
    found = requests.Session()
    found.trust_env = False
    found.proxies = {"https": operator.endpoint["proxy"]}
    found.verify = operator.endpoint["ca"]
    found.headers.update(IDENTITY)
    return found


def get(operator: Operator, path: str) -> Any:
    """One answer of the service."""
    with session(operator) as asks:
        return asks.get(f"{address(operator)}{path}", timeout=30)


class Load:
    """Users while the context lasts. `wrong` counts whatever was no 200, `versions` what `/version` said."""

    def __init__(self, operator: Operator, *, users: int = 3) -> None:
        self._operator = operator
        self._uri = address(operator)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._use, daemon=True) for _ in range(users)]
        self.wrong: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.more(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.more(20)
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def sent(self) -> int:
        """Answers so far."""
        with self._lock:
            return self.versions.total() + self.wrong.total()

    def more(self, answers: int) -> None:
        """Wait until so many more were answered."""
        wanted, deadline = self.sent + answers, time.monotonic() + 120
        while self.sent < wanted:
            assert time.monotonic() < deadline, f"the service stopped answering: {self.wrong}"
            time.sleep(0.02)

    def _use(self) -> None:
        with session(self._operator) as asks:
            while not self._over.is_set():
                told, wrong = "", ""
                try:
                    answer = asks.get(f"{self._uri}/version", timeout=30)
                    if answer.status_code == 200:
                        told = str(answer.json()["version"])
                    else:
                        wrong = f"{answer.status_code} {answer.text[:200]}"
                except OSError as error:
                    wrong = f"{type(error).__name__}: {error}"[:200]
                with self._lock:
                    (self.wrong if wrong else self.versions)[wrong or told] += 1
                time.sleep(PAUSE_S)
