"""The one table of idempotency classes: what a second sending of each mutating method does (hazards section 2).

N natural key: a second one is answered 409. R request id: the same id, the same write. P precondition (etag,
generation, fingerprint, version): a second one is refused. U upsert: the same effect again. X none: a second one makes
a second resource, so a marker is looked for before it is sent again.
"""

from __future__ import annotations

from plantctl.errors import PlantctlError

_RUN = "run.projects.locations"
_SECRETS = "secretmanager.projects.secrets"
_REDIS = "redis.projects.locations.instances"
_REPOSITORIES = "artifactregistry.projects.locations.repositories"
_ACCOUNTS = "iam.projects.serviceAccounts"
_CONTEXT = "accesscontextmanager.accessPolicies"

_COMPUTE = {
    "networks": ("insert", "patch", "delete", "removePeering"),
    "subnetworks": ("insert", "patch", "delete", "setPrivateIpGoogleAccess", "expandIpCidrRange"),
    "globalAddresses": ("insert", "delete"),
    "addresses": ("insert", "delete"),
    "firewalls": ("insert", "patch", "update", "delete"),
    "routers": ("insert", "patch", "update", "delete"),
    "securityPolicies": ("insert", "patch", "delete"),
    "regionNetworkEndpointGroups": ("insert", "delete"),
    "backendServices": ("insert", "patch", "update", "delete", "setSecurityPolicy"),
    "backendBuckets": ("insert", "patch", "update", "delete"),
    "urlMaps": ("insert", "patch", "update", "delete"),
    "sslCertificates": ("insert", "delete"),
    "sslPolicies": ("insert", "patch", "delete"),
    "targetHttpsProxies": ("insert", "patch", "delete", "setSslCertificates", "setSslPolicy", "setUrlMap"),
    "globalForwardingRules": ("insert", "patch", "delete", "setTarget"),
}

_CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "N": {
        "accesscontextmanager.accessPolicies.accessLevels": ("create",),
        "accesscontextmanager.accessPolicies.servicePerimeters": ("create",),
        _REPOSITORIES: ("create",),
        "cloudresourcemanager.projects": ("create",),
        "cloudscheduler.projects.locations.jobs": ("create",),
        "dlp.projects.locations.jobTriggers": ("create",),  # with triggerId, which is always set
        "dns.managedZones": ("create",),
        _ACCOUNTS: ("create",),
        "logging.projects.locations.buckets": ("create",),
        "logging.projects.metrics": ("create",),
        "logging.projects.sinks": ("create",),
        "monitoring.projects.dashboards": ("create",),  # with a name in the body, which is always set
        "monitoring.services": ("create",),
        "monitoring.services.serviceLevelObjectives": ("create",),
        _REDIS: ("create",),
        f"{_RUN}.jobs": ("create",),
        f"{_RUN}.services": ("create",),
        f"{_RUN}.workerPools": ("create",),
        _SECRETS: ("create",),
        "servicenetworking.services.connections": ("create",),
        "sql.databases": ("insert",),
        "sql.instances": ("insert", "clone"),
        "storage.buckets": ("insert",),
        "vpcaccess.projects.locations.connectors": ("create",),
    },
    "R": {f"compute.{collection}": verbs for collection, verbs in _COMPUTE.items()},
    "P": {
        "accesscontextmanager.accessPolicies.servicePerimeters": ("patch",),
        _REPOSITORIES: ("setIamPolicy",),
        "billingbudgets.billingAccounts.budgets": ("patch",),
        "binaryauthorization.projects": ("updatePolicy",),
        "cloudresourcemanager.projects": ("setIamPolicy",),
        "dns.changes": ("create",),  # deletions must equal what is there
        _ACCOUNTS: ("setIamPolicy",),
        "monitoring.projects.dashboards": ("patch",),
        _REDIS: ("upgrade",),  # to a version: refused where it is there already
        f"{_RUN}.jobs": ("setIamPolicy",),
        f"{_RUN}.services": ("setIamPolicy",),
        f"{_RUN}.workerPools": ("setIamPolicy",),
        _SECRETS: ("setIamPolicy",),
        "sql.instances": ("patch", "update", "failover"),
        "storage.buckets": ("setIamPolicy",),
        "storage.objects": ("insert",),  # with ifGenerationMatch
    },
    "U": {
        _REPOSITORIES: ("patch", "delete"),
        "cloudbilling.projects": ("updateBillingInfo",),
        "cloudbuild.projects.locations.builds": ("cancel",),
        "cloudresourcemanager.projects": ("patch",),
        "cloudscheduler.projects.locations.jobs": ("patch", "delete", "pause", "resume"),
        _ACCOUNTS: ("enable", "disable", "patch"),
        "iam.projects.serviceAccounts.keys": ("delete",),
        "logging.projects.locations.buckets": ("patch", "undelete"),
        "logging.projects.metrics": ("update",),
        "logging.projects.sinks": ("patch", "update"),
        "monitoring.projects.alertPolicies": ("patch", "delete"),
        "monitoring.projects.notificationChannels": ("patch", "delete"),
        "monitoring.projects.uptimeCheckConfigs": ("patch", "delete"),
        _REDIS: ("patch", "export"),
        f"{_RUN}.jobs": ("patch",),
        f"{_RUN}.jobs.executions": ("cancel",),
        f"{_RUN}.services": ("patch",),
        f"{_RUN}.workerPools": ("patch",),
        _SECRETS: ("patch",),
        f"{_SECRETS}.versions": ("enable", "disable", "destroy"),
        "servicenetworking.services.connections": ("patch",),
        "serviceusage.services": ("enable", "batchEnable", "generateServiceIdentity"),
        "sql.instances": ("export",),
        "sql.users": ("insert", "update"),  # the same password every time, or a repeat would change it
        "storage.buckets": ("patch",),
        "vpcaccess.projects.locations.connectors": ("patch", "delete"),
    },
    "X": {
        _CONTEXT: ("create",),
        "billingbudgets.billingAccounts.budgets": ("create",),
        "cloudbuild.projects.locations.builds": ("create",),
        "cloudscheduler.projects.locations.jobs": ("run",),
        "iam.projects.serviceAccounts.keys": ("create",),
        "monitoring.projects.alertPolicies": ("create",),
        "monitoring.projects.notificationChannels": ("create",),
        "monitoring.projects.uptimeCheckConfigs": ("create",),
        _REDIS: ("failover", "import"),
        f"{_RUN}.jobs": ("run",),
        _SECRETS: ("addVersion",),
        "sql.backupRuns": ("insert",),
        "sql.instances": ("restart", "restoreBackup", "import"),
    },
}

IDEMPOTENCY: dict[str, str] = {
    f"{prefix}.{verb}": word for word, rows in _CLASSES.items() for prefix, verbs in rows.items() for verb in verbs
}


def idempotency(method_id: str) -> str:
    """The class of a write: N, R, P, U or X. PlantctlError where the table has none, so that it cannot be sent."""
    try:
        return IDEMPOTENCY[method_id]
    except KeyError:
        raise PlantctlError(
            f"{method_id} has no idempotency class, so it cannot be sent",
            hint="this is a mistake in plantctl: the method belongs into the table of gcp/idempotency.py",
        ) from None
