"""What Cloud Run services and worker pools share: create, patch and delete of a resource that makes revisions."""

from __future__ import annotations

import random
import re
import string
import uuid
from dataclasses import dataclass

from plantctl.sandbox import errors, standard
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.service import Body, Call, World
from plantctl.sandbox.services import run_templates
from plantctl.sandbox.services.run import TYPE, ready
from plantctl.sandbox.services.run_conditions import condition

RESOURCE_ID = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
"""At most 49 characters (run v2 reference, serviceId)."""
OUTPUT_ONLY = frozenset({
    "name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime", "creator", "lastModifier",
    "observedGeneration", "terminalCondition", "conditions", "latestReadyRevision", "latestCreatedRevision",
    "trafficStatuses", "instanceSplitStatuses", "uri", "urls", "reconciling", "satisfiesPzs", "etag",
    "threatDetectionEnabled",
})  # fmt: skip
STATUS = frozenset({
    "uid", "conditions", "observedGeneration", "latestReadyRevision", "latestCreatedRevision", "trafficStatuses",
    "instanceSplitStatuses", "uri", "urls", "reconciling",
})  # fmt: skip
"""What the first answer's copy of the resource does not have (recorded exchanges)."""
IN_REVISION = (
    "labels", "annotations", "scaling", "vpcAccess", "timeout", "serviceAccount", "containers", "volumes",
    "executionEnvironment", "maxInstanceRequestConcurrency", "sessionAffinity", "encryptionKey",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Services or worker pools: `word` in errors, `plural` in names, `message` the type, `id_param` of create."""

    word: str
    plural: str
    message: str
    id_param: str
    serves: bool

    @property
    def methods(self) -> str:
        """First words of the method ids."""
        return f"run.projects.locations.{self.plural}"

    def is_key(self, key: str) -> bool:
        """Whether a store key is one of such a resource, and none below it."""
        parts = key.split("/")
        return len(parts) == 7 and parts[0] == "run" and parts[5] == self.plural


SERVICES = Kind(word="service", plural="services", message="Service", id_param="serviceId", serves=True)
WORKER_POOLS = Kind(
    word="worker pool", plural="workerPools", message="WorkerPool", id_param="workerPoolId", serves=False
)


def kind_of(key: str) -> Kind:
    """The kind of a resource or revision, by its store key."""
    return SERVICES if key.split("/")[5] == SERVICES.plural else WORKER_POOLS


def found(call: Call, kind: Kind, param: str = "name") -> tuple[str, Body]:
    """Key and body of the resource that a parameter names, or 404 in the recorded words."""
    key = "run/" + "/".join(call.name(param).split("/")[:6])
    body = call.store.get(key)
    if body is None or not kind.is_key(key):
        raise errors.not_found(f'{kind.word} "{key.removeprefix("run/")}" not found')
    return key, body


def listed(call: Call, kind: Kind) -> Body:
    """Resources of a location; `-` for all."""
    project, location = call.name("parent").split("/")[1::2]
    every = call.store.list(f"run/projects/{project}/locations/")
    chosen = [body for key, body in every if kind.is_key(key) and location in ("-", key.split("/")[4])]
    return standard.page(chosen, call.params, kind.plural)


def create(call: Call, kind: Kind) -> Body:
    """`validateOnly` checks and changes nothing. The resource is there at once, also when its revision fails."""
    return put_new(call, kind, f"{call.name('parent')}/{kind.plural}/{call.params.get(kind.id_param) or ''}", call.body)


def put_new(call: Call, kind: Kind, name: str, given: Body) -> Body:
    """Make a resource of this name; gives the operation's first answer."""
    identity = name.rsplit("/", 1)[1]
    if not RESOURCE_ID.fullmatch(identity):
        raise run_templates.violation("service" if kind.serves else "worker_pool", "name", f"invalid id {identity!r}.")
    if f"run/{name}" in call.store:
        raise errors.already_exists(f"Resource '{identity}' already exists.")
    now = call.clock.rfc3339()
    body = _filled(call, kind, given) | {
        "name": name,
        "uid": str(uuid.uuid4()),
        "generation": "1",
        "createTime": now,
        "creator": call.email,
    }
    return _accept(call, kind, body, new_revision=True)


def patch(call: Call, kind: Kind) -> Body:
    """The fields of `updateMask`, or all; `allowMissing` makes what is not there; a stale etag answers 409."""
    key = f"run/{call.name()}"
    live = call.store.get(key)
    if live is None:
        if str(call.params.get("allowMissing")).lower() == "true":
            return put_new(call, kind, call.name(), call.body)
        raise errors.not_found(f'{kind.word} "{call.name()}" not found')
    return put_changed(call, kind, live, call.body, mask=str(call.params.get("updateMask") or ""))


def put_changed(call: Call, kind: Kind, live: Body, given: Body, *, mask: str = "") -> Body:
    """Change a resource; a new revision comes of another template alone, or of `forceNewRevision`."""
    given_etag = given.get("etag")
    if given_etag and standard.stale(given_etag, live["etag"]):
        raise errors.aborted("Conflict for resource: version mismatch.")  # hazards U07
    change = {key: value for key, value in given.items() if key not in OUTPUT_ONLY}
    own = {key: value for key, value in live.items() if key not in OUTPUT_ONLY}
    wanted = change if mask in ("", "*") else standard.masked(own, change, mask)
    kept = {key: live[key] for key in OUTPUT_ONLY if key in live}
    body = _filled(call, kind, wanted) | kept
    body["generation"] = str(int(live["generation"]) + 1)
    force = str(call.params.get("forceNewRevision")).lower() == "true"
    before, after = (_comparable(one["template"]) for one in (live, body))
    sent = mask in ("", "*") or "template" in mask
    again = sent and body.get("traffic") == live.get("traffic") and _newest_failed(call, live)
    return _accept(call, kind, body, new_revision=force or before != after or again)


def _newest_failed(call: Call, live: Body) -> bool:
    # unverified: the same template, sent again after its revision failed, is tried again by a new revision
    newest = call.store.get(f"run/{live.get('latestCreatedRevision')}") or {}
    return any(c["type"] == "Ready" and c["state"] == "CONDITION_FAILED" for c in newest.get("conditions", []))


def _comparable(template: Body) -> Body:
    # a name that was only read back makes no new revision of an unchanged template
    return {key: value for key, value in template.items() if key not in ("revision", "client", "clientVersion")}


def _filled(call: Call, kind: Kind, given: Body) -> Body:
    body: Body = {key: value for key, value in given.items() if key not in OUTPUT_ONLY}
    body["template"] = run_templates.filled(call, body.get("template") or {}, serves=kind.serves)
    word = kind.word.replace(" ", "_")
    run_templates.check(call, body["template"], kind=word, serves=kind.serves)
    body["launchStage"] = body.get("launchStage", "GA")
    if kind.serves:
        body["ingress"] = body.get("ingress", "INGRESS_TRAFFIC_ALL")
    return body


def _accept(call: Call, kind: Kind, body: Body, *, new_revision: bool) -> Body:
    now, key = call.clock.rfc3339(), f"run/{body['name']}"
    body |= {"updateTime": now, "lastModifier": call.email, "terminalCondition": ready(call.world)}
    body["etag"] = f'"{standard.etag(body)}"'
    revision = _revision_name(call, kind, body) if new_revision else ""
    if kind.serves:
        _check_traffic(call, key, body, revision)
    if str(call.params.get("validateOnly")).lower() == "true":
        response = {field: value for field, value in body.items() if field not in STATUS}
        return {"name": "", "done": True, "response": {"@type": f"{TYPE}.{kind.message}", **response}}
    first = {field: value for field, value in body.items() if field not in STATUS}
    if revision:
        made = _revision(call.world, kind, body, revision)
        call.store.put(f"run/{made['name']}", made)
        body["latestCreatedRevision"] = made["name"]
    body |= {"reconciling": True, "terminalCondition": condition(call.world, "Ready", pending=True)}
    call.store.put(key, body)
    return start(call, kind, key, "deploy", first, {"revision": f"{key}/revisions/{revision}" if revision else ""})


def delete(call: Call, kind: Kind) -> Body:
    """Revisions go with it; a stale etag answers 409."""
    key, live = found(call, kind)
    given_etag = call.params.get("etag")
    if given_etag and standard.stale(given_etag, live["etag"]):
        raise errors.aborted("Conflict for resource: version mismatch.")
    shown = {field: value for field, value in live.items() if field not in STATUS}
    if str(call.params.get("validateOnly")).lower() == "true":
        return {"name": "", "done": True, "response": {"@type": f"{TYPE}.{kind.message}", **shown}}
    return start(call, kind, key, "undeploy", shown, {"body": live})


def start(call: Call, kind: Kind, key: str, verb: str, first: Body, args: Body) -> Body:
    """Begin an operation on a resource whose first answer shows `first`."""
    return call.operations.start(
        call,
        kind="lro",
        finisher=f"run.{verb}",
        duration_s=DURATIONS.get(call.method.id, DURATIONS["run.projects.locations.services.patch"]),
        name="/".join(key.split("/")[1:5]),
        project=key.split("/")[2],
        target=key,
        metadata={"@type": f"{TYPE}.{kind.message}", **first},
        response_type=f"{TYPE}.{kind.message}",
        args={"key": key, "body": first, **args},
    )


def _revision_name(call: Call, kind: Kind, body: Body) -> str:
    given = str(body["template"].get("revision") or "")
    service = body["name"].rsplit("/", 1)[1]
    if not given:
        tail = "".join(random.SystemRandom().choices(string.ascii_lowercase, k=3))
        return f"{service}-{int(body['generation']):05d}-{tail}"
    if not given.startswith(f"{service}-"):
        words = f"must begin with the name of the {kind.word} and a hyphen."
        raise run_templates.violation(kind.word.replace(" ", "_"), "template.revision", words)
    if f"run/{body['name']}/revisions/{given}" in call.store:  # hazards U08
        raise errors.already_exists(f"Revision named '{given}' with different configuration already exists.")
    return given


def _revision(world: World, kind: Kind, body: Body, name: str) -> Body:
    now, parts = world.clock.rfc3339(), body["name"].split("/")
    made: Body = {field: body["template"][field] for field in IN_REVISION if field in body["template"]}
    made |= {
        "name": f"{body['name']}/revisions/{name}",
        "uid": str(uuid.uuid4()),
        "generation": "1",
        "createTime": now,
        "updateTime": now,
        "creator": body["lastModifier"],
        "launchStage": body["launchStage"],
        "reconciling": True,
        "conditions": [condition(world, "Ready", pending=True)],
        "logUri": log_uri(parts[1], parts[5], name, kind),
    }
    if kind.serves:
        made["service"] = parts[5]
    made["etag"] = f'"{standard.etag(made)}"'
    return made


def log_uri(project: str, resource: str, revision: str, kind: Kind) -> str:
    """Where the console shows the revision's logs."""
    word = kind.word.replace(" ", "_")
    path = f"cloud_run_{'revision' if kind.serves else word}/{word}_name/{resource}/revision_name/{revision}"
    return f"https://console.cloud.google.com/logs/viewer?project={project}&resource={path}"


def _check_traffic(call: Call, key: str, body: Body, new: str) -> None:
    targets = body.get("traffic") or []
    if targets and sum(target.get("percent", 0) for target in targets) != 100:
        raise run_templates.violation("service", "traffic", "traffic percentages must sum to 100.")
    tags = [target["tag"] for target in targets if target.get("tag")]
    if len(tags) != len(set(tags)):
        raise run_templates.violation("service", "traffic", "a tag must not be given twice.")
    for target in targets:
        revision = str(target.get("revision") or "")
        if revision and revision != new and f"{key}/revisions/{revision}" not in call.store:
            # unverified: Google's words for it
            raise run_templates.violation("service", "traffic", f"Revision {revision} not found.")
