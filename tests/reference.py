"""Writes the reference pages from the code: `python -m tests.reference` (or `nox -s docs`); a test compares them.

docs/reference/steps.md comes from the steps and their cases, docs/reference/plant-toml.md and
checklists/plant.example.toml from the settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from plantctl import settings
from plantctl.cli.checklists import load
from plantctl.model.step import Step
from plantctl.steps import STEPS
from plantctl.steps.context import Context

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests/steps/cases"
NOTE = "<!-- Written by `python -m tests.reference`; change the code, not this page. -->"
SECTIONS = {
    "": "The target",
    "project": "Project",
    "network": "Network",
    "database": "Database",
    "cache": "Cache",
    "backend": "Backend",
    "monitoring": "Monitoring",
}

MEANINGS = {
    "target": "Where calls go: the local sandbox, or Google Cloud.",
    "impersonate": "E-mail of a service account whose rights are used instead of your own.",
    "quota_project": "Project that API calls are counted on, when it is not the project itself.",
    "environment": "Word in the label `plantctl-env` of everything that is made.",
    "region": "Region of network, database and jobs.",
    "project.id": "Id of the project; ids are unique in all of Google Cloud and never free again.",
    "project.name": "Display name of a project that is made.",
    "project.parent": "Folder or organization of a project that is made; empty: none.",
    "project.billing_account": "Account that pays; empty: the only open one that you can see.",
    "project.budget_usd": "US dollars a month at which the budget alerts; it stops nothing.",
    "project.deployer": "Who else may run plantctl, with the roles for that; empty: nobody.",
    "network.name": "VPC network.",
    "network.subnet": "Its subnet.",
    "network.subnet_cidr": "Addresses of the subnet; it cannot be changed.",
    "network.peering_range": "Range reserved for Google's services: Cloud SQL takes its address there.",
    "network.peering_prefix": "Size of that range, as a prefix length; it cannot be changed.",
    "network.connector": "VPC connector of Cloud Run, at most 25 characters.",
    "network.connector_cidr": "Addresses of the connector: a /28 outside the subnet; it cannot be changed.",
    "network.router": "Cloud Router that carries the NAT.",
    "network.nat": "Cloud NAT for outbound traffic.",
    "database.instance": "Cloud SQL instance; the place for the name of a clone after a restore.",
    "database.version": "PostgreSQL version; it is not upgraded in place.",
    "database.tier": "Machine: `db-custom-CPUS-MB`. Changing it restarts the instance.",
    "database.edition": "Cloud SQL edition; ENTERPRISE_PLUS has no `db-custom` machines.",
    "database.availability": "REGIONAL: a standby in a second zone, at twice the price. ZONAL: none.",
    "database.storage_gb": "Disk at the start; it grows by itself and never shrinks.",
    "database.storage_limit_gb": "Size at which it stops to grow; 0: no limit.",
    "database.backup_hour": "Hour (UTC) at which the four-hour window of the daily backup opens.",
    "database.backup_location": "Region or multi-region that keeps the backups.",
    "database.log_retention_days": "Days that a point in time can lie back.",
    "database.retained_backups": "Automatic backups that are kept.",
    "database.max_connections": "Connections that the server takes. Changing it restarts the instance.",
    "database.slow_query_ms": "Statements that take longer are logged; -1: none.",
    "database.name": "Database of the application.",
    "database.owner": "Role that migrates and owns the tables.",
    "database.app": "Role of the application: data only.",
    "database.connection": "How jobs and services reach the database: its private address with verified TLS.",
    "database.dr_replica": "A read replica in another region.",
    "database.dr_region": "Region of that replica.",
    "cache.instance": "Memorystore instance.",
    "cache.tier": "STANDARD_HA: a replica in a second zone; the tier of an instance cannot be changed.",
    "cache.version": "Redis version; it is not upgraded in place.",
    "cache.memory_gb": "Memory. Changing it fails the instance over, and what is not replicated yet is lost.",
    "cache.backup_hour": "Hour (UTC) of the daily snapshot; the export to Cloud Storage begins half an hour later.",
    "backend.image": "Name of the image.",
    "backend.repository": "Artifact Registry repository.",
    "backend.version": "Tag of the image; once pushed it stays what it was, so raise it for a new source.",
    "backend.source": "Folder of the backend's Dockerfile, from where plant.toml lies.",
    "backend.log_level": "What the backend logs.",
    "backend.environment": "What the backend calls its environment.",
    "backend.service": "Cloud Run service.",
    "backend.cpu": "CPUs of an instance, allocated also between requests.",
    "backend.memory": "Memory of an instance; 4 CPUs need 2Gi, 8 need 4Gi.",
    "backend.min_instances": "Instances that the service keeps.",
    "backend.max_instances": "Instances that it has at most.",
    "backend.concurrency": "Requests that an instance takes at once.",
    "backend.timeout_s": "Seconds after which a request is given up.",
    "backend.port": "Port that the container listens on.",
    "backend.processes": "Serving processes of an instance: as many as it has CPUs.",
    "backend.worker": "Cloud Run worker pool that takes from the job queue.",
    "backend.worker_instances": "Its instances; their number is fixed.",
    "monitoring.email": "Who gets the alerts.",
}


SHAPES = {
    settings.NAME: "lower-case letters, digits and hyphens",
    settings.SQL_NAME: "lower-case letters, digits and underscores",
    settings.RUN_NAME: "49 lower-case letters, digits and hyphens at most",
    settings.EMAIL: "an e-mail, or empty",
    settings.RULES["quota_project"]["pattern"]: "a project's id, or empty",
    settings.RULES["environment"]["pattern"]: "lower-case letters, digits, hyphens and underscores",
    settings.RULES["region"]["pattern"]: "a region's name",
    settings.RULES["project.id"]["pattern"]: "6 to 30 lower-case letters, digits and hyphens",
    settings.RULES["project.name"]["pattern"]: "4 to 30 letters, digits, spaces and `'!-`",
    settings.RULES["project.parent"]["pattern"]: "`folders/N` or `organizations/N`, or empty",
    settings.RULES["project.billing_account"]["pattern"]: "`XXXXXX-XXXXXX-XXXXXX`, or empty",
    settings.RULES["project.deployer"]["pattern"]: "`user:`, `group:` or `serviceAccount:` and an e-mail, or empty",
    settings.RULES["network.connector"]["pattern"]: "25 lower-case letters, digits and hyphens at most",
    settings.RULES["database.instance"]["pattern"]: "lower-case letters, digits and hyphens",
    settings.RULES["backend.version"]["pattern"]: "a tag of an image",
    settings.RULES["backend.memory"]["pattern"]: "an amount in Mi or Gi",
    settings.RULES["cache.instance"]["pattern"]: "40 lower-case letters, digits and hyphens at most",
    settings.RULES["monitoring.email"]["pattern"]: "an e-mail",
}
"""What the patterns of the settings mean, in words."""


def pages() -> dict[Path, str]:
    """Every generated file with its text."""
    return {
        ROOT / "docs/reference/steps.md": steps_page(),
        ROOT / "docs/reference/plant-toml.md": settings_page(),
        ROOT / "checklists/plant.example.toml": example(),
    }


def steps_page() -> str:
    """All steps in page order."""
    lines = [
        "# Steps",
        NOTE,
        "",
        "What each step of the checklist needs, calls and proves. Durations are the usual ones on Google Cloud.",
        "Bodies are those of the plant as it is without a plant.toml; samples of evidence come from the tests.",
    ]
    phases = {phase.id: phase.title for phase in load().phases}
    seen = ""
    for step in STEPS:
        if not isinstance(step, Step):
            continue
        if step.phase != seen:
            seen = step.phase
            lines += ["", f"## {phases[seen]}"]
        lines += ["", f"### {step.id}", *_step(step)]
    return "\n".join(lines) + "\n"


def _step(step: Step[Context]) -> Iterator[str]:
    cases = {path.stem: json.loads(path.read_text()) for path in sorted((CASES / step.id).glob("*.json"))}
    yield f"{step.title}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| needs | {_codes(step.needs) or 'nothing'} |"
    if step.lanes:
        yield f"| one writer at a time | {', '.join(step.lanes)} |"
    yield f"| usual duration | {step.expect_s} s, given up after {step.deadline_s} s |"
    reads = {key.split(" ")[0] for case in cases.values() for key in case.get("live", {})}
    yield f"| reads | {_codes(sorted(reads)) or 'files only'} |"
    writes = {call["method"]: None for case in cases.values() for call in case.get("calls", [])}
    yield f"| writes | {_codes(sorted(writes)) or 'nothing'} |"
    if probes := {method for case in cases.values() for method in case.get("probes", {})}:
        yield f"| proves by | {_codes(sorted(probes))} |"
    if bodies := sorted({name for case in cases.values() for name in _bodies(case)}):
        yield f"| bodies | {', '.join(f'[{name}](../../tests/desired/golden/{name}.json)' for name in bodies)} |"
    yield f"| evidence | {'<br>'.join(_cell(word) for word in cases['in_place']['evidence'])} |"
    stops = {(case["reason"], case["hint"]) for name, case in cases.items() if name.startswith(("conflict", "foreign"))}
    if stops:
        yield ""
        yield "| stops when | then |"
        yield "|---|---|"
        yield from (f"| {_cell(reason)} | {_cell(hint)} |" for reason, hint in sorted(stops))


def _bodies(case: dict[str, Any]) -> Iterator[str]:
    for call in case.get("calls", []):
        yield from re.findall(r'"\$golden": "([^"]+)"', json.dumps(call.get("body")))


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def settings_page() -> str:
    """Every key of plant.toml."""
    lines = [
        "# plant.toml",
        NOTE,
        "",
        "Every key, its default, what it may be, and what it means. Flags win over `PLANTCTL_*` variables",
        "(`database.tier` is `PLANTCTL_DATABASE_TIER`), those over the file, and the file over the defaults.",
        "`plantctl config explain KEY` names the winner.",
        "[plant.example.toml](../../checklists/plant.example.toml) has them all, to copy from.",
    ]
    for section, title in SECTIONS.items():
        lines += ["", f"## {title}", "| key | default | may be | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{key}` | {_shown(value)} | {_cell(_allowed(key, value))} | {_cell(MEANINGS[key])} |"
            for key, value in settings.known_keys().items()
            if _section(key) == section
        ]
    return "\n".join(lines) + "\n"


def _section(key: str) -> str:
    return key.rpartition(".")[0]


def _shown(value: object) -> str:
    return f"`{json.dumps(value)}`" if value != "" else "empty"


def _allowed(key: str, value: object) -> str:
    rule = settings.RULES.get(key, {})
    if "choices" in rule:
        return " or ".join(rule["choices"])
    if "pattern" in rule:
        return SHAPES[rule["pattern"]]
    if rule:
        return f"{rule['ge']} to {rule['le']}" if "le" in rule else f"{rule['ge']} or more"
    return {bool: "true or false", int: "a number"}.get(type(value), "text")


def example() -> str:
    """A plant.toml with every key at its default."""
    lines = [
        "# Every setting of plant.toml with its default: copy what you change. A key left out keeps its default.",
        "# Written by `python -m tests.reference`. Rules of each key: docs/reference/plant-toml.md",
    ]
    for section in SECTIONS:
        lines += ["", f"[{section}]"] if section else [""]
        for key, value in settings.known_keys().items():
            if _section(key) == section:
                lines += [f"# {MEANINGS[key]}", f"{key.rpartition('.')[2]} = {json.dumps(value)}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every page that is not as it should be."""
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
