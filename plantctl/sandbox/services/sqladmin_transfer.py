"""sql.instances.export and import: a database to and from an object of a bucket, with the instance's own identity."""

from __future__ import annotations

import gzip
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Call, World
from plantctl.sandbox.services import sqladmin_plane as plane
from plantctl.sandbox.services.sqladmin_base import invalid, running, service, start
from plantctl.sandbox.services.storage_objects import live_object, put_object, read_object
from plantctl.sandbox.store import Body

if TYPE_CHECKING:
    from plantctl.sandbox.dataplane.cluster.transfer import Csv

URI = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,221}[a-z0-9])/(.+)")
TYPES = {"SQL": "application/sql", "CSV": "text/csv"}


def _place(context: Body, needs: str) -> tuple[str, str]:
    """Bucket and object of a context; 400 for what cannot be one. `needs` is the name of the missing parameter."""
    found = URI.fullmatch(str(context.get("uri") or ""))
    if found is None:
        raise invalid(f"{needs}.uri must be of the form gs://bucketName/fileName.")
    if context.get("fileType") not in TYPES:
        raise invalid(f"Invalid {needs}.fileType for PostgreSQL: {context.get('fileType')}.")
    return found.group(1), found.group(2)


@service.method("sql.instances.export")
def export_instance(call: Call) -> Body:
    """EXPORT. The request succeeds even where the object exists or rights are missing; the operation then fails."""
    key, body = running(call)
    context = call.body.get("exportContext") or {}
    _place(context, "exportContext")
    databases = context.get("databases") or []
    if context["fileType"] == "CSV" and not (context.get("csvExportOptions") or {}).get("selectQuery"):
        raise invalid("Missing parameter: csvExportOptions.selectQuery.")
    if len(databases) != 1:  # discovery document, ExportContext.databases, PostgreSQL
        raise invalid("Exactly one database must be given.")
    # a serverless export leaves the instance free for other operations (gcp-foundation section 5)
    target = f"{key}#offload" if context.get("offload") else key
    args: Body = {"context": context, "instance": key}
    shown = {"exportContext": {"kind": "sql#exportContext", **context}}
    return start(call, "export", "EXPORT", target, args=args, extra=shown, target_id=body["name"])


@service.finisher("export", slow=True)
def finish_export(world: World, operation: Operation) -> None:
    """Dump or query, then the object; the instance's service account needs to write to the bucket (hazards Q14)."""
    body, context = world.store.get(operation.args["instance"]), operation.args["context"]
    if body is None:
        return
    bucket, name = _place(context, "exportContext")
    _rights(world, body, "storage.objects.create", bucket, name)
    if live_object(world, bucket, name) is not None:  # gcp-foundation section 5; the words are unverified
        message = f"The Cloud Storage object gs://{bucket}/{name} already exists."
        raise ApiError("FAILED_PRECONDITION", message, legacy_reason="ERROR_RDBMS")
    data = _dump(world, body, context)
    packed = gzip.compress(data) if name.endswith(".gz") else data
    put_object(world, bucket, name, packed, TYPES[context["fileType"]])


def _dump(world: World, body: Body, context: Body) -> bytes:
    servers = plane.postgres(world, body)
    if servers is None:
        return b"-- no server stands behind this instance\n"
    database, server = context["databases"][0], plane.server(body)
    with tempfile.TemporaryDirectory() as folder, plane.translated():
        file = Path(folder) / "export"
        if context["fileType"] == "CSV":
            servers.export_csv(server, database, context["csvExportOptions"]["selectQuery"], file, _csv(context))
        else:
            options = context.get("sqlExportOptions") or {}
            schema_only = bool(options.get("schemaOnly"))
            servers.export_sql(server, database, file, tables=options.get("tables") or (), schema_only=schema_only)
        return file.read_bytes()


def _csv(context: Body) -> Csv:
    """The characters of a CSV file; the API has them as two hexadecimal digits (discovery document)."""
    from plantctl.sandbox.dataplane.cluster.transfer import Csv  # only where a server is

    options = context.get("csvExportOptions") or context.get("csvImportOptions") or {}
    names = {"delimiter": "fieldsTerminatedBy", "quote": "quoteCharacter", "escape": "escapeCharacter"}
    try:
        given = {ours: options[theirs] for ours, theirs in names.items() if options.get(theirs)}
        return Csv(**{ours: bytes.fromhex(code).decode() for ours, code in given.items()})
    except ValueError:
        raise invalid("CSV characters must be given as hexadecimal codes.") from None


def _rights(world: World, body: Body, permission: str, bucket: str, name: str) -> None:
    principal = f"serviceAccount:{body['serviceAccountEmailAddress']}"
    if not world.access.allows(principal, permission, f"storage/b/{bucket}"):
        message = f"The service account {body['serviceAccountEmailAddress']} does not have the required permissions"
        text = f"{message} for the bucket: {permission} on gs://{bucket}/{name}."
        raise ApiError("PERMISSION_DENIED", text, legacy_reason="ERROR_RDBMS")


@service.method("sql.instances.import")
def import_instance(call: Call) -> Body:
    """IMPORT of a SQL dump or of CSV rows into one table."""
    key, body = running(call)
    context = call.body.get("importContext") or {}
    _place(context, "importContext")
    if not context.get("database"):
        raise invalid("Missing parameter: importContext.database.")
    if context["fileType"] == "CSV" and not (context.get("csvImportOptions") or {}).get("table"):
        raise invalid("Missing parameter: csvImportOptions.table.")
    shown = {"importContext": {"kind": "sql#importContext", **context}}
    return start(call, "import", "IMPORT", key, args={"context": context}, extra=shown, target_id=body["name"])


@service.finisher("import", slow=True)
def finish_import(world: World, operation: Operation) -> None:
    """Read with the instance's identity, run on the server."""
    body, context = world.store.get(operation.target), operation.args["context"]
    if body is None:
        return
    bucket, name = _place(context, "importContext")
    _rights(world, body, "storage.objects.get", bucket, name)
    data = read_object(world, bucket, name)
    servers, server = plane.postgres(world, body), plane.server(body)
    if servers is None:
        return
    with tempfile.TemporaryDirectory() as folder, plane.translated():
        file = Path(folder) / "import"
        file.write_bytes(gzip.decompress(data) if name.endswith(".gz") else data)
        if context["fileType"] == "SQL":
            servers.import_sql(server, context["database"], file, user=context.get("importUser") or None)
            return
        options = context["csvImportOptions"]
        columns = options.get("columns") or ()
        servers.import_csv(server, context["database"], file, options["table"], columns, _csv(context))
