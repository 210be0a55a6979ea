"""Permissions of the predefined roles that the runtime paths use (IAM roles and permissions reference, by role).

A role is a pair of patterns: what it allows, and what of that it withholds. A role that is not here grants nothing.
"""

from __future__ import annotations

Patterns = tuple[str, ...]

# basic roles leave secrets' payloads and policies alone (IAM basic roles: "does not include" notes)
_PAYLOADS = ("secretmanager.versions.access", "iam.serviceAccounts.actAs", "iam.serviceAccounts.getAccessToken")
_POLICIES = ("*.setIamPolicy",)

ROLES: dict[str, tuple[Patterns, Patterns]] = {
    "roles/owner": (("*",), ()),
    "roles/editor": (("*",), ("secretmanager.versions.access", *_POLICIES)),
    "roles/viewer": (("*.get", "*.list", "*.getIamPolicy", "*.search"), (*_PAYLOADS, "storage.objects.get")),
    "roles/browser": (("resourcemanager.projects.get", "resourcemanager.projects.list"), ()),
    # Secret Manager
    "roles/secretmanager.admin": (("secretmanager.*",), ()),
    "roles/secretmanager.secretAccessor": (("secretmanager.versions.access", "resourcemanager.projects.get"), ()),
    "roles/secretmanager.viewer": (
        (
            "secretmanager.secrets.get",
            "secretmanager.secrets.list",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ),
        (),
    ),
    "roles/secretmanager.secretVersionAdder": (("secretmanager.versions.add",), ()),
    "roles/secretmanager.secretVersionManager": (
        (
            "secretmanager.versions.add",
            "secretmanager.versions.enable",
            "secretmanager.versions.disable",
            "secretmanager.versions.destroy",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ),
        (),
    ),
    # Cloud Storage
    "roles/storage.admin": (("storage.*",), ()),
    "roles/storage.objectAdmin": (("storage.objects.*",), ()),
    "roles/storage.objectUser": (("storage.objects.*",), ("storage.objects.setIamPolicy",)),
    "roles/storage.objectViewer": (("storage.objects.get", "storage.objects.list"), ()),
    "roles/storage.objectCreator": (("storage.objects.create",), ()),
    "roles/storage.legacyBucketReader": (("storage.buckets.get", "storage.objects.list"), ()),
    "roles/storage.legacyBucketWriter": (
        ("storage.buckets.get", "storage.objects.list", "storage.objects.create", "storage.objects.delete"),
        (),
    ),
    "roles/storage.legacyObjectReader": (("storage.objects.get",), ()),
    # Artifact Registry and Cloud Build
    "roles/artifactregistry.admin": (("artifactregistry.*",), ()),
    "roles/artifactregistry.repoAdmin": (("artifactregistry.*",), ("*.setIamPolicy", "*.repositories.create")),
    "roles/artifactregistry.reader": (
        ("artifactregistry.*.get", "artifactregistry.*.list", "artifactregistry.repositories.downloadArtifacts"),
        (),
    ),
    "roles/artifactregistry.writer": (
        (
            "artifactregistry.*.get",
            "artifactregistry.*.list",
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.uploadArtifacts",
            "artifactregistry.tags.create",
            "artifactregistry.tags.update",
        ),
        (),
    ),
    "roles/cloudbuild.builds.editor": (("cloudbuild.builds.*",), ()),
    "roles/cloudbuild.builds.builder": (
        (
            "cloudbuild.builds.*",
            "artifactregistry.*.get",
            "artifactregistry.*.list",
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.uploadArtifacts",
            "artifactregistry.tags.create",
            "artifactregistry.tags.update",
            "logging.logEntries.create",
            "storage.objects.*",
            "storage.buckets.get",
        ),
        (),
    ),
    # Cloud Run and service accounts
    "roles/run.admin": (("run.*",), ()),
    "roles/run.developer": (("run.*",), _POLICIES),
    "roles/run.invoker": (("run.routes.invoke", "run.jobs.run"), ()),
    "roles/run.viewer": (("run.*.get", "run.*.list", "run.*.getIamPolicy"), ()),
    "roles/iam.serviceAccountUser": (
        ("iam.serviceAccounts.actAs", "iam.serviceAccounts.get", "iam.serviceAccounts.list"),
        (),
    ),
    "roles/iam.serviceAccountTokenCreator": (
        (
            "iam.serviceAccounts.getAccessToken",
            "iam.serviceAccounts.getOpenIdToken",
            "iam.serviceAccounts.signBlob",
            "iam.serviceAccounts.signJwt",
        ),
        (),
    ),
    "roles/iam.serviceAccountAdmin": (("iam.serviceAccounts.*",), ("iam.serviceAccounts.actAs", *_PAYLOADS)),
    # Cloud SQL, Memorystore, network
    "roles/cloudsql.admin": (("cloudsql.*",), ()),
    "roles/cloudsql.editor": (("cloudsql.*",), ("cloudsql.users.*", "cloudsql.instances.create")),
    "roles/cloudsql.client": (("cloudsql.instances.connect", "cloudsql.instances.get"), ()),
    "roles/cloudsql.instanceUser": (("cloudsql.instances.get", "cloudsql.instances.login"), ()),
    "roles/cloudsql.viewer": (("cloudsql.*.get", "cloudsql.*.list"), ()),
    "roles/redis.admin": (("redis.*",), ()),
    "roles/redis.editor": (("redis.*",), ("redis.instances.create", "redis.instances.delete")),
    "roles/redis.viewer": (("redis.*.get", "redis.*.list"), ()),
    "roles/compute.networkUser": (("compute.networks.use", "compute.subnetworks.use", "compute.*.get"), ()),
    "roles/vpcaccess.user": (("vpcaccess.connectors.use", "vpcaccess.connectors.get", "vpcaccess.connectors.list"), ()),
    "roles/cloudscheduler.admin": (("cloudscheduler.*",), ()),
    # observability
    "roles/logging.logWriter": (("logging.logEntries.create",), ()),
    "roles/logging.viewer": (("logging.logEntries.list", "logging.*.get", "logging.*.list"), ()),
    "roles/monitoring.metricWriter": (
        (
            "monitoring.metricDescriptors.create",
            "monitoring.metricDescriptors.get",
            "monitoring.metricDescriptors.list",
            "monitoring.monitoredResourceDescriptors.*",
            "monitoring.timeSeries.create",
        ),
        (),
    ),
    "roles/monitoring.viewer": (("monitoring.*.get", "monitoring.*.list"), ()),
    "roles/cloudtrace.agent": (("cloudtrace.traces.patch", "cloudtrace.traces.batchWrite"), ()),
}
