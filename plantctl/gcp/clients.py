"""Carries a call by method id: discovery documents for most APIs, Google's typed clients for the writes of some.

Clients are built on first use and kept; every Google import is inside a function, so that help and status stay quick.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import keyword
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plantctl.gcp.methods import api_of
from plantctl.gcp.target import Target
from plantctl.gcp.transport import GapicSession, Transport, decode
from plantctl.gcp.typed import TYPED, Typed
from plantctl.model.step import Body

TIMEOUT_S = 90.0


class Clients:
    """Thread-safe; one per process. Each document and client is made once, by whoever needs it first."""

    def __init__(self, target: Target, transport: Transport) -> None:
        self._target = target
        self._transport = transport
        self._lock = threading.Lock()
        self._made: dict[tuple[str, ...], _Slot] = {}

    def verb(self, method_id: str) -> str:
        """HTTP verb of a method, from its discovery document; LookupError for an unknown method."""
        node: Any = self._document(*api_of(method_id))
        *resources, verb = method_id.split(".")[1:]
        for word in resources:
            node = node["resources"][word]
        return str(node["methods"][verb]["httpMethod"])

    def carry(self, method_id: str, body: Body | None, params: dict[str, Any], upload: bytes | None) -> Body:
        """One request for a method; gives the answer as JSON in REST names. Raises Failure."""
        if method_id in TYPED:
            return self._carry_typed(method_id, body, params)
        return self._carry_discovery(method_id, body, params, upload)

    def _once(self, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
        """What `make` gives, made once; only those who want the same thing wait for it."""
        with self._lock:
            slot = self._made.setdefault(key, _Slot())
        with slot.lock:
            if not slot.made:
                slot.value, slot.made = make(), True
        return slot.value

    def _document(self, api: str, version: str) -> Any:
        return self._once(("document", api, version), lambda: _read(self._target, api, version))

    def _discovery(self, api: str, version: str) -> Any:
        from googleapiclient.discovery import build_from_document

        document = self._document(api, version)
        return self._once(("client", api, version), lambda: build_from_document(document, http=_Unused()))

    def _node(self, api: tuple[str, str], resources: tuple[str, ...]) -> Any:
        """The client's object for a resource; kept, because googleapiclient makes its methods anew each time."""
        if not resources:
            return self._discovery(*api)
        parent = self._node(api, resources[:-1])
        return self._once(("node", *api, *resources), lambda: getattr(parent, resources[-1])())

    def _carry_discovery(self, method_id: str, body: Body | None, params: dict[str, Any], upload: bytes | None) -> Body:
        from googleapiclient.http import MediaInMemoryUpload

        *resources, verb = method_id.split(".")[1:]
        node = self._node(api_of(method_id), tuple(resources))
        arguments = dict(params)
        if body is not None:
            arguments["body"] = body
        if upload is not None:
            arguments["media_body"] = MediaInMemoryUpload(upload, mimetype="application/gzip", resumable=False)
        # `import` is a word of Python's; googleapiclient appends an underscore to such
        request = getattr(node, f"{verb}_" if keyword.iskeyword(verb) else verb)(**arguments)
        return self._transport.send_json(request.method, request.uri, request.body, dict(request.headers))

    def _carry_typed(self, method_id: str, body: Body | None, params: dict[str, Any]) -> Body:
        from google.protobuf import json_format

        row = TYPED[method_id]
        client, session = self._once(("typed", row.library, row.client), lambda: self._typed(row))
        request_type = getattr(importlib.import_module(f"google.cloud.{row.library}"), row.request)
        fields = request_type.pb(request_type())
        given: Body = dict(params)
        if row.field == "*":
            given |= body or {}
        elif row.field:
            # an update names its resource in the body; where the request has a `name` of its own, that is the parent
            inside = "name" in given and "name" not in fields.DESCRIPTOR.fields_by_name
            given[row.field] = {**(body or {}), **({"name": given.pop("name")} if inside else {})}
        request = request_type(json_format.ParseDict(given, fields))
        # below the client's wrappers: one send, no retry of theirs, no paging, no operation future
        send = getattr(client.transport, row.rpc)
        routing = _routing(given, row.field)
        if session is None:
            answered = send(request, timeout=TIMEOUT_S, metadata=routing)
            return dict(json_format.MessageToDict(type(answered).pb(answered)))
        try:
            send(request, timeout=TIMEOUT_S, metadata=routing)
        except json_format.ParseError:
            # the write is done, and its answer is JSON (the transport looked): newer than the library, no failure
            if not session.content:
                raise
        return decode(session.content)

    def _typed(self, row: Typed) -> tuple[Any, GapicSession | None]:
        """The client, and the session that keeps its last answer; none for gRPC, whose answers are no JSON."""
        from google.auth.credentials import AnonymousCredentials

        kind = getattr(importlib.import_module(f"google.cloud.{row.library}"), row.client)
        if row.transport == "grpc":
            host = f"{row.api}.googleapis.com"
            channel = self._once(("channel", host), lambda: self._transport.channel(host))
            return kind(transport=kind.get_transport_class("grpc")(channel=channel)), None
        official = f"https://{row.api}.googleapis.com"
        root = self._target.root_url(row.api, official).rstrip("/")
        # credentials are the session's: the client's own would build a second, retrying session
        nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]
        scheme = root.split(":", 1)[0]
        inner = kind.get_transport_class("rest")(host=root, credentials=nobody, url_scheme=scheme)
        session = inner._session = self._transport.session_for_gapic()
        return kind(transport=inner), session


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made = False
        self.value: Any = None


def _routing(given: Body, field: str) -> list[tuple[str, str]]:
    """The routing header that GAPIC clients add (AIP-4222)."""
    for key in ("name", "parent"):
        if given.get(key):
            return [("x-goog-request-params", f"{key}={given[key]}")]
    inner = given.get(field) if field not in ("", "*") else None
    return [("x-goog-request-params", f"{field}.name={inner['name']}")] if inner and inner.get("name") else []


def _read(target: Target, api: str, version: str) -> Any:
    # found without importing the package: verbs need this file only, and a start-up should be quick
    package = importlib.util.find_spec("googleapiclient")
    folder = Path(package.origin if package and package.origin else "").parent
    path = folder / "discovery_cache" / "documents" / f"{api}.{version}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    # rootUrl, not api_endpoint: uploads ignore the latter's scheme and path
    document["rootUrl"] = target.root_url(api, document["rootUrl"])
    document["baseUrl"] = document["rootUrl"] + document["servicePath"]
    document.pop("mtlsRootUrl", None)
    return document


class _Unused:
    """Stands where googleapiclient wants an httplib2.Http: requests are built there, and sent by our transport."""

    def request(self, *_: Any, **__: Any) -> Any:
        """Never called; a call would be a second, unrecorded way to the wire."""
        raise AssertionError("a request went past plantctl's transport")

    def close(self) -> None:
        """Nothing to close."""
