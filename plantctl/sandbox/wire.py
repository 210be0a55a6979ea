"""The wire log: every request that reached the sandbox, in memory and in a file, so that it survives a restart."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

# POSTs that read (discovery documents, method descriptions); the client keeps a table of its own, a test compares them.
READING_VERBS = frozenset(
    {
        "getIamPolicy",
        "testIamPermissions",
        "queryTestablePermissions",
        "queryGrantableRoles",
        "queryAuditableServices",
        "lintPolicy",
        "search",
        "preview",
        "validate",
        "getHealth",
        "testPermissions",
    }
)
READING_METHODS = frozenset(
    {
        "logging.entries.list",
        "logging.entries.copy.dryRun",
        "cloudresourcemanager.projects.getAncestry",
        "cloudresourcemanager.projects.getEffectiveOrgPolicy",
        "cloudresourcemanager.projects.getOrgPolicy",
        "cloudresourcemanager.projects.listOrgPolicies",
        "compute.instances.getGuestAttributes",
        "compute.urlMaps.validate",
        "compute.backendServices.getHealth",
        "servicenetworking.services.searchRange",
        "servicenetworking.services.validate",
        "sql.instances.verifyExternalSyncSettings",
        "monitoring.projects.timeSeries.query",
        "pubsub.projects.subscriptions.pull",
        "iamcredentials.projects.serviceAccounts.generateAccessToken",
        "iamcredentials.projects.serviceAccounts.generateIdToken",
        "iamcredentials.projects.serviceAccounts.signBlob",
        "iamcredentials.projects.serviceAccounts.signJwt",
    }
)


def is_mutating(method_id: str, verb: str, params: dict[str, Any]) -> bool:
    """Whether a request may change the cloud: no GET, none of the reading POSTs, no `validateOnly`."""
    if verb in ("GET", "HEAD", "OPTIONS") or method_id in READING_METHODS:
        return False
    word = method_id.rsplit(".", 1)[-1]
    if word in READING_VERBS or (word == "wait" and "perations" in method_id):
        return False
    return not any(str(params.get(name, "")).lower() in ("true", "1") for name in ("validateOnly", "dryRun"))


@dataclass
class Entry:
    """One request. `status` is None when no answer was sent; `fault` says what an injected fault did to it."""

    seq: int
    at: str
    transport: str
    method_id: str
    resource: str
    mutating: bool
    user_agent: str
    reason: str
    verb: str = ""
    path: str = ""
    status: int | None = None
    fault: str | None = None


class Wire:
    """Thread-safe; an entry is written when the request comes in, and its fate when it is answered."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._path = path
        self._file: IO[str] | None = None
        if path is not None:
            self._load(path)
            self._file = path.open("a", encoding="utf-8")

    def begin(self, **fields: Any) -> Entry:
        """A new entry with the next number; `fields` are those of Entry without `seq`."""
        with self._lock:
            entry = Entry(seq=len(self._entries) + 1, **fields)
            self._entries.append(entry)
            self._write(asdict(entry))
        return entry

    def end(self, entry: Entry, status: int | None, fault: str | None = None) -> None:
        """What the client got: an HTTP status, or None; and the fault that struck."""
        with self._lock:
            entry.status, entry.fault = status, fault
            self._write({"seq": entry.seq, "status": status, "fault": fault})

    def entries(self, since: int = 0) -> list[dict[str, Any]]:
        """All entries with a number above `since`, oldest first."""
        with self._lock:
            return [asdict(entry) for entry in self._entries[max(0, since) :]]

    def clear(self) -> None:
        """Forget everything; numbers start at 1 again."""
        with self._lock:
            self._entries.clear()
            if self._file is not None and self._path is not None:
                self._file.close()
                self._file = self._path.open("w", encoding="utf-8")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def _load(self, path: Path) -> None:
        if not path.exists():
            return
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the last line of a killed process
            if "at" in record:
                self._entries.append(Entry(**record))
            elif 0 < record["seq"] <= len(self._entries):
                entry = self._entries[record["seq"] - 1]
                entry.status, entry.fault = record["status"], record["fault"]
