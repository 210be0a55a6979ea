"""What the serving role may do: DML in schema plant, but no change of audit events. Plain SQL, repeatable.

A user made through Cloud SQL's API belongs to `cloudsqlsuperuser` and has CREATEDB and CREATEROLE (Cloud SQL, "About
PostgreSQL users"). Up to PostgreSQL 15 the migrating role takes that away by its CREATEROLE. From 16 on that needs
ADMIN OPTION on both roles, which the API does not give: then the owner takes the *database* over, so that membership in
`cloudsqlsuperuser` means nothing inside it, and what is left (`residual` in the state) goes away only through the API:
users.update with databaseRoles and revokeExistingRoles.
"""

from __future__ import annotations

import json
from typing import Any

API_ROLE = "cloudsqlsuperuser"
ADMIN_OPTION_SINCE = 16  # CREATEROLE alone no longer alters roles of others (PostgreSQL 16 release notes)

# Each step is tried on its own: what a version forbids must not undo the rest. `state` tells what came of it.
_NARROW = """
DO $$
DECLARE
    app name := '{app}';
    step text;
BEGIN
    FOREACH step IN ARRAY ARRAY[
        'ALTER ROLE {app} NOCREATEDB',
        'ALTER ROLE {app} NOCREATEROLE'
    ] LOOP
        BEGIN EXECUTE step; EXCEPTION WHEN insufficient_privilege THEN NULL; END;
    END LOOP;
    IF to_regrole('{api_role}') IS NOT NULL AND pg_has_role(app, '{api_role}', 'MEMBER') THEN
        BEGIN REVOKE {api_role} FROM {app}; EXCEPTION WHEN insufficient_privilege THEN NULL; END;
    END IF;
    IF pg_has_role(app, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'MEMBER') THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), current_user);
    END IF;
    IF pg_has_role(app, (SELECT nspowner FROM pg_namespace WHERE nspname = 'public'), 'MEMBER') THEN
        EXECUTE format('ALTER SCHEMA public OWNER TO %I', current_user);
    END IF;
    EXECUTE format('REVOKE CREATE ON DATABASE %I FROM PUBLIC, {app}', current_database());
    IF to_regnamespace('public') IS NOT NULL THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC, {app};
    END IF;
END $$
"""

# Audit events are written once (the table comes with revision 0008, and this runs from 0001 on).
_AUDIT = """
DO $$
BEGIN
    IF to_regclass('plant.audit_event') IS NOT NULL THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON plant.audit_event FROM {app};
    END IF;
END $$
"""

_SEARCH_PATH = """
DO $$
BEGIN
    EXECUTE format('ALTER ROLE {app} IN DATABASE %I SET search_path = plant', current_database());
EXCEPTION WHEN insufficient_privilege THEN
    EXECUTE format('ALTER DATABASE %I SET search_path = plant', current_database());
END $$
"""

_GRANTS = (
    "REVOKE CREATE ON SCHEMA plant FROM PUBLIC, {app}",
    "GRANT USAGE ON SCHEMA plant TO {app}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA plant TO {app}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA plant TO {app}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA plant GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA plant GRANT USAGE, SELECT ON SEQUENCES TO {app}",
    "REVOKE INSERT, UPDATE, DELETE ON plant.alembic_version FROM {app}",  # readable: `check schema` runs as the app
)

_WITHDRAWALS = (
    "ALTER DEFAULT PRIVILEGES IN SCHEMA plant REVOKE ALL ON TABLES FROM {app}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA plant REVOKE ALL ON SEQUENCES FROM {app}",
)

_STATE = """
SELECT jsonb_build_object(
    'server_major', current_setting('server_version_num')::int / 10000,
    'database_owner', (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()),
    'create_in_database', has_database_privilege(r.oid, current_database(), 'CREATE'),
    'create_in_public', coalesce(has_schema_privilege(r.oid, to_regnamespace('public')::oid, 'CREATE'), false),
    'create_in_plant', has_schema_privilege(r.oid, 'plant', 'CREATE'),
    'residual', to_jsonb(array_remove(ARRAY[
        CASE WHEN r.rolcreatedb THEN 'createdb' END,
        CASE WHEN r.rolcreaterole THEN 'createrole' END,
        CASE WHEN to_regrole('cloudsqlsuperuser') IS NOT NULL
             AND pg_has_role(r.oid, to_regrole('cloudsqlsuperuser'), 'MEMBER')
             THEN 'member of cloudsqlsuperuser' END], NULL)))
FROM pg_roles r WHERE r.rolname = $1
"""


def statements(app: str) -> list[str]:
    """SQL that narrows the role `app` to DML. Run by the owner, in one transaction, with schema plant in place."""
    return [text.format(app=app, api_role=API_ROLE) for text in (_NARROW, *_GRANTS, _AUDIT, _SEARCH_PATH)]


def withdrawals(app: str) -> list[str]:
    """SQL that takes back what would outlive the tables. The API's extra rights are not given back, on purpose."""
    return [text.format(app=app) for text in _WITHDRAWALS]


async def state(connection: Any, app: str) -> dict[str, Any]:
    """What the role can do now: server_major, database_owner, three `create_in_*` booleans, `residual` words."""
    row = await connection.fetchval(_STATE, app)
    return dict(json.loads(row)) if row else {}


def too_wide(state: dict[str, Any]) -> list[str]:
    """The places in which the role can still create objects; empty is right."""
    return [name for name in ("create_in_database", "create_in_public", "create_in_plant") if state[name]]
