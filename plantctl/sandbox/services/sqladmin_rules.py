"""Rules of Cloud SQL that no schema states. A refusal is a 400 with reason `invalid`.

A rule names its source; the words of a refusal are the real server's only where that is said, else unverified.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from plantctl.sandbox.services import sqladmin_tables as tables
from plantctl.sandbox.services.sqladmin_base import invalid
from plantctl.sandbox.services.sqladmin_flags import FLAGS
from plantctl.sandbox.store import Body

# instance-settings page, "Instance ID": letters, digits, hyphens, a letter first; with the project 98 characters
INSTANCE_NAME = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
NAME_LIMIT = 98
START_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
SSL_MODES = ("ALLOW_UNENCRYPTED_AND_ENCRYPTED", "ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED")
MAX_DISK_GB = 65536
LOG_DAYS = {"ENTERPRISE": 7, "ENTERPRISE_PLUS": 35}


def check_name(project: str, name: str) -> None:
    """400 for what is no instance id."""
    if not INSTANCE_NAME.fullmatch(name):
        message = "Invalid instance name. Instance name must start with a letter, and consist of lower-case letters,"
        raise invalid(f"{message} numbers and hyphens.")
    if len(f"{project}:{name}") > NAME_LIMIT:
        raise invalid(f"Instance name is too long: project and name together have at most {NAME_LIMIT} characters.")


def check_region(region: str) -> None:
    """400 for a region without Cloud SQL."""
    if region not in tables.REGIONS and region not in tables.LEGACY_REGIONS:
        raise invalid(f"Invalid value for region: {region}.")


def check(body: Body) -> None:
    """All rules that one instance body must keep, defaults filled in already."""
    for rule in RULES:
        rule(body)


def check_change(live: Body, wanted: Body) -> None:
    """What may not change in an existing instance (gcp-foundation 0.3, section 2)."""
    for field in ("name", "region", "instanceType"):
        if wanted.get(field) != live.get(field):
            raise invalid(f"{field} cannot be changed.")
    old, new = live["settings"], wanted["settings"]
    if new.get("dataDiskType") != old.get("dataDiskType"):
        raise invalid("The data disk type of an instance cannot be changed.")
    if int(new["dataDiskSizeGb"]) < int(old["dataDiskSizeGb"]):
        raise invalid("Disk size of an instance cannot be decreased.")
    if old["ipConfiguration"].get("privateNetwork") and not new["ipConfiguration"].get("privateNetwork"):
        raise invalid("Private network cannot be removed from an instance.")
    if old.get("collation") != new.get("collation"):
        raise invalid("The collation of an instance cannot be changed.")
    before, after = live["databaseVersion"], wanted["databaseVersion"]
    if tables.engine(before) != tables.engine(after) or tables.number(after) < tables.number(before):
        raise invalid(f"Database version cannot be changed from {before} to {after}.")


def _tier(body: Body) -> None:
    settings = body["settings"]
    if not settings.get("tier"):
        raise invalid("Missing parameter: tier.")
    problem = tables.tier_problem(settings["tier"], settings["edition"])
    # editions of MySQL and SQL Server differ; only PostgreSQL is looked at closely
    if problem and tables.engine(body["databaseVersion"]) == "POSTGRES":
        raise invalid(problem)


def _availability(body: Body) -> None:
    settings = body["settings"]
    backup = settings["backupConfiguration"]
    if settings["availabilityType"] != "REGIONAL" or body.get("masterInstanceName"):
        return
    # gcp-foundation section 2, database.instance.ha (S 22). One recorded update to REGIONAL, which left `enabled` out,
    # was accepted: an update is refused only when it says `false` itself (see refuse_unsafe).
    if body.get("_new") and not backup.get("enabled"):
        raise invalid("Automated backups must be enabled for a REGIONAL instance.")
    postgres = tables.engine(body["databaseVersion"]) == "POSTGRES"
    if body.get("_new") and postgres and not backup.get("pointInTimeRecoveryEnabled"):
        raise invalid("Point-in-time recovery must be enabled for a REGIONAL PostgreSQL instance.")


def refuse_unsafe(wanted: Body, request: Body) -> None:
    """An update that turns backups or point-in-time recovery off where REGIONAL or the log needs them."""
    said = request.get("settings", {}).get("backupConfiguration") or {}
    if wanted["settings"]["availabilityType"] == "REGIONAL" and said.get("enabled") is False:
        raise invalid("Automated backups must be enabled for a REGIONAL instance.")
    postgres = tables.engine(wanted["databaseVersion"]) == "POSTGRES"
    regional = wanted["settings"]["availabilityType"] == "REGIONAL"
    if regional and postgres and said.get("pointInTimeRecoveryEnabled") is False:
        raise invalid("Point-in-time recovery must be enabled for a REGIONAL PostgreSQL instance.")


def _backups(body: Body) -> None:
    backup, edition = body["settings"]["backupConfiguration"], body["settings"]["edition"]
    if not START_TIME.fullmatch(str(backup["startTime"])):
        raise invalid(f"Invalid backup start time: {backup['startTime']}. It must be in the 24 hour format HH:MM.")
    days, limit = int(backup["transactionLogRetentionDays"]), LOG_DAYS.get(edition, 7)
    if not 1 <= days <= limit:  # gcp-foundation section 2, database.instance.backup (S 4)
        raise invalid(f"Transaction log retention days must be between 1 and {limit}.")
    kept = backup["backupRetentionSettings"]
    if kept.get("retentionUnit", "COUNT") != "COUNT" or not 1 <= int(kept.get("retainedBackups", 7)) <= 365:
        raise invalid("The number of retained backups must be between 1 and 365.")  # unverified
    if int(kept.get("retainedBackups", 7)) < days and backup.get("pointInTimeRecoveryEnabled"):
        # "transaction log retention days must be less than or equal to retained backups" (backup-recovery/pitr page)
        raise invalid("The number of transaction log retention days must not exceed the number of retained backups.")
    if backup.get("pointInTimeRecoveryEnabled") and not backup.get("enabled"):
        raise invalid("Point-in-time recovery needs automated backups.")
    if backup.get("binaryLogEnabled") and tables.engine(body["databaseVersion"]) != "MYSQL":
        raise invalid("Binary log can only be enabled for MySQL instances.")


def _disk(body: Body) -> None:
    settings = body["settings"]
    size, limit = int(settings["dataDiskSizeGb"]), int(settings["storageAutoResizeLimit"])
    if not 10 <= size <= MAX_DISK_GB:  # gcp-foundation 6.8
        raise invalid(f"Disk size must be between 10 GB and {MAX_DISK_GB} GB, not {size} GB.")
    if limit and limit < size:
        raise invalid("The storage auto-resize limit must be 0 or at least the disk size.")  # unverified


def _network(body: Body) -> None:
    config = body["settings"]["ipConfiguration"]
    if (
        not config["ipv4Enabled"]
        and not config.get("privateNetwork")
        and not config.get("pscConfig", {}).get("pscEnabled")
    ):
        # instances.insert without any way in; words of the real server as Terraform users report them
        raise invalid("At least one of Public IP or Private IP or PSC connectivity must be enabled.")
    mode = config["sslMode"]
    if mode not in SSL_MODES:
        raise invalid(f"Invalid SSL mode: {mode}.")
    # discovery document, IpConfiguration.sslMode: the only pairs of sslMode and requireSsl that are valid
    if config["requireSsl"] != (mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"):
        raise invalid(f"SSL mode {mode} conflicts with requireSsl {str(config['requireSsl']).lower()}.")
    for entry in config.get("authorizedNetworks", ()):
        try:
            ipaddress.ip_network(entry.get("value", ""))
        except ValueError:
            raise invalid(f"{entry.get('value', '')} is not a valid authorized network.") from None


def _flags(body: Body) -> None:
    if tables.engine(body["databaseVersion"]) != "POSTGRES":
        return
    seen = set()
    for row in body["settings"].get("databaseFlags", ()):
        name = str(row.get("name", ""))
        flag = FLAGS.get(name.lower())
        if flag is None:
            raise invalid(f"Invalid flag name: {name}.")
        if name in seen:
            raise invalid(f"Duplicate flag name: {name}.")
        seen.add(name)
        problem = flag.problem(str(row.get("value", "")))
        if problem:
            raise invalid(f"Invalid flag value for {name}: {problem}.")


def _windows(body: Body) -> None:
    window = body["settings"].get("maintenanceWindow") or {}
    if not 0 <= int(window.get("day", 0)) <= 7 or not 0 <= int(window.get("hour", 0)) <= 23:
        raise invalid("Maintenance window day must be between 1 and 7, hour between 0 and 23.")
    # queryPlansPerMinute above the documented 20 was accepted in a recorded exchange, so only the length is looked at
    length = (body["settings"].get("insightsConfig") or {}).get("queryStringLength", 1024)
    if not 256 <= int(length) <= 4500:
        raise invalid("Query string length must be between 256 and 4500.")
    zone = body["settings"]["locationPreference"].get("zone", "")
    region = tables.LEGACY_REGIONS.get(body["region"], body["region"])
    if zone and not zone.startswith(f"{region}-"):
        raise invalid(f"Zone {zone} is not in region {region}.")


def _labels(body: Body) -> None:
    labels = body["settings"].get("userLabels", {})
    if len(labels) > 64:
        raise invalid("An instance has at most 64 labels.")
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(str(value)):
            raise invalid(f"Invalid label: {key}={value}.")
    final = body["settings"].get("finalBackupConfig") or {}
    if final.get("enabled") and not 1 <= int(final.get("retentionDays", 30)) <= 365:
        raise invalid("Final backup retention days must be between 1 and 365.")


RULES: tuple[Callable[[Body], None], ...] = (
    _tier,
    _availability,
    _backups,
    _disk,
    _network,
    _flags,
    _windows,
    _labels,
)
