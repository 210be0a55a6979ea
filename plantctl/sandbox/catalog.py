"""Google's discovery documents, as bundled with googleapiclient: methods, routes and schemas, read on first use.

Routing rules and figures: sandbox 3 (path from `path` and the parameters' patterns, sort by number of variables).
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from plantctl.sandbox import wire
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Finisher, Handler, Listener, Method, Service, World

VERSION = re.compile(r"(?:^|/)(v\d+(?:(?:alpha|beta)\d*)?|beta|alpha)(?=[/:])")
DOCUMENT = re.compile(r"^(.+?)\.((?:v\d|alpha|beta).*)\.json$")
VARIABLE = re.compile(r"\{(\+?)(\w+)\}")
TITLE = re.compile(r'"servicePath": ".*",\s*"title": "(.*)"')
ANY_DEPTH = -1


@dataclass(frozen=True)
class Spec:
    """One method with what validation needs: parameters as discovery has them, the document for its schemas."""

    method: Method
    parameters: dict[str, dict[str, Any]]
    document: Document = field(repr=False)
    takes_media: bool = False

    @property
    def id(self) -> str:
        """Google's method id."""
        return self.method.id


@dataclass(frozen=True)
class Match:
    """A routed request: the method, its path parameters (unquoted), and whether the path was an upload's."""

    spec: Spec
    params: dict[str, str]
    upload: bool = False


class Route:
    """One path template, compiled when it is first tried."""

    def __init__(self, template: str, spec: Spec, *, upload: bool = False) -> None:
        self.template = template
        self.spec = spec
        self.upload = upload
        self.names = [name for _, name in VARIABLE.findall(template)]

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The whole path; group n is the n-th variable."""
        parts = [
            re.escape(text) if kind == "text" else f"({self._pattern(text, plus=kind == 'plus')})"
            for kind, text in _pieces(self.template)
        ]
        return re.compile("".join(parts) + r"\Z")

    @cached_property
    def depth(self) -> int:
        """Number of slashes, ANY_DEPTH where a variable may hold any number of them."""
        count = 0
        for kind, text in _pieces(self.template):
            piece = text if kind == "text" else self._pattern(text, plus=kind == "plus")
            if kind != "text" and (".*" in piece or ".+" in piece or "0-9/]" in piece):
                return ANY_DEPTH
            count += re.sub(r"\[\^/\]", "", piece).count("/")
        return count

    @cached_property
    def freedom(self) -> int:
        """Number of path segments that may be anything."""
        return sum(
            0 if kind == "text" else max(1, self._pattern(text, plus=kind == "plus").count("[^/]"))
            for kind, text in _pieces(self.template)
        )

    @property
    def verb(self) -> str:
        """The custom verb after the last colon, or empty."""
        found = re.search(r":(\w+)$", self.template)
        return found.group(1) if found else ""

    def _pattern(self, name: str, *, plus: bool) -> str:
        if not plus:
            return "[^/]+"
        # groups inside Google's patterns must not shift ours
        pattern = str(self.spec.parameters[name].get("pattern", ".+")).removeprefix("^").removesuffix("$")
        return re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern)


class Document:
    """One discovery document: `methods` by id, `schemas` by name, `resolve` from verb and path to a method."""

    def __init__(self, api: str, version: str, raw: dict[str, Any]) -> None:
        self.api = api
        self.version = version
        self.title = str(raw.get("title", api))
        self.schemas: dict[str, dict[str, Any]] = raw.get("schemas", {})
        self.parameters: dict[str, dict[str, Any]] = raw.get("parameters", {})
        self.methods: dict[str, Spec] = {}
        self.flat_paths: dict[str, str] = {}
        self._routes: dict[tuple[str, int, str], list[Route]] = {}
        self._memo: dict[tuple[str, str], Match | None] = {}
        prefix = str(raw.get("servicePath", ""))
        for entry in _walk(raw):
            self._add(prefix, entry)
        for routes in self._routes.values():
            # fewer variable segments first, else `.../backendServices/listUsable` would be a name, and every
            # `projects/p/logs` an instance of logging's `[^/]+/[^/]+/logs`
            routes.sort(key=lambda route: route.freedom)

    def resolve(self, verb: str, path: str) -> Match | None:
        """The method of a percent-encoded path without leading slash and query, or None."""
        key = (verb, path)
        if key not in self._memo:
            if len(self._memo) > 4096:
                self._memo.clear()
            self._memo[key] = self._find(verb, path)
        return self._memo[key]

    def _find(self, verb: str, path: str) -> Match | None:
        found = re.search(r":([A-Za-z]+)$", path)
        depth = path.count("/")
        for custom in [found.group(1), ""] if found else [""]:
            for slashes in (depth, ANY_DEPTH):
                for route in self._routes.get((verb, slashes, custom), []):
                    hit = route.regex.match(path)
                    if hit:
                        values = (unquote(value) for value in hit.groups())
                        return Match(route.spec, dict(zip(route.names, values, strict=True)), route.upload)
        return None

    def _add(self, prefix: str, entry: dict[str, Any]) -> None:
        verb, method_id = entry["httpMethod"], entry["id"]
        spec = Spec(
            method=Method(
                id=method_id,
                api=self.api,
                version=self.version,
                verb=verb,
                path=prefix + entry["path"],
                request=entry.get("request", {}).get("$ref"),
                response=entry.get("response", {}).get("$ref"),
                mutating=wire.is_mutating(method_id, verb, {}),
            ),
            parameters=entry.get("parameters", {}),
            document=self,
            takes_media="mediaUpload" in entry,
        )
        self.methods[method_id] = spec
        self.flat_paths[method_id] = prefix + entry.get("flatPath", entry["path"])
        self._route(verb, Route(prefix + entry["path"], spec))
        if entry.get("supportsMediaDownload"):
            self._route(verb, Route(f"download/{prefix}{entry['path']}", spec))
        for protocol in entry.get("mediaUpload", {}).get("protocols", {}).values():
            for upload_verb in (verb, "PUT"):  # PUT brings the pieces of a resumable upload
                self._route(upload_verb, Route(protocol["path"].lstrip("/"), spec, upload=True))

    def _route(self, verb: str, route: Route) -> None:
        self._routes.setdefault((verb, route.depth, route.verb), []).append(route)


class Catalog:
    """All documents and the handlers that services registered; a handler for an unknown method id is an error."""

    def __init__(self, services: Iterable[Service] = ()) -> None:
        self._paths = _documents()
        self._documents: dict[tuple[str, str], Document] = {}
        self._handlers: dict[tuple[str, str, str], tuple[Handler, bool]] = {}
        self.finishers: dict[str, tuple[Finisher, bool]] = {}
        self.failures: dict[str, Callable[[World, Operation], None]] = {}
        self.listeners: dict[str, list[Listener]] = {}
        for service in services:
            self._assemble(service)

    def knows(self, api: str) -> bool:
        """Whether any document has this API."""
        return api in self._paths

    def versions(self, api: str) -> list[str]:
        """Versions of an API on disk."""
        return list(self._paths.get(api, {}))

    def document(self, api: str, version: str) -> Document:
        """The document, read and indexed on first use; KeyError where there is none."""
        key = (api, version)
        if key not in self._documents:
            raw = json.loads(self._paths[api][version].read_text())
            self._documents[key] = Document(api, version, raw)
        return self._documents[key]

    def resolve(self, api: str, verb: str, path: str) -> Match | None:
        """The method behind `/<api>/<path>`; `path` is Google's own, percent-encoded, without leading slash."""
        path = _normalise(api, path)
        found = VERSION.search(path)
        versions = self._paths.get(api, {})
        if not found or found.group(1) not in versions:
            return None
        return self.document(api, found.group(1)).resolve(verb, path)

    def handler(self, spec: Spec) -> tuple[Handler, bool] | None:
        """The handler and whether it blocks; None where the sandbox has none."""
        return self._handlers.get((spec.method.api, spec.method.version, spec.id))

    def implemented(self) -> Iterator[tuple[str, str, str]]:
        """(api, version, method id) of every handler."""
        return iter(sorted(self._handlers))

    def _assemble(self, service: Service) -> None:
        for (version, method_id), handler in service.handlers.items():
            if version not in self._paths.get(service.api, {}):
                raise LookupError(f"no discovery document {service.api}.{version}")
            if method_id not in self.document(service.api, version).methods:
                raise LookupError(f"{method_id} is not in Google's document {service.api}.{version}")
            self._handlers[service.api, version, method_id] = (handler, method_id in service.blocking)
        self.finishers.update(service.finishers)
        self.failures.update(service.failures)
        for event, listeners in service.listeners.items():
            self.listeners.setdefault(event, []).extend(listeners)


def api_words() -> list[str]:
    """First words of the hosts of all APIs on disk (`run`, `sqladmin`)."""
    return list(_documents())


@cache
def title_of(api: str) -> str:
    """An API's name for people; its word where it has no document."""
    versions = _documents().get(api, {})
    if not versions:
        return api
    newest = sorted(versions, key=lambda version: ("a" in version, version))[0]
    path = versions[newest]
    with path.open("rb") as file:  # keys are sorted, so the title stands at the very end
        file.seek(max(0, path.stat().st_size - 4096))
        found = TITLE.search(file.read().decode(errors="replace"))
    return str(json.loads(f'"{found.group(1)}"') if found else json.loads(path.read_text()).get("title", api))


@cache
def _documents() -> dict[str, dict[str, Path]]:
    paths: dict[str, dict[str, Path]] = {}
    for path in sorted(_folder().glob("*.json")):
        found = DOCUMENT.match(path.name)
        if found:
            paths.setdefault(found.group(1), {})[found.group(2)] = path
    return paths


def _folder() -> Path:
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("google-api-python-client is not installed")
    return Path(spec.submodule_search_locations[0]) / "discovery_cache" / "documents"


def _normalise(api: str, path: str) -> str:
    # gcloud's library says sql/v1beta4, some clients v1beta4; compute beta is answered by v1
    if api == "sqladmin" and path.startswith("v1beta4/"):
        return f"sql/{path}"
    if api == "compute" and path.startswith("compute/beta/"):
        return "compute/v1/" + path.removeprefix("compute/beta/")
    return path


def _walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from node.get("methods", {}).values()
    for child in node.get("resources", {}).values():
        yield from _walk(child)


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    end = 0
    for found in VARIABLE.finditer(template):
        yield "text", template[end : found.start()]
        yield ("plus" if found.group(1) else "plain"), found.group(2)
        end = found.end()
    yield "text", template[end:]
