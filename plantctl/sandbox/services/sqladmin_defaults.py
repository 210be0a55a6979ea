"""What Cloud SQL fills in: defaults of an instance at insert and update, and how an instance is shown.

Every rule without another source is what recorded exchanges show between a request and the next read.
"""

from __future__ import annotations

import secrets
from typing import Any

from plantctl.sandbox import standard
from plantctl.sandbox.service import Call, World
from plantctl.sandbox.services import sqladmin_tables as tables
from plantctl.sandbox.services.sqladmin_base import digits, root
from plantctl.sandbox.store import Body

CALLERS = (
    "databaseVersion",
    "diskEncryptionConfiguration",
    "failoverReplica",
    "gceZone",
    "includeReplicasForMajorVersionUpgrade",
    "instanceType",
    "maintenanceVersion",
    "masterInstanceName",
    "name",
    "nodeCount",
    "onPremisesConfiguration",
    "region",
    "replicaConfiguration",
    "replicationCluster",
    "secondaryGceZone",
    "settings",
    "tags",
)
"""Fields of DatabaseInstance that a caller may write; the rest is the server's."""
GEMINI = {
    "POSTGRES": {
        "activeQueryEnabled": False,
        "entitled": False,
        "googleVacuumMgmtEnabled": False,
        "indexAdvisorEnabled": False,
        "oomSessionCancelEnabled": False,
    },
    "MYSQL": {
        "activeQueryEnabled": False,
        "entitled": False,
        "flagRecommenderEnabled": True,
        "indexAdvisorEnabled": False,
    },
}
FIRST_VERSION = "123"
"""settingsVersion of a new instance. Where the counter starts is the server's business; at the number that recorded
exchanges have, those that send it back can be replayed with the lock on.
"""
RETAINED = {"ENTERPRISE": 7, "ENTERPRISE_PLUS": 15}
LOG_DAYS = {"ENTERPRISE": 7, "ENTERPRISE_PLUS": 14}
NO_STORAGE = "TRANSACTIONAL_LOG_STORAGE_STATE_UNSPECIFIED"


def new_instance(call: Call) -> Body:
    """The body of an instance that was asked for, before anything of it exists: state PENDING_CREATE."""
    asked = {field: call.body[field] for field in CALLERS if call.body.get(field) is not None}
    version = asked.setdefault("databaseVersion", "MYSQL_8_0")  # discovery document, databaseVersion
    region = asked.setdefault("region", "us-central1")
    replica = bool(asked.get("masterInstanceName"))
    name, project, kind = asked["name"], call.project, tables.engine(version)
    number = call.world.project_number(project)
    installed, maintenance = tables.installed(version)
    body: Body = {
        **asked,
        "kind": "sql#instance",
        "backendType": "SECOND_GEN",
        "connectionName": f"{project}:{region}:{name}",
        "createTime": call.clock.millis(),
        "databaseInstalledVersion": installed,
        "instanceType": "READ_REPLICA_INSTANCE" if replica else asked.get("instanceType", "CLOUD_SQL_INSTANCE"),
        "maintenanceVersion": asked.get("maintenanceVersion", maintenance),
        "project": project,
        "satisfiesPzi": True,
        "serviceAccountEmailAddress": f"p{number}-{secrets.token_hex(3)}@gcp-sa-cloud-sql.iam.gserviceaccount.com",
        "settings": settings(asked.get("settings") or {}, version, region, seed=f"{project}/{name}", replica=replica),
        "sqlNetworkArchitecture": "NEW_NETWORK_ARCHITECTURE",
        "state": "PENDING_CREATE",
    }
    if kind in GEMINI:
        body["geminiConfig"] = dict(GEMINI[kind])
    else:
        body["includeReplicasForMajorVersionUpgrade"] = False
    # the first write of a PostgreSQL backup configuration brings this field along
    if kind == "POSTGRES" and (asked.get("settings") or {}).get("backupConfiguration"):
        body["settings"]["backupConfiguration"].setdefault("replicationLogArchivingEnabled", False)
    body["settings"]["settingsVersion"] = FIRST_VERSION
    zones(body)
    return body


def settings(given: Body, version: str, region: str, *, seed: str, replica: bool = False) -> Body:
    """Settings with every default in place. `seed` decides what the server draws at random (the backup window)."""
    edition = given.get("edition") or tables.default_edition(version)
    plus = edition == "ENTERPRISE_PLUS"
    filled: Body = {
        "activationPolicy": "ALWAYS",
        "authorizedGaeApplications": [],
        "availabilityType": "ZONAL",
        "connectorEnforcement": "NOT_REQUIRED",
        "dataDiskSizeGb": "20" if plus and tables.engine(version) == "MYSQL" else "10",
        "dataDiskType": "PD_SSD",
        "deletionProtectionEnabled": False,
        "pricingPlan": "PER_USE",
        "replicationType": "SYNCHRONOUS",
        "storageAutoResize": True,
        "storageAutoResizeLimit": "0",
        **{key: value for key, value in given.items() if value is not None},
        "edition": edition,
        "kind": "sql#settings",
    }
    for field in ("dataDiskSizeGb", "storageAutoResizeLimit"):
        filled[field] = str(filled[field])
    if not plus:
        filled.pop("dataCacheConfig", None)  # dropped by the server where the edition has no data cache
    filled["backupConfiguration"] = backups(given.get("backupConfiguration"), version, edition, seed, replica=replica)
    filled["ipConfiguration"] = addresses(given.get("ipConfiguration") or {})
    filled["locationPreference"] = {
        "zone": tables.zone_of(region),
        **(given.get("locationPreference") or {}),
        "kind": "sql#locationPreference",
    }
    if tables.engine(version) == "SQLSERVER":
        filled.setdefault("replicationLagMaxSeconds", 31536000)
        filled["ipConfiguration"].setdefault(
            "serverCertificateRotationMode", "SERVER_CERTIFICATE_ROTATION_MODE_UNSPECIFIED"
        )
    return filled


def backups(given: Body | None, version: str, edition: str, seed: str, *, replica: bool = False) -> Body:
    """A backup configuration; off where it was not asked for, except on ENTERPRISE_PLUS primaries and replicas."""
    plus = edition == "ENTERPRISE_PLUS"
    given = {key: value for key, value in (given or {}).items() if value is not None}
    kept = {"retentionUnit": "COUNT", "retainedBackups": RETAINED.get(edition, 7)}
    filled: Body = {
        "enabled": plus and (not replica or tables.engine(version) == "MYSQL"),
        # drawn at random by the server (gcp-foundation 0.3)
        "startTime": f"{digits(seed) % 24:02d}:00",
        "transactionLogRetentionDays": LOG_DAYS.get(edition, 7),
        **given,
        "backupRetentionSettings": {**kept, **(given.get("backupRetentionSettings") or {})},
        "kind": "sql#backupConfiguration",
    }
    if plus and filled["enabled"]:
        log = "binaryLogEnabled" if tables.engine(version) == "MYSQL" else "pointInTimeRecoveryEnabled"
        filled.setdefault(log, True)
    if not filled.get("pointInTimeRecoveryEnabled"):
        filled.pop("pointInTimeRecoveryEnabled", None)  # never shown as false
    if plus or tables.engine(version) == "SQLSERVER":
        filled["backupTier"] = "STANDARD"
    filled["transactionalLogStorageState"] = "CLOUD_STORAGE" if filled.get("binaryLogEnabled") else NO_STORAGE
    return filled


def addresses(given: Body) -> Body:
    """An ipConfiguration: public IP on, TLS optional; requireSsl is the older word for the strictest sslMode."""
    given = {key: value for key, value in given.items() if value is not None}
    strict = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    mode = given.get("sslMode") or (strict if given.get("requireSsl") else "ALLOW_UNENCRYPTED_AND_ENCRYPTED")
    filled: Body = {
        "authorizedNetworks": [],
        "ipv4Enabled": True,
        "requireSsl": mode == strict,
        **given,
        "sslMode": mode,
    }
    for entry in filled["authorizedNetworks"]:
        entry["kind"] = "sql#aclEntry"
    return filled


def merged(live: Body, request: Body, *, replace: bool) -> Body:
    """The body that an update (`replace`: PUT, else PATCH) asks for: arrays replace, null removes, defaults refill.

    PUT's settings start anew, but what the server once drew or a later version needs stays.
    """
    asked = {field: request[field] for field in CALLERS if field in request and field != "settings"}
    wanted = standard.merge(live, asked)
    old, new = live["settings"], request.get("settings") or {}
    base = dict(new) if replace and new else standard.merge(old, new)
    said = new.get("ipConfiguration") or {}
    if "sslMode" in said and "requireSsl" not in said:
        base["ipConfiguration"].pop("requireSsl", None)  # follows the mode
    if "requireSsl" in said and "sslMode" not in said:
        base["ipConfiguration"].pop("sslMode", None)
    upgraded = base.get("edition") == "ENTERPRISE_PLUS" != old["edition"]
    base["backupConfiguration"] = _kept_backups(old["backupConfiguration"], base, new, upgraded=upgraded)
    for drawn in ("dataDiskSizeGb", "dataDiskType", "edition", "locationPreference", "availabilityType"):
        base.setdefault(drawn, old.get(drawn))
    wanted["settings"] = settings(
        base, wanted["databaseVersion"], live["region"], seed=f"{live['project']}/{live['name']}"
    )
    wanted["settings"]["settingsVersion"] = old["settingsVersion"]
    if upgraded:
        wanted["settings"]["dataCacheConfig"] = {"dataCacheEnabled": True, **(new.get("dataCacheConfig") or {})}
    if tables.engine(wanted["databaseVersion"]) == "POSTGRES":
        wanted["settings"]["backupConfiguration"].setdefault("replicationLogArchivingEnabled", False)
    if wanted["databaseVersion"] != live["databaseVersion"]:
        installed, maintenance = tables.installed(wanted["databaseVersion"])
        wanted |= {"databaseInstalledVersion": installed, "maintenanceVersion": maintenance}
    zones(wanted)
    return wanted


def _kept_backups(old: Body, base: Body, new: Body, *, upgraded: bool) -> Body:
    kept: Body = dict(base.get("backupConfiguration") or {})
    kept.setdefault("enabled", old["enabled"])
    kept.setdefault("startTime", old["startTime"])
    said = new.get("backupConfiguration") or {}
    if upgraded:  # the larger edition brings its own retention
        for field in ("transactionLogRetentionDays", "backupRetentionSettings"):
            if field not in said:
                kept.pop(field, None)
    return kept


def zones(body: Body) -> None:
    """gceZone, and secondaryGceZone where there is a standby, by the location that was preferred."""
    region, place = body["region"], body["settings"]["locationPreference"]
    body["gceZone"] = body.get("gceZone") or place.get("zone") or tables.zone_of(region)
    if body["settings"]["availabilityType"] != "REGIONAL":
        body.pop("secondaryGceZone", None)
        return
    others = [zone for zone in (tables.zone_of(region, letter) for letter in "abcf") if zone != body["gceZone"]]
    if body.get("secondaryGceZone") in (None, body["gceZone"]):
        body["secondaryGceZone"] = place.get("secondaryZone") or others[0]


def shown(call: Call, body: Body) -> Body:
    """An instance as the API shows it: without what starts with `_`, with the selfLink of the asked version."""
    visible = {key: value for key, value in body.items() if not key.startswith("_")}
    visible["selfLink"] = f"{root(call.method.version)}/projects/{body['project']}/instances/{body['name']}"
    return visible


def replicas(world: World, body: Body) -> list[str]:
    """Names of the read replicas of an instance."""
    master = body["name"]
    prefix = f"sqladmin/projects/{body['project']}/instances/"
    found = world.store.list(prefix, direct=True)
    return [other["name"] for _, other in found if _master(other) == master]


def _master(body: Body) -> str:
    return str(body.get("masterInstanceName", "")).rpartition(":")[2]


def master_key(body: dict[str, Any]) -> str:
    """Store key of a replica's primary."""
    return f"sqladmin/projects/{body['project']}/instances/{_master(body)}"
