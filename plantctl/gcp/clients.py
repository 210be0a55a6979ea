"""Carries a call by method id: discovery documents for most APIs, Google's typed clients for Run and Secret Manager.

Clients are built on first use and kept; every Google import is inside a function, so that help and status stay quick.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from plantctl.gcp.methods import api_of
from plantctl.gcp.target import Target
from plantctl.gcp.transport import Transport
from plantctl.model.step import Body

# method id without its API word -> (library, client class, rpc, request type, field that holds the body)
TYPED: dict[str, tuple[str, str, str, str, str]] = {
    "run.projects.locations.jobs.create": ("run_v2", "JobsClient", "create_job", "CreateJobRequest", "job"),
    "run.projects.locations.jobs.get": ("run_v2", "JobsClient", "get_job", "GetJobRequest", ""),
    "run.projects.locations.jobs.list": ("run_v2", "JobsClient", "list_jobs", "ListJobsRequest", ""),
    "run.projects.locations.jobs.patch": ("run_v2", "JobsClient", "update_job", "UpdateJobRequest", "job"),
    "run.projects.locations.jobs.run": ("run_v2", "JobsClient", "run_job", "RunJobRequest", "*"),
    "run.projects.locations.jobs.executions.get": (
        "run_v2", "ExecutionsClient", "get_execution", "GetExecutionRequest", "",
    ),
    "run.projects.locations.jobs.executions.list": (
        "run_v2", "ExecutionsClient", "list_executions", "ListExecutionsRequest", "",
    ),
    "secretmanager.projects.secrets.create": (
        "secretmanager_v1", "SecretManagerServiceClient", "create_secret", "CreateSecretRequest", "secret",
    ),
    "secretmanager.projects.secrets.get": (
        "secretmanager_v1", "SecretManagerServiceClient", "get_secret", "GetSecretRequest", "",
    ),
    "secretmanager.projects.secrets.patch": (
        "secretmanager_v1", "SecretManagerServiceClient", "update_secret", "UpdateSecretRequest", "secret",
    ),
    "secretmanager.projects.secrets.addVersion": (
        "secretmanager_v1", "SecretManagerServiceClient", "add_secret_version", "AddSecretVersionRequest", "*",
    ),
    "secretmanager.projects.secrets.versions.list": (
        "secretmanager_v1", "SecretManagerServiceClient", "list_secret_versions", "ListSecretVersionsRequest", "",
    ),
    "secretmanager.projects.secrets.versions.access": (
        "secretmanager_v1", "SecretManagerServiceClient", "access_secret_version", "AccessSecretVersionRequest", "",
    ),
}  # fmt: skip

TIMEOUT_S = 90.0


class Clients:
    """Thread-safe; one per process."""

    def __init__(self, target: Target, transport: Transport) -> None:
        self._target = target
        self._transport = transport
        self._lock = threading.Lock()
        self._documents: dict[tuple[str, str], Any] = {}
        self._typed: dict[tuple[str, str], Any] = {}

    def verb(self, method_id: str) -> str:
        """HTTP verb of a method, from its discovery document; LookupError for an unknown method."""
        return str(self._method(method_id)["httpMethod"])

    def carry(self, method_id: str, body: Body | None, params: dict[str, Any], upload: bytes | None) -> Body:
        """One request for a method; gives the answer as JSON in REST names. Raises Failure."""
        if method_id in TYPED:
            return self._carry_typed(method_id, body, params)
        return self._carry_discovery(method_id, body, params, upload)

    def _method(self, method_id: str) -> Any:
        document = self._document(*api_of(method_id))[0]
        node: Any = document
        *resources, verb = method_id.split(".")[1:]
        for word in resources:
            node = node["resources"][word]
        return node["methods"][verb]

    def _document(self, api: str, version: str) -> tuple[Any, Any]:
        """(discovery document, googleapiclient resource) of an API."""
        with self._lock:
            if (api, version) not in self._documents:
                self._documents[api, version] = _build(self._target, api, version)
            document, client = self._documents[api, version]
            return document, client

    def _carry_discovery(self, method_id: str, body: Body | None, params: dict[str, Any], upload: bytes | None) -> Body:
        from googleapiclient.http import MediaInMemoryUpload

        node: Any = self._document(*api_of(method_id))[1]
        *resources, verb = method_id.split(".")[1:]
        for word in resources:
            node = getattr(node, word)()
        arguments = dict(params)
        if body is not None:
            arguments["body"] = body
        if upload is not None:
            arguments["media_body"] = MediaInMemoryUpload(upload, mimetype="application/gzip", resumable=False)
        request = getattr(node, verb)(**arguments)
        return self._transport.send_json(request.method, request.uri, request.body, dict(request.headers))

    def _carry_typed(self, method_id: str, body: Body | None, params: dict[str, Any]) -> Body:
        import importlib

        from google.protobuf import json_format

        library, client_name, rpc, request_name, field = TYPED[method_id]
        module = importlib.import_module(f"google.cloud.{library}")
        given: Body = dict(params)
        if field == "*":
            given |= body or {}
        elif field:
            given[field] = {**(body or {}), **({"name": given.pop("name")} if "name" in given else {})}
        request_type = getattr(module, request_name)
        request = request_type(json_format.ParseDict(given, request_type.pb(request_type())))
        client = self._client(library, client_name)
        inner = client.transport
        call = getattr(inner, rpc)
        # below the client's wrappers: one send, no retry of theirs, no paging, no operation future
        answer = call(request, timeout=TIMEOUT_S, metadata=_routing(request, given, field))
        message = answer._pb if hasattr(answer, "_pb") else answer
        return dict(json_format.MessageToDict(message))

    def _client(self, library: str, name: str) -> Any:
        import importlib

        from google.auth.credentials import AnonymousCredentials

        with self._lock:
            if (library, name) not in self._typed:
                module = importlib.import_module(f"google.cloud.{library}")
                kind = getattr(module, name)
                api = "run" if library == "run_v2" else "secretmanager"
                root = self._target.root_url(api, f"https://{api}.googleapis.com").rstrip("/")
                transport_type = kind.get_transport_class("rest")
                # credentials are the session's: the client's own would build a second, retrying session
                inner = transport_type(host=root, credentials=AnonymousCredentials(), url_scheme="http")  # type: ignore[no-untyped-call]
                inner._session = self._transport.session_for_gapic()
                self._typed[library, name] = kind(transport=inner)
            return self._typed[library, name]


def _routing(request: Any, given: Body, field: str) -> list[tuple[str, str]]:
    """The routing header that GAPIC clients add (AIP-4222)."""
    for key in ("name", "parent"):
        if given.get(key):
            return [("x-goog-request-params", f"{key}={given[key]}")]
    inner = given.get(field) if field not in ("", "*") else None
    return [("x-goog-request-params", f"{field}.name={inner['name']}")] if inner and inner.get("name") else []


def _build(target: Target, api: str, version: str) -> tuple[Any, Any]:
    import googleapiclient.discovery_cache as cache
    from googleapiclient.discovery import build_from_document

    path = Path(str(cache.__file__)).parent / "documents" / f"{api}.{version}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    # rootUrl, not api_endpoint: uploads ignore the latter's scheme and path (sandbox.md section 1)
    document["rootUrl"] = target.root_url(api, document["rootUrl"])
    document["baseUrl"] = document["rootUrl"] + document["servicePath"]
    document.pop("mtlsRootUrl", None)
    return document, build_from_document(document, http=_Unused())


class _Unused:
    """Stands where googleapiclient wants an httplib2.Http: requests are built there, and sent by our transport."""

    def request(self, *_: Any, **__: Any) -> Any:
        """Never called; a call would be a second, unrecorded way to the wire."""
        raise AssertionError("a request went past plantctl's transport")

    def close(self) -> None:
        """Nothing to close."""
