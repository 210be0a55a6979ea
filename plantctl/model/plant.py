"""The whole installation as one frozen record with the seed's values as defaults, and the names derived from it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Project:
    """The Google Cloud project. `billing_account` empty: the only open one that the caller sees is taken."""

    id: str = "waooaw-prod"
    name: str = "WAOOAW Plant"
    parent: str = ""
    billing_account: str = ""
    budget_usd: int = 430
    deployer: str = ""


@dataclass(frozen=True, kw_only=True)
class Network:
    """VPC, subnet, peering range, connector, router and NAT."""

    name: str = "plant-network"
    subnet: str = "plant-subnet"
    subnet_cidr: str = "10.10.0.0/24"
    peering_range: str = "google-managed-services-plant-network"
    peering_prefix: int = 16
    connector: str = "plant-vpc-connector"
    connector_cidr: str = "10.8.0.0/28"
    router: str = "plant-router"
    nat: str = "plant-nat"


@dataclass(frozen=True, kw_only=True)
class Database:
    """The Cloud SQL instance, its database and roles. Sizes in GB, retention in days, `backup_hour` in UTC."""

    instance: str = "plant-postgres"
    version: str = "POSTGRES_15"
    tier: str = "db-custom-2-8192"
    edition: str = "ENTERPRISE"
    availability: str = "REGIONAL"
    storage_gb: int = 100
    storage_limit_gb: int = 500
    backup_hour: int = 3
    backup_location: str = "us"
    log_retention_days: int = 7
    retained_backups: int = 7
    max_connections: int = 200
    slow_query_ms: int = 1000
    name: str = "plant_db"
    owner: str = "plant_owner"
    app: str = "plant_app"
    connection: str = "private-ip"
    dr_replica: bool = False
    dr_region: str = "us-east1"


@dataclass(frozen=True, kw_only=True)
class Cache:
    """The Memorystore instance. Size in GB, hours in UTC; the export begins half an hour after the snapshot."""

    instance: str = "plant-redis"
    tier: str = "STANDARD_HA"
    version: str = "REDIS_7_0"
    memory_gb: int = 1
    backup_hour: int = 3


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """Who is told: alerts go to `email`."""

    email: str = "oncall@waooaw.com"


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The image, and the service, worker pool and jobs made of it. `source` is the folder that holds the Dockerfile.

    Instances are those of the service; `processes` serve in each, `worker_instances` take from the queue.
    """

    image: str = "plant-backend"
    repository: str = "plant"
    version: str = "v1.0.0"
    source: str = "."
    log_level: str = "info"
    environment: str = "production"
    service: str = "plant-backend"
    cpu: str = "2"
    memory: str = "4Gi"
    min_instances: int = 1
    max_instances: int = 4
    concurrency: int = 100
    timeout_s: int = 300
    port: int = 8000
    processes: int = 2
    worker: str = "plant-worker"
    worker_instances: int = 1


@dataclass(frozen=True, kw_only=True)
class Plant:
    """Everything that bodies are computed from. `environment` marks resources (label `plantctl-env`)."""

    environment: str = "production"
    region: str = "us-central1"
    project: Project = field(default_factory=Project)
    network: Network = field(default_factory=Network)
    database: Database = field(default_factory=Database)
    cache: Cache = field(default_factory=Cache)
    backend: Backend = field(default_factory=Backend)
    monitoring: Monitoring = field(default_factory=Monitoring)

    def service_account(self, account_id: str) -> str:
        """E-mail of one of the plant's service accounts."""
        return f"{account_id}@{self.project.id}.iam.gserviceaccount.com"

    def bucket(self, purpose: str) -> str:
        """Bucket names are global, so they carry the project id: `<project>-plant-source`."""
        return f"{self.project.id}-plant-{purpose}"

    @property
    def labels(self) -> dict[str, str]:
        """The ownership marker, where an API has labels (design section 6)."""
        return {"managed-by": "plantctl", "plantctl-env": self.environment}

    @property
    def marker(self) -> str:
        """The ownership marker, where an API has only a description."""
        return f"managed-by=plantctl plantctl-env={self.environment}"

    @property
    def image_name(self) -> str:
        """Artifact Registry path of the backend image, without tag or digest."""
        host = f"{self.region}-docker.pkg.dev"
        return f"{host}/{self.project.id}/{self.backend.repository}/{self.backend.image}"
