"""sql.users. With a real server behind, its roles are the users; passwords go there and nowhere else."""

from __future__ import annotations

from datetime import timedelta

from plantctl.sandbox import errors, standard
from plantctl.sandbox.operations import Operation
from plantctl.sandbox.service import Call, World
from plantctl.sandbox.services import sqladmin_plane as plane
from plantctl.sandbox.services.sqladmin_base import invalid, running, service, settled, start, under_way
from plantctl.sandbox.store import Body

IAM_TYPES = ("CLOUD_IAM_USER", "CLOUD_IAM_SERVICE_ACCOUNT", "CLOUD_IAM_GROUP")
IAM_ROLES = {"CLOUD_IAM_SERVICE_ACCOUNT": "cloudsqliamserviceaccount"}


def listed(world: World, key: str, body: Body) -> list[Body]:
    """Every user as the server has it now, with what only the API knows (type, password policy)."""
    known = {found["name"]: found for _, found in world.store.list(f"{key}/users/")}
    servers = plane.postgres(world, body)
    if servers is None:
        return list(known.values())
    with plane.translated():
        found = servers.users(plane.server(body))
    return [known.get(one.name, {"name": one.name}) for one in found]


def _shown(call: Call, body: Body, user: Body) -> Body:
    resource: Body = {
        "kind": "sql#user",
        "name": user["name"],
        "host": "",  # recorded exchanges
        "instance": body["name"],
        "project": body["project"],
    }
    if user.get("type"):  # BUILT_IN is not shown (recorded exchanges)
        resource |= {"type": user["type"], "iamStatus": "ACTIVE", "iamEmail": user["iamEmail"]}
    else:
        resource |= {"iamStatus": "IAM_STATUS_UNSPECIFIED", "passwordPolicy": _policy(call, user)}
    if user.get("databaseRoles"):
        resource["databaseRoles"] = user["databaseRoles"]
    return {**resource, "etag": standard.etag(resource)}


def _policy(call: Call, user: Body) -> Body:
    policy: Body = {**(user.get("passwordPolicy") or {}), "status": {}}
    duration = str(policy.get("passwordExpirationDuration", ""))
    if duration.endswith("s"):
        ends = call.clock.now() + timedelta(seconds=float(duration[:-1]))
        policy["status"] = {"passwordExpirationTime": call.clock.rfc3339(ends)}
    return policy


@service.method("sql.users.list", blocking=True)
def list_users(call: Call) -> Body:
    """All users; `items` is left out when there are none (recorded exchange)."""
    key, body = running(call)
    found = [_shown(call, body, user) for user in listed(call.world, key, body)]
    return {"kind": "sql#usersList", **({"items": found} if found else {})}


@service.method("sql.users.get", blocking=True)
def get_user(call: Call) -> Body:
    """One user; 404 where the server has no such role."""
    key, body = running(call)
    return _shown(call, body, _one(call, key, body))


def _one(call: Call, key: str, body: Body) -> Body:
    name = str(call.params.get("name") or "")
    for user in listed(call.world, key, body):
        if user["name"] == name:
            return user
    raise errors.not_found("Not Found")


@service.method("sql.users.insert", blocking=True)
def insert_user(call: Call) -> Body:
    """CREATE_USER, answered when done (recorded exchange).

    For a PostgreSQL user that is there already it succeeds and sets the password (hazards section 2; unverified).
    Without `databaseRoles` the user becomes a member of cloudsqlsuperuser (gcp-foundation section 2, S 6).
    """
    key, body = running(call)
    name, kind = str(call.body.get("name") or ""), str(call.body.get("type") or "BUILT_IN")
    if not name:
        raise invalid("Missing parameter: name.")
    user: Body = {"name": name}
    for field in ("passwordPolicy", "databaseRoles"):
        if call.body.get(field):
            user[field] = call.body[field]
    if kind in IAM_TYPES:
        if plane.flags(body).get("cloudsql.iam_authentication") != "on":  # iam-logins page: the flag comes first
            raise invalid("IAM authentication is not enabled for the instance.")
        user |= {"type": kind, "iamEmail": name}
    args: Body = {"user": user}
    if call.body.get("password"):
        args["password"] = plane.deposit(str(call.body["password"]))
    return settled(call, start(call, "create_user", "CREATE_USER", key, args=args))


@service.finisher("create_user", slow=True)
def finish_create_user(world: World, operation: Operation) -> None:
    """A role that can log in."""
    body, user = under_way(world, operation), operation.args["user"]
    if body is None:
        return
    servers, server, ticket = plane.postgres(world, body), plane.server(body), operation.args.get("password", "")
    if servers is not None:
        with plane.translated(f"failed to create user {user['name']}:"):
            password = plane.withdraw(ticket) if ticket else None
            roles = user.get("databaseRoles")
            if user.get("type"):
                roles = [IAM_ROLES.get(user["type"], "cloudsqliamuser")]
            if any(one.name == user["name"] for one in servers.users(server)):
                servers.update_user(server, user["name"], password=password, roles=roles)
            else:
                servers.create_user(server, user["name"], password=password, roles=roles)
    world.store.put(f"{operation.target}/users/{user['name']}", user)


@service.method("sql.users.update", blocking=True)
def update_user(call: Call) -> Body:
    """UPDATE_USER by `?name=`: password, password policy, roles to grant (`databaseRoles` in the query)."""
    key, body = running(call)
    user = _one(call, key, body)
    asked = call.params.get("databaseRoles") or call.body.get("databaseRoles")
    roles = [asked] if isinstance(asked, str) else asked
    args: Body = {"user": user, "revoke": str(call.params.get("revokeExistingRoles", "")).lower() == "true"}
    if roles:
        args["roles"] = roles
        kept = [] if args["revoke"] else user.get("databaseRoles", [])
        user["databaseRoles"] = list(dict.fromkeys([*kept, *roles]))
    if call.body.get("passwordPolicy"):
        user["passwordPolicy"] = call.body["passwordPolicy"]
    if call.body.get("password"):
        args["password"] = plane.deposit(str(call.body["password"]))
    return settled(call, start(call, "update_user", "UPDATE_USER", key, args=args))


@service.finisher("update_user", slow=True)
def finish_update_user(world: World, operation: Operation) -> None:
    """On the server, then in the record."""
    body, user = under_way(world, operation), operation.args["user"]
    if body is None:
        return
    servers, ticket = plane.postgres(world, body), operation.args.get("password", "")
    if servers is not None:
        with plane.translated(f"failed to update user {user['name']}:"):
            servers.update_user(
                plane.server(body),
                user["name"],
                password=plane.withdraw(ticket) if ticket else None,
                roles=operation.args.get("roles"),
                revoke_existing=operation.args["revoke"],
            )
    world.store.put(f"{operation.target}/users/{user['name']}", user)


@service.method("sql.users.delete", blocking=True)
def delete_user(call: Call) -> Body:
    """DELETE_USER; a role that owns objects is a 400 in PostgreSQL's words (hazards Q12)."""
    key, body = running(call)
    user = _one(call, key, body)
    return settled(call, start(call, "delete_user", "DELETE_USER", key, args={"name": user["name"]}))


@service.finisher("delete_user", slow=True)
def finish_delete_user(world: World, operation: Operation) -> None:
    """Dropped on the server first."""
    body, name = under_way(world, operation), operation.args["name"]
    if body is None:
        return
    servers, server = plane.postgres(world, body), plane.server(body)
    if servers is not None and any(one.name == name for one in servers.users(server)):
        with plane.translated(f"failed to delete user {name}: ."):
            servers.delete_user(server, name)
    world.store.delete(f"{operation.target}/users/{name}")
