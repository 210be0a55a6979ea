"""Writes docs/reference/sandbox-methods.md from the sandbox's handlers: `python -m tests.sandbox_methods`.

A test compares the page with the code.
"""

from __future__ import annotations

import re
from pathlib import Path

from plantctl.sandbox.catalog import Catalog, title_of
from plantctl.sandbox.registry import load_services

PAGE = Path(__file__).resolve().parents[1] / "docs/reference/sandbox-methods.md"
REAL = {
    r"sql\.instances\.(insert|patch|update|delete|restart|clone|failover|restoreBackup)": "PostgreSQL",
    r"sql\.(databases|users|backupRuns|sslCerts|connect)\..*": "PostgreSQL",
    r"sql\.instances\.(export|import|promoteReplica|resetSslConfig|addServerCa|rotateServerCa)": "PostgreSQL",
    r"redis\..*instances\.(create|patch|delete|failover|export|import|upgrade)": "Redis",
    r"redis\..*instances\.getAuthString": "asked of clients by Redis",
    r"storage\.objects\..*": "bytes on disk",
    r"cloudbuild\..*builds\.create": "image from the uploaded source",
    r"run\..*jobs\.run": "process",
    r"run\..*(services|workerPools)\.(create|patch|delete|replaceService)": "processes",
    r"run\..*services\.setIamPolicy": "asked by the front door",
    r"run\..*executions\.cancel": "process",
    r"containeranalysis\..*": "lock file of the image",
    r"secretmanager\..*\.access": "read by processes",
    r"logging\.entries\.list": "output of processes",
    r"cloudscheduler\..*jobs\.run": "request into the sandbox, as the job's account",
    r"monitoring\..*timeSeries\.list": "requests that processes served",
}
"""What stands behind a method beside the store, by its id; the rest changes the store alone."""


def page() -> str:
    """The page as the handlers have it."""
    found: dict[str, dict[str, set[str]]] = {}
    for api, version, method in Catalog(load_services()).implemented():
        found.setdefault(api, {}).setdefault(method, set()).add(version)
    lines = [
        "<!-- Written by `python -m tests.sandbox_methods`; change the code, not this page. -->",
        "# Methods of the sandbox",
        "",
        "Every request to these methods is checked against Google's discovery document; every one reads or changes",
        "the sandbox's store. The last column says what is real beside it. A method that is not here answers 404 with",
        "status UNIMPLEMENTED. What all this proves, and what not: [the sandbox](../sandbox.md).",
        "",
    ]
    for api, methods in sorted(found.items()):
        lines += [f"## {title_of(api)}", "", "| method | versions | data plane |", "|---|---|---|"]
        for method, versions in sorted(methods.items()):
            real = next((words for pattern, words in REAL.items() if re.fullmatch(pattern, method)), "")
            lines.append(f"| {method} | {', '.join(sorted(versions))} | {real} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
