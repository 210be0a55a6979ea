"""One request from its bytes to its answer: route, log, faults, gates, validation, handler. Knows no server."""

from __future__ import annotations

import dataclasses
import json
import logging
import traceback
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from plantctl.sandbox import enum_positions, enums, gates, media, partial, validate
from plantctl.sandbox.access import permission_of
from plantctl.sandbox.catalog import Catalog, Match, Spec
from plantctl.sandbox.clock import pause
from plantctl.sandbox.errors import ApiError, unimplemented
from plantctl.sandbox.faults import Faults, Strike
from plantctl.sandbox.resource import resource_of
from plantctl.sandbox.service import OWNER, Answer, Call, World
from plantctl.sandbox.stale import Stales
from plantctl.sandbox.wire import Entry, Wire, is_mutating

log = logging.getLogger("plantctl.sandbox")
JSON = "application/json; charset=UTF-8"
# the body alone names the resource: their handlers ask for the permission
BY_BODY = frozenset({"logging.entries.write", "logging.entries.list"})


@dataclass(kw_only=True)
class Request:
    """An HTTP request. `path` is Google's own, percent-encoded, without leading slash; header names in lower case."""

    transport: str
    api: str
    verb: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    origin: str = ""
    """What stands before `path` in the client's eyes (`http://127.0.0.1:1234/storage/`), for Location headers."""


@dataclass(kw_only=True)
class Reply:
    """An HTTP answer. `cut`: None, or the number of body bytes after which the connection breaks (-1: no answer)."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


class Gateway:
    """Handles requests on any thread. `strict`: an answer that does not fit its schema is a defect (tests)."""

    def __init__(self, world: World, catalog: Catalog, wire: Wire, faults: Faults, *, strict: bool = False) -> None:
        self.world = world
        self.catalog = catalog
        self.wire = wire
        self.faults = faults
        self.sessions = media.Sessions()
        self.stales = Stales()
        self.strict = strict
        world.hooks["request"] = self.handle  # for services that call others, as Cloud Scheduler does

    def handle(self, request: Request) -> Reply:
        """The answer to a request, with its entry in the wire log."""
        match = self.catalog.resolve(request.api, request.verb, request.path)
        if match is None:
            return self.refuse(request, unimplemented(f"{request.verb} /{request.api}/{request.path}"))
        pairs = parse_qsl(request.query, keep_blank_values=True)
        loose = {**dict(pairs), **match.params}
        try:
            raw = media.decoded(request.body, request.headers)
            peek = _peek(match, raw, request)
        except ApiError as error:
            raw, peek = b"", {}
            early: ApiError | None = error
        else:
            early = None
        resource = resource_of(match, loose, peek, self.world)
        mutating = is_mutating(match.spec.id, request.verb, loose)
        entry = self._entry(request, match.spec.id, resource, mutating=mutating)
        strikes = {s.rule.when: s for s in self._strikes(match, entry)}
        struck = self._struck_before(strikes, request.api)
        if struck is not None:
            reply = struck
        elif early is not None:
            reply = self._struck_after(strikes, _error(request.api, early), request.api)
        else:
            answered = self._answer(request, match, pairs, raw, entry, strikes)
            reply = self._struck_after(strikes, answered, request.api)
        fault = " + ".join(s.text for s in strikes.values()) or None
        self.wire.end(entry, None if reply.cut == -1 else reply.status, fault)
        return reply

    def refuse(self, request: Request, error: ApiError) -> Reply:
        """The answer to a request that is about no known method, with its entry in the wire log."""
        entry = self._entry(request, "", f"{request.api}/{request.path}", mutating=request.verb != "GET")
        reply = _error(request.api, error)
        self.wire.end(entry, reply.status)
        return reply

    def _entry(self, request: Request, method_id: str, resource: str, *, mutating: bool) -> Entry:
        return self.wire.begin(
            at=self.world.clock.rfc3339(),
            transport=request.transport,
            method_id=method_id,
            resource=resource,
            mutating=mutating,
            user_agent=request.headers.get("user-agent", ""),
            reason=request.headers.get("x-goog-request-reason", ""),
            verb=request.verb,
            path=f"/{request.path}",
        )

    # -- faults

    def _strikes(self, match: Match, entry: Entry) -> list[Strike]:
        strikes = self.faults.strike(entry.method_id, entry.resource, mutating=entry.mutating, seq=entry.seq)
        operation = _polled(match)
        if operation:
            polled = self.faults.poll(operation, entry.method_id, entry.seq)
            if polled is not None:
                strikes.append(dataclasses.replace(polled, rule=dataclasses.replace(polled.rule, when="before")))
        return strikes

    def _struck_before(self, strikes: dict[str, Strike], api: str) -> Reply | None:
        strike = strikes.get("before")
        if strike is None or strike.kind in ("stale", "lro_error", "truncate"):
            return None
        if strike.kind == "hang":
            pause(strike.number)
            return None
        return _cut() if strike.kind == "reset" else _struck(strike, api)

    def _struck_after(self, strikes: dict[str, Strike], reply: Reply, api: str) -> Reply:
        for strike in strikes.values():
            if strike.kind == "truncate":
                reply.cut = int(strike.number)
            elif strike.rule.when != "after_commit":
                continue
            elif strike.kind == "hang":
                pause(strike.number)
            elif strike.kind == "reset":
                return _cut()
            elif strike.error is not None:
                return _struck(strike, api)
        return reply

    # -- the answer

    def _answer(
        self,
        request: Request,
        match: Match,
        pairs: list[tuple[str, str]],
        raw: bytes,
        entry: Entry,
        strikes: dict[str, Strike],
    ) -> Reply:
        try:
            done = self._upload(request, match, dict(pairs), raw)
            if isinstance(done, Reply):
                return done
            call = self._call(request, match, pairs, done)
            return self._run(call, match.spec, entry, strikes, dict(pairs))
        except ApiError as error:
            return _error(request.api, error)
        except Exception as error:  # a defect must be seen, but never as a 5xx: gcloud would retry it for half a minute
            log.exception("defect in %s", match.spec.id)
            where = traceback.format_exception_only(error)[-1].strip()
            return _error(request.api, ApiError("INTERNAL", f"sandbox defect in {match.spec.id}: {where}", http=400))

    def _upload(self, request: Request, match: Match, params: dict[str, str], raw: bytes) -> media.Upload | Reply:
        kind = params.get("uploadType") or params.get("upload_protocol", "")
        content_type = request.headers.get("content-type", "")
        if params.get("upload_id"):
            taken = self.sessions.take(params["upload_id"], raw, request.headers.get("content-range", ""))
            if isinstance(taken, int):
                return Reply(status=308, headers={"range": f"bytes=0-{taken - 1}"} if taken else {})
            return taken
        if kind == "resumable" and match.upload:
            self._check(request, match, list(params.items()))
            described = request.headers.get("x-upload-content-type", "application/octet-stream")
            upload_id = self.sessions.begin(request.path, media.parse_json(raw) or {}, described)
            location = f"{request.origin}{request.path}?{request.query}&upload_id={upload_id}"
            return Reply(status=200, headers={"location": location, "x-guploader-uploadid": upload_id})
        if kind == "multipart" and match.upload:
            return media.multipart(raw, content_type)
        if match.upload:
            return media.Upload({}, raw, content_type)
        return media.Upload(media.parse_json(raw) or {}, b"", "")

    def _check(self, request: Request, match: Match, pairs: list[tuple[str, str]]) -> dict[str, Any]:
        if self.catalog.handler(match.spec) is None:
            raise unimplemented(match.spec.id)
        params: dict[str, Any] = {**validate.query(match.spec, _with_method_override(pairs)), **match.params}
        validate.required(match.spec, params)
        return params

    def _call(self, request: Request, match: Match, pairs: list[tuple[str, str]], upload: media.Upload) -> Call:
        if request.query and "upload_id=" in request.query:
            pairs = [pair for pair in pairs if pair[0] != "upload_id"]
        params = self._check(request, match, pairs)
        spec = match.spec
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        principal = self.world.access.principal_of(token)
        body = _enums(spec, spec.method.request, upload.metadata, names=True)
        call = Call(
            method=spec.method,
            params=params,
            body={},
            world=self.world,
            principal=principal,
            media=upload.media if match.upload else None,
            media_type=upload.media_type,
            headers=request.headers,
        )
        gates.check(call, body if isinstance(body, dict) else {})
        call.body = validate.body(spec, body)
        if principal != OWNER and spec.id not in BY_BODY and not spec.id.endswith("testIamPermissions"):
            self.world.access.require(principal, permission_of(spec.id), resource_of(match, params, {}, self.world))
        return call

    def _run(self, call: Call, spec: Spec, entry: Entry, strikes: dict[str, Strike], params: dict[str, str]) -> Reply:
        handler, blocking = self.catalog.handler(spec) or _missing(spec)
        if self.faults.plans_stale_reads:
            stale = next((s for s in strikes.values() if s.kind == "stale"), None)
            self.stales.before(self.world.store, entry, stale)
            frozen = self.stales.view(entry)
            if frozen is not None:
                call.world = dataclasses.replace(self.world, store=frozen)
        poll = strikes.get("on_poll")
        self.world.operations.plan_error(poll.lro_error if poll is not None else None)
        try:
            if blocking:
                answer = handler(call)
            else:
                with self.world.store.transaction():
                    answer = handler(call)
        finally:
            self.world.operations.plan_error(None)
        if not isinstance(answer, Answer):
            answer = Answer(answer)
        if poll is not None and poll.lro_error is None and isinstance(answer.body, dict):
            self.faults.watch(str(answer.body.get("name", "")), poll)
        return self._encode(call, spec, answer, params)

    def _encode(self, call: Call, spec: Spec, answer: Answer, params: dict[str, str]) -> Reply:
        headers = dict(answer.headers)
        if isinstance(answer.body, bytes):
            if answer.content_type:
                headers["content-type"] = answer.content_type
            return _ranged(Reply(status=answer.status, body=answer.body, headers=headers), call.headers)
        body = answer.body
        if self.strict:
            wrong = validate.answer(spec, body)
            if wrong:
                raise AssertionError(f"answer does not fit {spec.method.response}: {'; '.join(wrong[:3])}")
        if params.get("fields"):
            body = partial.select(body, params["fields"])
        if enums.wanted(params.get("$alt", params.get("alt", ""))):
            body = _enums(spec, spec.method.response, body, names=False)
        headers["content-type"] = answer.content_type or JSON
        return Reply(status=answer.status, body=json.dumps(body).encode(), headers=headers)


def _enums(spec: Spec, schema: str | None, body: Any, *, names: bool) -> Any:
    """Enums as names in what handlers see, as numbers for clients that ask for them."""
    api, version = spec.method.api, spec.method.version
    if (api, version) in enum_positions.APIS and schema is not None:
        return enum_positions.walk(spec.document.schemas, {"$ref": schema}, body, names=names)
    return (enums.to_names if names else enums.to_numbers)(api, version, schema, body)


def _missing(spec: Spec) -> Any:
    raise unimplemented(spec.id)


def _peek(match: Match, raw: bytes, request: Request) -> Any:
    """The body's JSON for naming the resource, before anything is checked."""
    if match.upload or not raw:
        return {}
    try:
        return json.loads(raw)
    except ValueError:
        return {}


def _polled(match: Match) -> str:
    word = match.spec.id.lower()
    if not word.endswith(("operations.get", "operations.wait")):
        return ""
    return match.params.get("operation") or match.params.get("name", "")


def _with_method_override(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in pairs if pair[0] != "$httpMethod"]


def _cut() -> Reply:
    return Reply(status=0, cut=-1)


def _struck(strike: Strike, api: str) -> Reply:
    headers = {"content-type": JSON}
    if strike.retry_after:
        headers["retry-after"] = strike.retry_after
    body = strike.body if strike.body is not None else (strike.error.to_json(api) if strike.error else {})
    return Reply(status=strike.status, body=json.dumps(body).encode(), headers=headers)


def _error(api: str, error: ApiError) -> Reply:
    return Reply(status=error.http, body=json.dumps(error.to_json(api)).encode(), headers={"content-type": JSON})


def _ranged(reply: Reply, headers: dict[str, str]) -> Reply:
    wanted = headers.get("range", "")
    if reply.status != 200 or not wanted.startswith("bytes=") or "," in wanted:
        return reply
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    size = len(reply.body)
    if not first:
        start, end = max(0, size - int(last or 0)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= size and size:
        return Reply(status=416, headers={"content-range": f"bytes */{size}"})
    reply.headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    reply.body, reply.status = reply.body[start:end], 206
    return reply
