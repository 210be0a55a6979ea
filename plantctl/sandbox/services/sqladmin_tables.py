"""Cloud SQL's catalogue: regions, machine types, database versions. Small, and true for what they name."""

from __future__ import annotations

import re

from plantctl.sandbox.store import Body

# cloud.google.com/sql/docs/postgres/instance-settings, "Region". `us-central` is what gcloud sends without --region
# (gcp-foundation 6.7); Google keeps its instances in us-central1.
REGIONS = (
    "africa-south1",
    "asia-east1",
    "asia-east2",
    "asia-northeast1",
    "asia-northeast2",
    "asia-northeast3",
    "asia-south1",
    "asia-south2",
    "asia-southeast1",
    "asia-southeast2",
    "australia-southeast1",
    "australia-southeast2",
    "europe-central2",
    "europe-north1",
    "europe-north2",
    "europe-southwest1",
    "europe-west1",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "europe-west8",
    "europe-west9",
    "europe-west10",
    "europe-west12",
    "me-central1",
    "me-central2",
    "me-west1",
    "northamerica-northeast1",
    "northamerica-northeast2",
    "northamerica-south1",
    "southamerica-east1",
    "southamerica-west1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-east5",
    "us-south1",
    "us-west1",
    "us-west2",
    "us-west3",
    "us-west4",
)
LEGACY_REGIONS = {"us-central": "us-central1"}

# version -> (installed minor, build) shown where no real server runs; the values are of their kind, not of today
VERSIONS = {
    "POSTGRES_9_6": ("POSTGRES_9_6_24", "R20250302.00_31"),
    "POSTGRES_10": ("POSTGRES_10_23", "R20250302.00_31"),
    "POSTGRES_11": ("POSTGRES_11_22", "R20250302.00_31"),
    "POSTGRES_12": ("POSTGRES_12_22", "R20250727.00_14"),
    "POSTGRES_13": ("POSTGRES_13_22", "R20250727.00_14"),
    "POSTGRES_14": ("POSTGRES_14_19", "R20250727.00_14"),
    "POSTGRES_15": ("POSTGRES_15_14", "R20250727.00_14"),
    "POSTGRES_16": ("POSTGRES_16_10", "R20250727.00_14"),
    "POSTGRES_17": ("POSTGRES_17_6", "R20250727.00_14"),
    "POSTGRES_18": ("POSTGRES_18_1", "R20251004.01_07"),
    "MYSQL_5_7": ("MYSQL_5_7_44", "R20231105.01_03"),
    "MYSQL_8_0": ("MYSQL_8_0_41", "R20251004.01_07"),
    "MYSQL_8_4": ("MYSQL_8_4_7", "R20251004.01_24"),
}
BUILD = "R20250727.00_14"

SHARED_CORE = ("db-f1-micro", "db-g1-small")
CUSTOM = re.compile(r"db-custom-(\d+)-(\d+)")
LEGACY = re.compile(r"db-n1-(standard|highmem|highcpu)-\d+")
PLUS = re.compile(r"db-(perf-optimized-N|c4a-highmem)-(\d+)")
PLUS_VCPUS = {
    "perf-optimized-N": (2, 4, 8, 16, 32, 48, 64, 80, 96, 128),
    "c4a-highmem": (1, 2, 4, 8, 16, 32, 48, 64, 72),
}
MIB, GIB = 2**20, 2**30
DISK_QUOTA = {"shared": 3_298_534_883_328, "dedicated": 65_970_697_666_560}


def engine(version: str) -> str:
    """POSTGRES, MYSQL or SQLSERVER."""
    return version.partition("_")[0]


def number(version: str) -> float:
    """A version as a number to compare: POSTGRES_9_6 is 9.6, SQLSERVER_2022_EXPRESS 2022."""
    digits = re.findall(r"\d+", version)
    return float(f"{digits[0]}.{digits[1]}" if len(digits) > 1 and int(digits[0]) < 100 else digits[0])


def installed(version: str) -> tuple[str, str]:
    """databaseInstalledVersion and maintenanceVersion of an instance that no real server stands behind."""
    minor, build = VERSIONS.get(version, (version, BUILD))
    return minor, f"{minor}.{build}"


def default_edition(version: str) -> str:
    """ENTERPRISE_PLUS from PostgreSQL 16 and MySQL 8.4 on (gcp-foundation section 2, database.instance.tier)."""
    newest = {"POSTGRES": 16, "MYSQL": 8.4}.get(engine(version))
    return "ENTERPRISE_PLUS" if newest and number(version) >= newest else "ENTERPRISE"


def zone_of(region: str, letter: str = "a") -> str:
    """A zone of a region; us-central1 has no zone e, us-east1 no zone a, the others start with a."""
    name = LEGACY_REGIONS.get(region, region)
    return f"{name}-{ {'a': 'c', 'b': 'd'}.get(letter, letter) if name == 'us-east1' else letter }"


def tiers() -> list[Body]:
    """What `tiers.list` answers: the predefined machine types; custom ones are not listed."""
    rows = [("db-f1-micro", 0.6, "shared"), ("db-g1-small", 1.7, "shared")]
    rows += [(f"db-n1-standard-{n}", 3.75 * n, "dedicated") for n in (1, 2, 4, 8, 16, 32, 64)]
    rows += [(f"db-n1-highmem-{n}", 6.5 * n, "dedicated") for n in (2, 4, 8, 16, 32, 64)]
    rows += [(f"db-perf-optimized-N-{n}", 8.0 * n, "dedicated") for n in PLUS_VCPUS["perf-optimized-N"]]
    return [
        {
            "kind": "sql#tier",
            "tier": name,
            "RAM": str(int(gib * GIB)),
            "DiskQuota": str(DISK_QUOTA[size]),
            "region": list(REGIONS),
        }
        for name, gib, size in rows
    ]


def tier_problem(tier: str, edition: str) -> str:
    """Why an edition does not offer a machine type, or nothing."""
    plus = PLUS.fullmatch(tier)
    if edition == "ENTERPRISE_PLUS":
        if plus and int(plus.group(2)) in PLUS_VCPUS[plus.group(1)]:
            return ""
        # words of the real server (gcp-foundation section 2, database.instance.tier, S 4)
        words = f"Invalid Tier ({tier}) for (ENTERPRISE_PLUS) Edition."
        return f"{words} Use a predefined Tier like db-perf-optimized-N-* instead."
    if plus:
        return f"Invalid Tier ({tier}) for (ENTERPRISE) Edition."
    if tier in SHARED_CORE or LEGACY.fullmatch(tier):
        return ""
    custom = CUSTOM.fullmatch(tier)
    return _custom_problem(tier, *map(int, custom.groups())) if custom else f"Invalid tier: {tier}."


def _custom_problem(tier: str, cpus: int, mib: int) -> str:
    # cloud.google.com/sql/docs/postgres/instance-settings, "Cores" and "Memory"; the words are unverified
    if cpus != 1 and (cpus % 2 or not 2 <= cpus <= 96):
        return f"Invalid tier: {tier}. The number of vCPUs must be 1, or an even number up to 96."
    low, high = max(3840.0, 0.9 * 1024 * cpus), 6.5 * 1024 * cpus
    if mib % 256 or not low <= mib <= high:
        return (
            f"Invalid tier: {tier}. Memory must be a multiple of 256 MB, at least 3.75 GB, and 0.9 to 6.5 GB per vCPU."
        )
    return ""
