"""Something in between, as a proxy in an office may be: sends one request twice, or swallows it."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.e2e.operator import Operator

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Between(ThreadingHTTPServer):
    """Passes everything on to `real`; the first request whose `VERB path` matches `what` is done `how`.

    `how`: `twice` or `swallowed`. `done` counts those it was done to.
    """

    daemon_threads = True

    def __init__(self, real: str, what: str, how: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.real, self.what, self.how = urlsplit(real).netloc, re.compile(what), how
        self.done = 0
        self._lock = threading.Lock()

    @property
    def rest(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def struck(self, line: str) -> bool:
        """True once."""
        with self._lock:
            if self.done or not self.what.search(line):
                return False
            self.done += 1
            return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Between

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        struck = self.server.struck(f"{self.command} {self.path}")
        if struck and self.server.how == "swallowed":
            self.close_connection = True
            return
        status, headers, answer = self._send(body)
        if struck:
            self._send(body)  # what comes of it nobody sees
        if self.path.startswith("/_sandbox/status"):
            answer = json.dumps({**json.loads(answer), "rest": self.server.rest}).encode()
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 - names of http.server

    def _send(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.real, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def something_between(operator: Operator, what: str, how: str) -> Iterator[Between]:
    """plantctl's requests take the way through it while the context lasts."""
    path = operator.home / "sandbox" / "endpoint.json"
    old = path.read_text(encoding="utf-8")
    server = Between(json.loads(old)["rest"], what, how)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    path.write_text(json.dumps({**json.loads(old), "rest": server.rest}), encoding="utf-8")
    try:
        yield server
    finally:
        path.write_text(old, encoding="utf-8")
        server.shutdown()
        server.server_close()
        thread.join()
