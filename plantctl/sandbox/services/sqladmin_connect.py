"""What a client reads to connect: sql.connect, server CAs, client certificates; and the plain lists of the service."""

from __future__ import annotations

from datetime import timedelta

from plantctl.sandbox import errors, standard
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Call
from plantctl.sandbox.services import sqladmin_plane as plane
from plantctl.sandbox.services import sqladmin_tables as tables
from plantctl.sandbox.services.sqladmin_base import find, invalid, project_of, running, service
from plantctl.sandbox.services.sqladmin_flags import FLAGS
from plantctl.sandbox.store import Body

CONNECTION_SHOWN = ("backendType", "connectionName", "databaseVersion", "ipAddresses", "region", "serverCaCert")
EPHEMERAL = timedelta(hours=1)
"""Life of an ephemeral certificate (sql/docs, "About connection options")."""


@service.method("sql.connect.get")
def connect_settings(call: Call) -> Body:
    """connectSettings: addresses and CA."""
    _, body = find(call)
    shown = {field: body[field] for field in CONNECTION_SHOWN if field in body}
    mode = body["settings"]["ipConfiguration"].get("serverCaMode", "GOOGLE_MANAGED_INTERNAL_CA")
    return {"kind": "sql#connectSettings", **shown, "serverCaMode": mode}


@service.method("sql.connect.generateEphemeral", blocking=True)
def generate_ephemeral(call: Call) -> Body:
    """A client certificate of an hour for the caller's public key, signed by the instance's own CA."""
    _, body = running(call)
    servers = plane.postgres(call.world, body)
    if servers is None:
        raise errors.unimplemented(f"{call.method.id} of an instance without a server")
    key = str(call.body.get("public_key") or "")
    if not key:
        raise invalid("Missing parameter: public_key.")
    with plane.translated():
        pem = servers.sign_client_key(plane.server(body), call.email, key, EPHEMERAL)
    return {"ephemeralCert": plane.certificate(pem, body["name"])}


@service.method("sql.instances.listServerCas")
def list_server_cas(call: Call) -> Body:
    """The one CA of the instance."""
    _, body = find(call)
    found = body.get("serverCaCert")
    answer: Body = {"kind": "sql#instancesListServerCas"}
    return {**answer, "certs": [found], "activeVersion": found["sha1Fingerprint"]} if found else answer


@service.method("sql.sslCerts.list")
def list_client_certificates(call: Call) -> Body:
    """None: the sandbox makes no lasting client certificates."""
    find(call)
    return {"kind": "sql#sslCertsList"}


@service.method("sql.operations.get")
def get_operation(call: Call) -> Body:
    """One operation; 404 for another project's."""
    project = project_of(call)
    found = call.operations.get(f"operation/sqladmin/projects/{project}/operations/{call.params['operation']}")
    if found is None:
        raise errors.not_found("The Cloud SQL operation does not exist.", "operationDoesNotExist")
    return _rendered(call, found)


@service.method("sql.operations.list")
def list_operations(call: Call) -> Body:
    """Operations of the project or of one instance, newest first (hazards Q01: the way to find what is in the way)."""
    project, name = project_of(call), str(call.params.get("instance") or "")
    found = [one for one in call.operations.all() if one.api == "sqladmin" and one.project == project]
    if name:
        found = [one for one in found if name.rpartition(":")[2] in _instances(one)]
    items = [_rendered(call, one) for one in reversed(found)]
    return {"kind": "sql#operationsList", **standard.page(items, call.params, "items", size_param="maxResults")}


def _instances(operation: Operation) -> set[str]:
    keys = [operation.target.partition("#")[0], *operation.args.get("also", ())]
    return {operation.target_id, *(key.rpartition("/")[2] for key in keys)}


def _rendered(call: Call, operation: Operation) -> Body:
    operation.extra["version"] = call.method.version
    return operation.render()


@service.method("sql.flags.list")
def list_flags(call: Call) -> Body:
    """The flags of PostgreSQL; `databaseVersion` filters."""
    version = str(call.params.get("databaseVersion") or "")
    found = [flag.resource() for flag in FLAGS.values()]
    return {"kind": "sql#flagsList", "items": [row for row in found if not version or version in row["appliesTo"]]}


@service.method("sql.tiers.list")
def list_tiers(call: Call) -> Body:
    """The predefined machine types."""
    project_of(call)
    return {"kind": "sql#tiersList", "items": tables.tiers()}
