"""How long Google takes, invented seconds by method id; every wait of the sandbox comes from here.

Sources: `gcp` is the reference on foundation, database, cache and backend; `hazards` the catalogue; `docs` the
product's documentation. `estimate`: no figure was found, the order of magnitude is by analogy.
"""

from __future__ import annotations

DURATIONS: dict[str, float] = {
    # project and services
    "cloudresourcemanager.projects.create": 5,  # gcp predeploy.project.create: "usually a few seconds"
    "cloudresourcemanager.projects.delete": 2,  # estimate
    "serviceusage.services.enable": 20,  # gcp predeploy.project.apis: 20 s to 3 min
    "serviceusage.services.batchEnable": 40,  # the same, several at once
    "serviceusage.services.disable": 10,  # estimate
    "serviceusage.services.generateServiceIdentity": 0,  # recorded exchanges: done in the first answer
    "serviceusage.propagation": 20,  # hazards S01: minutes at worst; the low end, so that a rehearsal sees it
    "iam.serviceAccount.visible": 10,  # hazards I01: Terraform's flat wait
    # network
    "compute.networks.insert": 20,  # gcp network: 10 to 40 s each
    "compute.networks.patch": 15,  # estimate
    "compute.networks.delete": 20,  # estimate
    "compute.networks.addPeering": 15,  # estimate
    "compute.networks.removePeering": 15,  # estimate
    "compute.networks.updatePeering": 15,  # estimate
    "compute.subnetworks.insert": 25,  # gcp network: 10 to 40 s each
    "compute.subnetworks.patch": 15,  # estimate
    "compute.subnetworks.delete": 20,  # estimate
    "compute.addresses.insert": 5,  # estimate
    "compute.addresses.delete": 5,  # estimate
    "compute.globalAddresses.insert": 5,  # estimate
    "compute.globalAddresses.delete": 5,  # estimate
    "compute.firewalls.insert": 10,  # gcp network: 10 to 40 s each
    "compute.firewalls.patch": 10,  # the same
    "compute.firewalls.delete": 10,  # the same
    "compute.routers.insert": 20,  # gcp network: 10 to 40 s each
    "compute.routers.patch": 20,  # the same
    "compute.routers.update": 20,  # the same
    "compute.routers.delete": 20,  # the same
    "compute.default": 15,  # estimate, for what is not named here
    "servicenetworking.services.connections.create": 90,  # gcp: private services access, 1 to 2 min
    "servicenetworking.services.connections.patch": 60,  # estimate
    "servicenetworking.services.connections.deleteConnection": 60,  # estimate
    "vpcaccess.projects.locations.connectors.create": 180,  # docs: 2 to 3 min
    "vpcaccess.projects.locations.connectors.patch": 120,  # estimate
    "vpcaccess.projects.locations.connectors.delete": 90,  # estimate
    # Cloud SQL
    "sql.instances.insert": 900,  # gcp: REGIONAL with private IP 10 to 20 min
    "sql.instances.insert.zonal": 450,  # gcp: ZONAL 5 to 10 min
    "sql.instances.patch": 60,  # estimate
    "sql.instances.update": 60,  # estimate
    "sql.instances.patch.restart": 180,  # estimate: changes that restart
    "sql.instances.restart": 120,  # estimate
    "sql.instances.failover": 60,  # docs: failover takes about 60 s
    "sql.instances.switchover": 60,  # estimate
    "sql.instances.delete": 120,  # estimate
    "sql.instances.clone": 600,  # estimate
    "sql.instances.restoreBackup": 300,  # estimate
    "sql.instances.promoteReplica": 120,  # estimate
    "sql.instances.export": 60,  # estimate
    "sql.instances.import": 60,  # estimate
    "sql.databases.insert": 5,  # gcp: seconds
    "sql.databases.patch": 5,  # gcp: seconds
    "sql.databases.update": 5,  # gcp: seconds
    "sql.databases.delete": 5,  # gcp: seconds
    "sql.users.insert": 5,  # gcp: seconds
    "sql.users.update": 5,  # gcp: seconds
    "sql.users.delete": 5,  # gcp: seconds
    "sql.sslCerts.insert": 5,  # estimate
    "sql.sslCerts.delete": 5,  # estimate
    "sql.backupRuns.insert": 120,  # estimate: minutes, by size
    "sql.backupRuns.delete": 20,  # estimate
    "sql.default": 30,  # estimate, for what is not named here
    # Memorystore
    "redis.projects.locations.instances.create": 300,  # estimate: STANDARD_HA 5 min
    "redis.projects.locations.instances.patch": 120,  # estimate
    "redis.projects.locations.instances.failover": 60,  # estimate
    "redis.projects.locations.instances.upgrade": 300,  # estimate
    "redis.projects.locations.instances.export": 30,  # estimate
    "redis.projects.locations.instances.import": 60,  # estimate
    "redis.projects.locations.instances.delete": 120,  # estimate
    # images
    "artifactregistry.projects.locations.repositories.create": 10,  # estimate
    "artifactregistry.projects.locations.repositories.delete": 10,  # estimate
    "artifactregistry.packages.delete": 5,  # estimate
    "cloudbuild.projects.builds.create": 240,  # gcp backend.image.push: some minutes
    "cloudbuild.builds.create": 240,  # the same
    "containeranalysis.scan": 60,  # estimate: findings a minute after the push
    # Cloud Run
    "run.projects.locations.services.create": 45,  # gcp backend.deploy: 30 to 90 s
    "run.projects.locations.services.patch": 45,  # gcp backend.deploy: 30 to 90 s
    "run.projects.locations.services.delete": 10,  # estimate
    "run.projects.locations.services.revisions.delete": 5,  # estimate
    "run.projects.locations.workerPools.create": 30,  # estimate: a service's without its routes
    "run.projects.locations.workerPools.patch": 30,  # estimate
    "run.projects.locations.workerPools.delete": 10,  # estimate
    "run.projects.locations.jobs.create": 10,  # estimate
    "run.projects.locations.jobs.patch": 10,  # estimate
    "run.projects.locations.jobs.delete": 5,  # estimate
    "run.projects.locations.jobs.run": 15,  # estimate: start of an execution, before the container runs
    "run.projects.locations.jobs.executions.cancel": 5,  # estimate
    "run.projects.locations.jobs.executions.delete": 5,  # estimate
    # logging, scheduler
    "logging.projects.locations.buckets.createAsync": 10,  # estimate
    "logging.projects.locations.buckets.updateAsync": 10,  # estimate
    "logging.ingest": 5,  # docs: entries are readable within seconds
}
