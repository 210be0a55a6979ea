"""sql.databases, and what a new instance holds. With a real server behind, that server is asked: it is the truth."""

from __future__ import annotations

from plantctl.sandbox import errors, standard
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Call, World
from plantctl.sandbox.services import sqladmin_plane as plane
from plantctl.sandbox.services.sqladmin_base import invalid, link, running, service, settled, start, under_way
from plantctl.sandbox.services.sqladmin_tables import engine
from plantctl.sandbox.store import Body

CHARSETS = {"POSTGRES": ("UTF8", "en_US.UTF8"), "MYSQL": ("utf8", "utf8_general_ci"), "SQLSERVER": ("", "")}
FIRST_DATABASE = {"POSTGRES": "postgres"}
FIRST_USER = {"POSTGRES": "postgres", "MYSQL": "root", "SQLSERVER": "sqlserver"}
MYSQL_COLLATIONS = {"utf8": "utf8_general_ci", "utf8mb4": "utf8mb4_0900_ai_ci", "latin1": "latin1_swedish_ci"}


def populate(world: World, key: str, body: Body) -> None:
    """Keep what a new instance has: one user and, for PostgreSQL, one database (recorded exchanges)."""
    kind = engine(body["databaseVersion"])
    user = FIRST_USER[kind]
    world.store.put(f"{key}/users/{user}", {"name": user})
    if kind in FIRST_DATABASE:
        charset, collation = CHARSETS[kind]
        name = FIRST_DATABASE[kind]
        world.store.put(f"{key}/databases/{name}", {"name": name, "charset": charset, "collation": collation})


def listed(world: World, key: str, body: Body) -> list[Body]:
    """name, charset and collation of every database, as the server has them now."""
    servers = plane.postgres(world, body)
    if servers is None:
        return [found for _, found in world.store.list(f"{key}/databases/", direct=True)]
    with plane.translated():
        found = servers.databases(plane.server(body))
    return [{"name": one.name, "charset": one.charset, "collation": one.collation} for one in found]


def _shown(call: Call, body: Body, database: Body) -> Body:
    resource: Body = {
        "kind": "sql#database",
        **database,
        "instance": body["name"],
        "project": body["project"],
        "selfLink": link(call, f"instances/{body['name']}/databases/{database['name']}"),
    }
    return {**resource, "etag": standard.etag(database)}


def _one(call: Call, key: str, body: Body) -> Body:
    name = str(call.params["database"])
    for database in listed(call.world, key, body):
        if database["name"] == name:
            return database
    raise errors.not_found("Not Found")  # the words of the recorded exchange


@service.method("sql.databases.list", blocking=True)
def list_databases(call: Call) -> Body:
    """All databases; asks the server."""
    key, body = running(call)
    found = [_shown(call, body, database) for database in listed(call.world, key, body)]
    return {"kind": "sql#databasesList", **({"items": found} if found else {})}


@service.method("sql.databases.get", blocking=True)
def get_database(call: Call) -> Body:
    """One database; 404 when the server has none of that name, also when it was dropped by SQL."""
    key, body = running(call)
    return _shown(call, body, _one(call, key, body))


@service.method("sql.databases.insert", blocking=True)
def insert_database(call: Call) -> Body:
    """CREATE_DATABASE, answered when done (recorded exchange). An existing name is a 400 in PostgreSQL's words."""
    key, body = running(call)
    kind, name = engine(body["databaseVersion"]), str(call.body.get("name") or "")
    if not name:
        raise invalid("Missing parameter: name.")
    charset, collation = CHARSETS[kind]
    charset = str(call.body.get("charset") or charset)
    if kind == "MYSQL":
        collation = MYSQL_COLLATIONS.get(charset.lower(), collation)
    collation = str(call.body.get("collation") or collation)
    database = {"name": name, "charset": charset, "collation": collation}
    target = link(call, f"instances/{body['name']}/databases/{name}")
    first = start(call, "create_database", "CREATE_DATABASE", key, args={"database": database}, target_link=target)
    return settled(call, first)


@service.finisher("create_database", slow=True)
def finish_create_database(world: World, operation: Operation) -> None:
    """Owned by cloudsqlsuperuser on the server."""
    body, database = under_way(world, operation), operation.args["database"]
    if body is None:
        return
    servers, name = plane.postgres(world, body), database["name"]
    key = f"{operation.target}/databases/{name}"
    if servers is not None:
        with plane.translated(f"failed to create database {name}. Detail: pq:"):
            servers.create_database(
                plane.server(body), name, charset=database["charset"], collation=database["collation"]
            )
    elif key in world.store:
        raise invalid(f'failed to create database {name}. Detail: pq: database "{name}" already exists')
    world.store.put(key, database)


@service.method("sql.databases.patch", "sql.databases.update", blocking=True)
def update_database(call: Call) -> Body:
    """UPDATE_DATABASE. PostgreSQL cannot change charset or collation of a database; MySQL's collation changes."""
    key, body = running(call)
    live = _one(call, key, body)
    asked = {field: str(call.body[field]) for field in ("charset", "collation") if call.body.get(field)}
    if engine(body["databaseVersion"]) == "POSTGRES" and any(live[field] != value for field, value in asked.items()):
        raise invalid("The charset and collation of a PostgreSQL database cannot be changed.")
    args: Body = {"database": {**live, **asked}}
    target = link(call, f"instances/{body['name']}/databases/{live['name']}")
    return settled(
        call, start(call, "update_database", "UPDATE_DATABASE", key, args=args, target_link=target), done=False
    )


@service.finisher("update_database")
def finish_update_database(world: World, operation: Operation) -> None:
    """Only the record changes: there is no server but PostgreSQL."""
    database = operation.args["database"]
    if under_way(world, operation) is not None:
        world.store.put(f"{operation.target}/databases/{database['name']}", database)


@service.method("sql.databases.delete", blocking=True)
def delete_database(call: Call) -> Body:
    """DELETE_DATABASE; a database that somebody is connected to is a 400 in PostgreSQL's words."""
    key, body = running(call)
    database = _one(call, key, body)
    target = link(call, f"instances/{body['name']}/databases/{database['name']}")
    args: Body = {"name": database["name"]}
    return settled(
        call, start(call, "delete_database", "DELETE_DATABASE", key, args=args, target_link=target), done=False
    )


@service.finisher("delete_database", slow=True)
def finish_delete_database(world: World, operation: Operation) -> None:
    """Dropped on the server first."""
    body, name = under_way(world, operation), operation.args["name"]
    if body is None:
        return
    servers = plane.postgres(world, body)
    if servers is not None and any(one.name == name for one in servers.databases(plane.server(body))):
        with plane.translated(f'failed to delete database "{name}". Detail: pq:'):
            servers.drop_database(plane.server(body), name)
    world.store.delete(f"{operation.target}/databases/{name}")
