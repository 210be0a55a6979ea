"""Cloud Run v1 (Knative), services and revisions as gcloud reads them, and traffic as it changes it.

Nothing is kept here: the v2 resources, written the older way. `replaceService` takes another traffic; what else it
would change is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from plantctl.sandbox import errors
from plantctl.sandbox.access import iam_policy_handlers
from plantctl.sandbox.service import Body, Call
from plantctl.sandbox.services import run_revisioned, run_serving
from plantctl.sandbox.services.run import service
from plantctl.sandbox.services.run_revisioned import SERVICES
from plantctl.sandbox.services.run_v1 import annotations_of, condition_of, container_of, metadata_of, region_of

API = "serving.knative.dev/v1"
LATEST, NAMED = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
INGRESS = {"ALL": "all", "INTERNAL_ONLY": "internal", "INTERNAL_LOAD_BALANCER": "internal-and-cloud-load-balancing"}
SELECTOR = re.compile(r"serving\.knative\.dev/service\s*=\s*([\w-]+)")


def _all(call: Call, parent: str) -> list[tuple[str, Body]]:
    """Services of a namespace (a project), of the region that the host or the path names; the region `-` is any."""
    words = parent.split("/")
    region = words[3] if len(words) > 3 else region_of(call)
    every = call.store.list(f"run/projects/{call.world.project_id(words[1])}/locations/")
    return [(k, b) for k, b in every if SERVICES.is_key(k) and region in ("", "-", k.split("/")[4])]


def _one(call: Call) -> tuple[str, Body]:
    parent, _, name = str(call.params["name"]).rpartition("/services/")
    for key, body in _all(call, parent):
        if key.endswith(f"/services/{name}"):
            return key, body
    raise errors.not_found(f"Resource '{name}' of kind 'SERVICE' in region '{region_of(call)}' does not exist.")


@service.method("run.namespaces.services.list", "run.projects.locations.services.list", versions=("v1",))
def list_services(call: Call) -> Body:
    """All of them: gcloud pages by `continue`, which is never needed here."""
    items = [knative(call, key, body) for key, body in _all(call, str(call.params["parent"]))]
    return {"apiVersion": API, "kind": "ServiceList", "metadata": {}, "items": items}


@service.method("run.namespaces.services.get", "run.projects.locations.services.get", versions=("v1",))
def get_service(call: Call) -> Body:
    """One service."""
    return knative(call, *_one(call))


@service.method("run.namespaces.services.replaceService", versions=("v1",))
def replace_service(call: Call) -> Body:
    """Another traffic, as `gcloud run services update-traffic` sends it; 404 UNIMPLEMENTED for another template."""
    key, live = _one(call)
    shown = knative(call, key, live)
    given = call.body.get("spec", {})
    if given.get("template", shown["spec"]["template"]).get("spec") != shown["spec"]["template"]["spec"]:
        raise errors.unimplemented("run.namespaces.services.replaceService with another template")
    own = {field: value for field, value in live.items() if field not in run_revisioned.OUTPUT_ONLY}
    own["traffic"] = [_target(target) for target in given.get("traffic", [])]
    run_revisioned.put_changed(call, SERVICES, live, own)
    changed = call.store.get(key)
    assert changed is not None
    return knative(call, key, changed)


@service.method("run.namespaces.services.delete", versions=("v1",))
def delete_service(call: Call) -> Body:
    """Gone with its revisions."""
    key, body = _one(call)
    run_revisioned.start(call, SERVICES, key, "undeploy", {"name": body["name"]}, {"body": body})
    return {"status": "Success", "details": {"name": key.rsplit("/", 1)[1], "kind": "services"}}


@service.method("run.namespaces.revisions.list", versions=("v1",))
def list_revisions(call: Call) -> Body:
    """Newest first; `labelSelector` knows `serving.knative.dev/service=NAME`, as gcloud asks."""
    selector = str(call.params.get("labelSelector") or "")
    wanted = SELECTOR.fullmatch(selector)
    if selector and not wanted:
        raise errors.invalid(f"invalid label selector {selector!r}", "labelSelector")
    items = []
    for key, _ in _all(call, str(call.params["parent"])):
        if wanted is None or key.endswith(f"/services/{wanted.group(1)}"):
            items += [revision(call, one, body) for one, body in call.store.list(f"{key}/revisions/")]
    return {"apiVersion": API, "kind": "RevisionList", "metadata": {}, "items": items[::-1]}


@service.method("run.namespaces.revisions.get", versions=("v1",))
def get_revision(call: Call) -> Body:
    """One revision."""
    parent, _, name = str(call.params["name"]).rpartition("/revisions/")
    for key, _ in _all(call, parent):
        found = call.store.get(f"{key}/revisions/{name}")
        if found is not None:
            return revision(call, f"{key}/revisions/{name}", found)
    raise errors.not_found(f"Revision '{name}' not found.")


def knative(call: Call, key: str, body: Body) -> Body:
    """A v2 service as Knative writes it."""
    ingress = INGRESS.get(str(body["ingress"]).removeprefix("INGRESS_TRAFFIC_"), "all")
    annotations = {
        "serving.knative.dev/creator": body["creator"],
        "serving.knative.dev/lastModifier": body["lastModifier"],
        "run.googleapis.com/ingress": ingress,
        "run.googleapis.com/ingress-status": ingress,
        "run.googleapis.com/urls": json.dumps(body.get("urls", [])),
    }
    terminal = body["terminalCondition"]
    conditions = [condition_of(terminal, "Ready")] + [condition_of(c, c["type"]) for c in body.get("conditions", [])]
    status: Body = {
        "observedGeneration": int(body.get("observedGeneration", 0)),
        "conditions": conditions,
        "traffic": [_status(body, target) for target in body.get("trafficStatuses", [])],
    }
    for field, name in (("latestCreatedRevision", "latestCreatedRevisionName"),
                        ("latestReadyRevision", "latestReadyRevisionName")):  # fmt: skip
        if body.get(field):
            status[name] = body[field].rsplit("/", 1)[1]
    if body.get("uri"):
        status |= {"url": body["uri"], "address": {"url": body["uri"]}}
    template = body["template"]
    spec: Body = {
        "template": {"metadata": {"annotations": _template_annotations(template)}, "spec": _revision_spec(template)},
        "traffic": [_written(target) for target in body.get("traffic") or [{"type": LATEST, "percent": 100}]],
    }
    metadata = metadata_of(call, key, body, annotations, API)
    return {"apiVersion": API, "kind": "Service", "metadata": metadata, "spec": spec, "status": status}


def revision(call: Call, key: str, body: Body) -> Body:
    """A v2 revision as Knative writes it."""
    owner_key = key.rsplit("/revisions/", 1)[0]
    owner = owner_key.rsplit("/", 1)[1]
    annotations = _template_annotations(body) | {"serving.knative.dev/creator": body["creator"]}
    metadata = metadata_of(call, key, body, annotations, API)
    metadata["labels"] |= {
        "serving.knative.dev/service": owner,
        "serving.knative.dev/configuration": owner,
        "serving.knative.dev/serviceUid": (call.store.get(owner_key) or {}).get("uid", ""),
    }
    active = key in run_serving.reachable(call.world, owner_key)
    conditions = [condition_of(condition, condition["type"]) for condition in body["conditions"]]
    state = "CONDITION_SUCCEEDED" if active else "CONDITION_FAILED"
    moment = body["conditions"][0]["lastTransitionTime"]
    conditions.append(condition_of({"state": state, "lastTransitionTime": moment}, "Active"))
    status: Body = {
        "observedGeneration": int(body.get("observedGeneration", 0)),
        "conditions": conditions,
        "logUrl": body["logUri"],
    }
    if body.get("containerStatuses"):
        status["imageDigest"] = body["containerStatuses"][0]["imageDigest"]
    return {"apiVersion": API, "kind": "Revision", "metadata": metadata, "spec": _revision_spec(body), "status": status}


def _template_annotations(template: Body) -> Body:
    annotations = annotations_of(template)
    scaling = template.get("scaling") or {}
    for field, name in (("minInstanceCount", "minScale"), ("maxInstanceCount", "maxScale")):
        if scaling.get(field):
            annotations[f"autoscaling.knative.dev/{name}"] = str(scaling[field])
    return annotations


def _revision_spec(template: Body) -> Body:
    containers = []
    for given in template["containers"]:
        container = container_of(given)
        if given.get("ports"):
            container["ports"] = given["ports"]
        for probe in ("startupProbe", "livenessProbe"):
            if probe in given:
                container[probe] = given[probe]
        if given.get("volumeMounts"):
            container["volumeMounts"] = given["volumeMounts"]
        containers.append(container)
    return {
        "containerConcurrency": template["maxInstanceRequestConcurrency"],
        "timeoutSeconds": int(float(template["timeout"].rstrip("s"))),
        "serviceAccountName": template["serviceAccount"],
        "containers": containers,
    }


def _written(target: Body) -> Body:
    written: Body = {"percent": target.get("percent", 0)}
    if target.get("revision"):
        written["revisionName"] = target["revision"]
    else:
        written["latestRevision"] = True
    return written | ({"tag": target["tag"]} if target.get("tag") else {})


def _status(body: Body, target: Body) -> Body:
    written = _written(target)
    if written.get("latestRevision") and body.get("latestReadyRevision"):
        written["revisionName"] = body["latestReadyRevision"].rsplit("/", 1)[1]
    return written | ({"url": target["uri"]} if target.get("uri") else {})


def _target(given: dict[str, Any]) -> Body:
    target: Body = {"percent": int(given.get("percent") or 0)}
    if given.get("revisionName") and not given.get("latestRevision"):
        target |= {"type": NAMED, "revision": given["revisionName"]}
    else:
        target["type"] = LATEST
    return target | ({"tag": given["tag"]} if given.get("tag") else {})


METHODS = SERVICES.methods
iam_policy_handlers(
    service,
    (f"{METHODS}.getIamPolicy", f"{METHODS}.setIamPolicy", f"{METHODS}.testIamPermissions"),
    lambda call: run_revisioned.found(call, SERVICES, "resource")[0],
    versions=("v1",),
)
