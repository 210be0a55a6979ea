"""The metadata server of one process: who it is, and tokens that say so.

Called by process.py for each process that it starts. Paths and headers: cloud.google.com/run/docs/container-contract
("Metadata server") and cloud.google.com/compute/docs/metadata/predefined-metadata-keys.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

# (service account email, "access" or "identity", audience of an identity token or "") -> (token, seconds it is good)
Mint = Callable[[str, str, str], tuple[str, int]]

SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
_ACCOUNTS = "instance/service-accounts/"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the server says about its process; `instance_id` is free to choose."""

    service_account: str
    project_id: str
    project_number: str
    region: str
    instance_id: str = "0"


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    body: str
    content_type: str = "application/text"


class MetadataServer:
    """Listens on a loopback port of its own from construction to close()."""

    def __init__(self, identity: Identity, mint: Mint) -> None:
        self.identity, self._mint = identity, mint
        self._server = _Server(self.answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="metadata", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """`127.0.0.1:port`, the value for GCE_METADATA_HOST."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def close(self) -> None:
        """Stop listening; the thread ends."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, target: str) -> _Answer:
        """The answer to a GET that carried the header: status, text, content type."""
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        path = parts.path
        if path in ("", "/"):
            return _Answer(status=200, body="computeMetadata/\n")
        if not path.startswith("/computeMetadata/v1/"):
            return _not_found(path)
        key = path.removeprefix("/computeMetadata/v1/")
        if key.startswith(_ACCOUNTS):
            return self._accounts(key.removeprefix(_ACCOUNTS), query, path)
        value = self._values().get(key.rstrip("/"))
        return _not_found(path) if value is None else _Answer(status=200, body=value)

    def _values(self) -> dict[str, str]:
        me = self.identity
        return {
            "project/project-id": me.project_id,
            "project/numeric-project-id": me.project_number,
            "instance/region": f"projects/{me.project_number}/regions/{me.region}",
            "instance/zone": f"projects/{me.project_number}/zones/{me.region}-1",
            "instance/id": me.instance_id,
            "universe/universe-domain": "googleapis.com",
        }

    def _accounts(self, rest: str, query: dict[str, str], path: str) -> _Answer:
        email = self.identity.service_account
        if not rest:
            return _Answer(status=200, body=f"default/\n{email}/\n")
        account, _, item = rest.partition("/")
        if account not in ("default", email):
            return _not_found(path)
        if not item:
            if query.get("recursive", "").lower() != "true":
                return _Answer(status=200, body="aliases\nemail\nidentity\nscopes\ntoken\n")
            return _json({"aliases": ["default"], "email": email, "scopes": list(SCOPES)})
        match item:
            case "email":
                return _Answer(status=200, body=email)
            case "aliases":
                return _Answer(status=200, body="default\n")
            case "scopes":
                return _Answer(status=200, body="".join(f"{scope}\n" for scope in SCOPES))
            case "token":
                token, expires_in_s = self._mint(email, "access", "")
                return _json({"access_token": token, "expires_in": expires_in_s, "token_type": "Bearer"})
            case "identity":
                audience = query.get("audience", "")
                if not audience:
                    return _Answer(status=400, body="non-empty audience parameter required")
                return _Answer(status=200, body=self._mint(email, "identity", audience)[0], content_type="text/html")
            case _:
                return _not_found(path)


def _json(document: dict[str, Any]) -> _Answer:
    return _Answer(status=200, body=json.dumps(document, separators=(",", ":")), content_type="application/json")


def _not_found(path: str) -> _Answer:
    body = f"The requested URL {path} was not found on this server.\n"
    return _Answer(status=404, body=body, content_type="text/html; charset=UTF-8")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Callable[[str], _Answer]) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds a connection may lie idle

    def do_GET(self) -> None:
        self._respond(self._answer())

    def _answer(self) -> _Answer:
        if self.headers.get("Metadata-Flavor") != "Google":
            body = 'Missing required header "Metadata-Flavor": "Google"\n'
            return _Answer(status=403, body=body, content_type="text/html; charset=UTF-8")
        if self.headers.get("X-Forwarded-For") is not None:
            body = 'Request contains the header "X-Forwarded-For", which is not allowed\n'
            return _Answer(status=403, body=body, content_type="text/html; charset=UTF-8")
        try:
            return self.server.answer(self.path)
        except Exception as error:  # a mint that fails is the server's failure, and the process must see one
            return _Answer(status=503, body=f"{type(error).__name__}\n")

    def _respond(self, answer: _Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-XSS-Protection", "0")
        self.send_header("X-Frame-Options", "SAMEORIGIN")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """The Server header of Google's."""
        return "Metadata Server for VM"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the library gave it
        """Nothing is logged: a request names audiences, an answer holds tokens."""
