"""Service Usage v1 and v1beta1: which APIs are on in a project, and the service agents (hazards S01 to S09)."""

from __future__ import annotations

import re
import secrets
import uuid

from plantctl.sandbox import errors, projects, standard
from plantctl.sandbox.catalog import api_words, title_of
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Body, Call, Service, World

service = Service("serviceusage", versions=("v1", "v1beta1"))

# in Google's catalogue of services without a discovery document of their own
MORE_SERVICES = (
    "binaryauthorization", "cloudapis", "clouderrorreporting", "containerscanning", "containerregistry",
    "gkehub", "networkconnectivity", "opsconfigmonitoring", "runtimeconfig", "servicemanagement", "sql-component",
    "stackdriver", "storage-api", "storage-component", "telemetry",
)  # fmt: skip
# need a billing account to be turned on (hazards S06; the list is by product documentation, unverified)
BILLED = frozenset(
    {
        "artifactregistry", "certificatemanager", "cloudbuild", "cloudkms", "compute", "container", "containerscanning",
        "containerregistry", "dns", "redis", "run", "secretmanager", "servicenetworking", "sqladmin", "vpcaccess",
    }
)  # fmt: skip
# service -> what stands after service-NUMBER@ in its agent's address (IAM documentation, service agents)
AGENTS = {
    "cloudbuild": "gcp-sa-cloudbuild",
    "compute": "compute-system",
    "container": "container-engine-robot",
    "containeranalysis": "container-analysis",
    "monitoring": "gcp-sa-monitoring-notification",
    "redis": "cloud-redis",
    "run": "serverless-robot-prod",
    "servicenetworking": "service-networking",
    "sqladmin": "gcp-sa-cloud-sql",
}
EMPTY_METADATA: Body = {"@type": "type.googleapis.com/google.protobuf.Empty", "value": {}}
KIND = "type.googleapis.com/google.api.serviceusage.v1"


def known(name: str) -> bool:
    """Whether Google has a service of this host name."""
    word = name.removesuffix(".googleapis.com")
    return name.endswith(".googleapis.com") and (word in MORE_SERVICES or word in api_words())


@service.method("serviceusage.services.get")
def get_service(call: Call) -> Body:
    """Name, configuration and state."""
    project_id, name = _named(call, str(call.params["name"]))
    return _shown(call.world, project_id, name)


@service.method("serviceusage.services.batchGet", versions=("v1",))
def batch_get(call: Call) -> Body:
    """At most 30 names."""
    names = [str(name) for name in call.params.get("names") or []]
    if not 1 <= len(names) <= 30:
        raise errors.invalid("A batch of services takes 1 to 30 names.", "names")
    return {"services": [_shown(call.world, *_named(call, name)) for name in names]}


@service.method("serviceusage.services.list")
def list_services(call: Call) -> Body:
    """By `filter` state:ENABLED or state:DISABLED. One just turned on is missing for a while (hazards S05)."""
    project_id = _project(call, str(call.params["parent"]))
    wanted = str(call.params.get("filter", ""))
    if wanted and not re.fullmatch(r"state:(ENABLED|DISABLED)", wanted):
        raise errors.invalid("The filter is state:ENABLED or state:DISABLED.", "filter")
    now = call.clock.wall()
    on = {
        body["service"]
        for _, body in call.store.list(f"serviceusage/projects/{project_id}/services/")
        if float(body.get("effective", 0)) <= now
    }
    every = on | {f"{word}.googleapis.com" for word in (*api_words(), *MORE_SERVICES)}
    names = on if wanted.endswith(":ENABLED") else every - on if wanted else every
    shown = [_shown(call.world, project_id, name) for name in sorted(names)]
    size = min(int(call.params.get("pageSize") or 50), 200)
    return standard.page(shown, {**call.params, "pageSize": size}, "services")


@service.method("serviceusage.services.enable")
def enable_service(call: Call) -> Body:
    """Turn one API on; an operation."""
    project_id, name = _named(call, str(call.params["name"]))
    _may_enable(call, project_id, [name])
    return _start(call, project_id, [name], "enable")


@service.method("serviceusage.services.batchEnable")
def batch_enable(call: Call) -> Body:
    """Turn 2 to 20 APIs on, all or none (hazards S08)."""
    project_id = _project(call, str(call.params["parent"]))
    names = [str(name) for name in call.body.get("serviceIds") or []]
    if len(names) > 20:
        raise errors.invalid("Request has more than 20 services to enable.", "service_ids")
    if len(names) < 2:
        raise errors.invalid("A batch has to name at least two services; use services.enable for one.", "service_ids")
    _may_enable(call, project_id, names)
    return _start(call, project_id, names, "batchEnable")


@service.method("serviceusage.services.disable")
def disable_service(call: Call) -> Body:
    """Turn one API off."""
    project_id, name = _named(call, str(call.params["name"]))
    if f"serviceusage/projects/{project_id}/services/{name}" not in call.store:
        raise errors.failed_precondition(f"Service {name} is not enabled for the project.")
    _not_busy(call, project_id, [name])
    return _start(call, project_id, [name], "disable")


@service.finisher("enable")
def finish_enable(world: World, op: Operation) -> Body:
    """On; calls pass a while later (hazards S01)."""
    project_id, names = op.args["project"], op.args["names"]
    delay = world.clock.real_seconds(DURATIONS["serviceusage.propagation"])
    for name in names:
        projects.enable(world, project_id, name, effective=world.clock.wall() + delay if delay else 0.0)
    op.metadata = EMPTY_METADATA
    shown = [_shown(world, project_id, name) for name in names]
    if op.method_id.endswith("batchEnable"):
        op.response_type = f"{KIND}.BatchEnableServicesResponse"
        return {"services": shown}
    op.response_type = f"{KIND}.EnableServiceResponse"
    return {"service": shown[0]}


@service.finisher("disable")
def finish_disable(world: World, op: Operation) -> Body:
    """Off at once."""
    project_id, name = op.args["project"], op.args["names"][0]
    world.store.delete(f"serviceusage/projects/{project_id}/services/{name}")
    op.response_type = f"{KIND}.DisableServiceResponse"
    return {"service": _shown(world, project_id, name)}


@service.method("serviceusage.operations.get")
def get_operation(call: Call) -> Body:
    """One operation."""
    found = call.operations.get(f"operation/serviceusage/{call.params['name']}")
    if found is None:
        raise errors.not_found("Requested entity was not found.")
    return found.render()


@service.method("serviceusage.services.generateServiceIdentity", versions=("v1beta1",))
def generate_identity(call: Call) -> Body:
    """Make the service's agent, if it is not there, and name it; done in the first answer (recorded exchanges)."""
    project_id, name = _named(call, str(call.params["parent"]))
    word = name.removesuffix(".googleapis.com")
    email = f"service-{call.world.project_number(project_id)}@{AGENTS.get(word, f'gcp-sa-{word}')}"
    email = f"{email}.iam.gserviceaccount.com"
    key = f"service-agent/{email}"
    agent = call.store.get(key)
    if agent is None:
        agent = call.store.put(key, {"email": email, "uniqueId": str(secrets.randbelow(9 * 10**20) + 10**20)})
    kind = "type.googleapis.com/google.api.serviceusage.v1beta1.ServiceIdentity"
    return {"name": "operations/finished.DONE_OPERATION", "done": True, "response": {"@type": kind, **agent}}


def _project(call: Call, parent: str) -> str:
    number_or_id = parent.removeprefix("projects/").split("/", 1)[0]
    project_id = call.world.project_id(number_or_id)
    call.world.project_number(project_id)
    return project_id


def _named(call: Call, full: str) -> tuple[str, str]:
    project_id, name = _project(call, full), full.rsplit("/", 1)[-1]
    if not known(name):
        _unknown([name])
    return project_id, name


def _unknown(names: list[str]) -> None:
    raise errors.denied(
        f"Not found or permission denied for service(s): {', '.join(names)}.",
        reason="SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED",
        domain="serviceusage.googleapis.com",
        metadata={"services": ",".join(names)},
    )


def _may_enable(call: Call, project_id: str, names: list[str]) -> None:
    missing = [name for name in names if not known(name)]
    if missing:
        _unknown(missing)
    _not_busy(call, project_id, names)
    billed = [name for name in names if name.removesuffix(".googleapis.com") in BILLED]
    billing = call.store.get(f"cloudbilling/projects/{project_id}") or {}
    if billed and not billing.get("billingAccountName"):
        number = call.world.project_number(project_id)
        text = (
            f"Billing account for project '{number}' is not found. Billing must be enabled for activation of "
            f"service(s) '{','.join(billed)}' to proceed."
        )
        failure = {"type": "googleapis.com/billing-enabled", "subject": text.split(".", 1)[0], "description": text}
        raise errors.failed_precondition(
            text,
            reason="UREQ_PROJECT_BILLING_NOT_FOUND",
            domain="serviceusage.googleapis.com/billing-enabled",
            metadata={"project": number, "services": ",".join(billed)},
            details=[{"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [failure]}],
        )


def _not_busy(call: Call, project_id: str, names: list[str]) -> None:
    running = call.operations.of_target(f"serviceusage/projects/{project_id}", running=True)
    busy = sorted({name for op in running for name in op.args["names"]} & set(names))
    if busy:
        raise errors.failed_precondition(
            "Another activation or deactivation is in progress for the following service(s): " + ", ".join(busy)
        )


def _start(call: Call, project_id: str, names: list[str], verb: str) -> Body:
    number = call.world.project_number(project_id)
    return call.operations.start(
        call,
        kind="lro",
        finisher="serviceusage.disable" if verb == "disable" else "serviceusage.enable",
        duration_s=DURATIONS[f"serviceusage.services.{verb}"],
        name=f"operations/acf.p2-{number}-{uuid.uuid4()}",
        project=project_id,
        target=f"serviceusage/projects/{project_id}",
        metadata=EMPTY_METADATA if verb == "disable" else {},
        args={"project": project_id, "names": names},
    )


def _shown(world: World, project_id: str, name: str) -> Body:
    number = world.project_number(project_id)
    on = f"serviceusage/projects/{project_id}/services/{name}" in world.store
    body: Body = {"name": f"projects/{number}/services/{name}"}
    if on:
        body["parent"] = f"projects/{number}"
    body["config"] = {"name": name, "title": title_of(name.removesuffix(".googleapis.com"))}
    body["state"] = "ENABLED" if on else "DISABLED"
    return body
