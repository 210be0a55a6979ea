"""Databases and users of an instance, with the rights that Cloud SQL's API gives them. No HTTP, no Google shapes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from plantctl.sandbox.dataplane.cluster.instance import Instance
from plantctl.sandbox.dataplane.cluster.session import ADMIN, Session, identifier, literal, verifier
from plantctl.sandbox.dataplane.cluster.template import SUPERUSER
from plantctl.sandbox.dataplane.error import DataPlaneError

RESERVED_USER = re.compile(r"pg_.*|cloudsql.*|public|none")
FALLBACKS = ("C.UTF-8", "C")
# libc does not know the locale, or it cannot hold the encoding
NO_LOCALE = ("invalid LC_COLLATE locale name", "invalid locale name", "does not match locale")


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database as the API shows it. `served`: the collation it really has, where that is another one."""

    name: str
    charset: str
    collation: str
    served: str


@dataclass(frozen=True, kw_only=True)
class User:
    """A role that can log in, and the roles it is a direct member of."""

    name: str
    roles: tuple[str, ...]
    has_password: bool


def create_database(instance: Instance, name: str, charset: str, collation: str) -> Database:
    """Creates a database owned by cloudsqlsuperuser; a locale that the machine lacks gives way to C.UTF-8, or C.

    Reasons: exists, invalid (charset or name).
    """
    what = f"create database {name} on {instance.name}"
    if not name or len(name.encode()) > 63 or "\0" in name:
        raise DataPlaneError(what, "a name has 1 to 63 bytes", reason="invalid")
    session = instance.session(what)
    if not session.rows("SELECT 1 AS yes WHERE pg_char_to_encoding($1) >= 0", charset):
        raise DataPlaneError(what, f"{charset!r} is not a character set of PostgreSQL", reason="invalid")
    wanted = [collation, *(locale for locale in FALLBACKS if locale != collation)]
    for locale in wanted:
        statement = (
            f"CREATE DATABASE {identifier(name)} OWNER {SUPERUSER} TEMPLATE template0 ENCODING {literal(charset)} "
            f"LC_COLLATE {literal(locale)} LC_CTYPE {literal(locale)}"
        )
        try:
            session.execute(statement)
            break
        except DataPlaneError as error:
            if locale == wanted[-1] or not any(words in str(error) for words in NO_LOCALE):
                raise
    instance.record.collations[name] = collation
    instance.save()
    return next(one for one in databases(instance) if one.name == name)


def drop_database(instance: Instance, name: str) -> None:
    """Drops a database. Reasons: not-found, in-use (a session is connected), invalid (one of PostgreSQL's own)."""
    what = f"drop database {name} of {instance.name}"
    if name in ("template0", "template1", ADMIN):
        raise DataPlaneError(what, "it belongs to the server", reason="invalid")
    database = ADMIN if name == "postgres" else "postgres"  # no session can drop the database it is in
    instance.session(what, database).execute(f"DROP DATABASE {identifier(name)}")
    instance.record.collations.pop(name, None)
    instance.save()


def databases(instance: Instance) -> list[Database]:
    """The databases that the API lists: without the templates and Cloud SQL's own."""
    rows = instance.session(f"list databases of {instance.name}").rows(
        "SELECT datname::text AS name, pg_encoding_to_char(encoding)::text AS charset, datcollate::text AS served "
        "FROM pg_database WHERE NOT datistemplate AND datname <> $1 ORDER BY datname",
        ADMIN,
    )
    asked = instance.record.collations
    return [Database(collation=asked.get(row["name"], "en_US.UTF8"), **row) for row in rows]


def create_user(instance: Instance, name: str, password: str | None, roles: Sequence[str] | None) -> User:
    """Creates a login. `roles` None: member of cloudsqlsuperuser, with CREATEDB and CREATEROLE, as an API-made user is
    (docs: "Create and manage users"); else a member of exactly these. Reasons: exists, not-found (a role), invalid.
    """
    what = f"create user {name} on {instance.name}"
    _check_user(name, what)
    session = instance.session(what)
    attributes = "CREATEDB CREATEROLE" if roles is None else "NOCREATEDB NOCREATEROLE"
    secret = "PASSWORD NULL" if password is None else f"PASSWORD {literal(verifier(password))}"
    grants = [SUPERUSER] if roles is None else list(roles)
    _check_roles(session, grants, what)
    statements = [f"CREATE ROLE {identifier(name)} LOGIN {attributes} {secret}"]
    statements += [f"GRANT {identifier(role)} TO {identifier(name)}" for role in grants]
    # one transaction: no user is left behind without its roles
    session.execute("; ".join(statements))
    return _user(session, name, what)


def update_user(
    instance: Instance, name: str, password: str | None, roles: Sequence[str] | None, *, revoke_existing: bool = False
) -> User:
    """Changes a password and/or grants roles, first revoking the others with `revoke_existing`. Reason: not-found."""
    what = f"update user {name} of {instance.name}"
    _check_user(name, what)
    session = instance.session(what)
    user = _user(session, name, what)
    statements = []
    if password is not None:
        statements.append(f"ALTER ROLE {identifier(name)} PASSWORD {literal(verifier(password))}")
    if roles is not None:
        _check_roles(session, roles, what)
        if revoke_existing:
            statements += [f"REVOKE {identifier(role)} FROM {identifier(name)}" for role in user.roles]
            if SUPERUSER in user.roles and SUPERUSER not in roles:
                statements.append(f"ALTER ROLE {identifier(name)} NOCREATEDB NOCREATEROLE")
        statements += [f"GRANT {identifier(role)} TO {identifier(name)}" for role in roles]
    if statements:
        session.execute("; ".join(statements))
    return _user(session, name, what)


def delete_user(instance: Instance, name: str) -> None:
    """Drops a role. Reasons: not-found, in-use (it owns objects: rotate its password instead; hazards Q12)."""
    what = f"delete user {name} of {instance.name}"
    _check_user(name, what)
    instance.session(what).execute(f"DROP ROLE {identifier(name)}")


def users(instance: Instance) -> list[User]:
    """The logins that the API lists: without PostgreSQL's and Cloud SQL's own."""
    return _users(instance.session(f"list users of {instance.name}"))


def _users(session: Session) -> list[User]:
    rows = session.rows(
        "SELECT a.rolname::text AS name, a.rolpassword IS NOT NULL AS has_password, "
        "ARRAY(SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid "
        "      WHERE m.member = a.oid GROUP BY 1 ORDER BY 1) AS roles "
        "FROM pg_authid a WHERE a.rolcanlogin ORDER BY a.rolname"
    )
    shown = (row for row in rows if not RESERVED_USER.fullmatch(row["name"]))
    return [User(name=row["name"], roles=tuple(row["roles"]), has_password=row["has_password"]) for row in shown]


def _user(session: Session, name: str, what: str) -> User:
    for user in _users(session):
        if user.name == name:
            return user
    raise DataPlaneError(what, f"role {name} does not exist", reason="not-found")


def _check_user(name: str, what: str) -> None:
    if not name or len(name.encode()) > 63 or "\0" in name or RESERVED_USER.fullmatch(name):
        raise DataPlaneError(what, f"{name!r} is reserved, or not a role's name", reason="invalid")


def _check_roles(session: Session, roles: Sequence[str], what: str) -> None:
    known = {row["name"] for row in session.rows("SELECT rolname::text AS name FROM pg_roles WHERE NOT rolsuper")}
    missing = [role for role in roles if role not in known]
    if missing:
        raise DataPlaneError(what, f"role {', '.join(missing)} does not exist", reason="not-found")
