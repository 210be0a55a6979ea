"""Database flags of Cloud SQL: those that are settings of PostgreSQL, those of Google only, those refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from plantctl.sandbox.dataplane.error import DataPlaneError

Settings = Mapping[str, Mapping[str, Any]]  # name -> a row of pg_settings

# Flags of Cloud SQL that no PostgreSQL knows: https://cloud.google.com/sql/docs/postgres/flags
GOOGLE_ONLY = {
    "cloudsql.iam_authentication": "IAM logins are not checked by this server",
    "cloudsql.enable_pgaudit": "the pgaudit extension is not part of these binaries",
    "cloudsql.enable_pg_bigm": "the pg_bigm extension is not part of these binaries",
    "cloudsql.enable_pg_cron": "the pg_cron extension is not part of these binaries",
    "cloudsql.enable_pg_hint_plan": "the pg_hint_plan extension is not part of these binaries",
    "cloudsql.enable_pglogical": "the pglogical extension is not part of these binaries",
    "cloudsql.enable_pg_wait_sampling": "the pg_wait_sampling extension is not part of these binaries",
    "cloudsql.enable_anon": "the anon extension is not part of these binaries",
    "cloudsql.enable_auto_explain": "auto_explain is not loaded here",
    "cloudsql.enable_google_ml_integration": "Vertex AI is not reached from here",
    "cloudsql.enable_index_advisor": "the index advisor is Google's own",
    "cloudsql.enable_maintain_on_role_members": "Google's own extension of the privilege system",
    "cloudsql.allow_passwordless_local_connections": "nobody logs in to the server's machine here",
    "cloudsql.pg_authid_select_role": "Google's own extension of the privilege system",
}
# settings of extensions that Cloud SQL offers; accepted, and without effect where the extension is not loaded
EXTENSIONS = (
    "auto_explain.",
    "anon.",
    "cron.",
    "google_ml_integration.",
    "pgaudit.",
    "pglogical.",
    "pg_bigm.",
    "pg_hint_plan.",
)
LOGICAL = "cloudsql.logical_decoding"
# settings that Cloud SQL keeps to itself, and on which this data plane rests
OWNED = frozenset(
    (
        "allow_system_table_mods",
        "archive_cleanup_command",
        "archive_command",
        "archive_library",
        "archive_mode",
        "archive_timeout",
        "cluster_name",
        "config_file",
        "data_directory",
        "external_pid_file",
        "fsync",
        "full_page_writes",
        "hba_file",
        "ident_file",
        "dynamic_library_path",
        "dynamic_shared_memory_type",
        "hot_standby",
        "listen_addresses",
        "local_preload_libraries",
        "log_destination",
        "log_directory",
        "log_filename",
        "logging_collector",
        "password_encryption",
        "port",
        "primary_conninfo",
        "primary_slot_name",
        "promote_trigger_file",
        "recovery_end_command",
        "recovery_target",
        "recovery_target_action",
        "recovery_target_inclusive",
        "recovery_target_lsn",
        "recovery_target_name",
        "recovery_target_time",
        "recovery_target_timeline",
        "recovery_target_xid",
        "restore_command",
        "session_preload_libraries",
        "shared_preload_libraries",
        "ssl",
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_crl_dir",
        "ssl_crl_file",
        "ssl_key_file",
        "ssl_passphrase_command",
        "synchronous_standby_names",
        "unix_socket_directories",
        "unix_socket_group",
        "unix_socket_permissions",
        "wal_level",
        "zero_damaged_pages",
    )
)
BOOLEANS = frozenset(("on", "off", "true", "false", "yes", "no", "1", "0"))


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """Flags by what becomes of them: `settings` goes into the configuration, `ignored` maps a flag to the reason."""

    settings: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def sort(flags: Mapping[str, str], known: Settings) -> Sorted:
    """Divides `flags`; DataPlaneError (invalid) names the first that PostgreSQL does not know or would not take."""
    result = Sorted()
    for name, value in flags.items():
        if name == LOGICAL:
            if value == "on":
                result.settings["wal_level"] = "logical"
        elif name in GOOGLE_ONLY:
            result.ignored[name] = GOOGLE_ONLY[name]
        elif name in known:
            _check(name, value, known[name])
            result.settings[name] = value
        elif name.startswith(EXTENSIONS):
            result.ignored[name] = f"the extension {name.split('.')[0]} is not loaded here"
        else:
            raise _invalid(name, "PostgreSQL has no such setting")
    return result


def restart_needed(old: Mapping[str, str], new: Mapping[str, str], known: Settings) -> list[str]:
    """The settings between `old` and `new` that PostgreSQL reads at its start only."""
    changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    return sorted(name for name in changed if known[name]["context"] == "postmaster")


def _check(name: str, value: str, row: Mapping[str, Any]) -> None:
    if name in OWNED or row["context"] == "internal":
        raise _invalid(name, "Cloud SQL does not offer this setting as a flag")
    kind = row["vartype"]
    if kind == "bool" and value.lower() not in BOOLEANS:
        raise _invalid(name, f"{value!r} is not on or off")
    if kind == "enum" and value.lower() not in [str(one).lower() for one in row["enumvals"]]:
        raise _invalid(name, f"{value!r} is none of {', '.join(row['enumvals'])}")
    if kind in ("integer", "real"):
        _check_number(name, value, row)
    if any(sign in value for sign in "\n\r\0"):
        raise _invalid(name, "the value has a line break")


def _check_number(name: str, value: str, row: Mapping[str, Any]) -> None:
    try:
        number = Decimal(value)  # Cloud SQL takes plain numbers in the setting's own unit, never "64MB"
    except InvalidOperation:
        raise _invalid(name, f"{value!r} is not a number") from None
    if not Decimal(row["min_val"]) <= number <= Decimal(row["max_val"]):
        raise _invalid(name, f"{value} is outside {row['min_val']} to {row['max_val']}")
    if row["vartype"] == "integer" and number != number.to_integral_value():
        raise _invalid(name, f"{value} is not a whole number")


def _invalid(name: str, cause: str) -> DataPlaneError:
    return DataPlaneError(f"set the flag {name}", cause, reason="invalid")
