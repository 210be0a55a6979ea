"""Comparing: what went over the wire with what the journal says; one end state with another, but for ids and times."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from plantctl.engine.reader import Reader


@dataclass(frozen=True)
class Joined:
    """Mutating requests of the wire and attempts of the journal, joined by `plantctl/<run>/<attempt>`.

    `repeated`: one attempt that reached the sandbox more than once. `cut`: struck before the handler saw it.
    """

    pairs: int
    only_wire: list[str]
    only_journal: list[str]
    repeated: list[str]
    cut: list[str]
    other: list[str]

    @property
    def one_to_one(self) -> bool:
        """Each on both sides, once, and about the same method."""
        return not (self.only_wire or self.only_journal or self.repeated or self.other)


def join(wire: list[dict[str, Any]], reader: Reader, *runs: str) -> Joined:
    """`wire`: plantctl's entries; `runs`: limit to these runs."""
    sent = [entry for entry in wire if entry["mutating"] and (not runs or entry["reason"].split("/")[1] in runs)]
    attempts = [a for a in reader.attempts() if not runs or a.run in runs]
    by_reason = Counter(entry["reason"] for entry in sent)
    method = {entry["reason"]: entry["method_id"] for entry in sent}
    journalled = {f"plantctl/{a.run}/{a.id}": a for a in attempts}
    both = by_reason.keys() & journalled.keys()
    return Joined(
        pairs=len(both),
        only_wire=sorted(by_reason.keys() - journalled.keys()),
        only_journal=sorted(journalled.keys() - by_reason.keys()),
        repeated=sorted(reason for reason, count in by_reason.items() if count > 1),
        cut=sorted(e["reason"] for e in sent if str(e["fault"] or "").startswith("before") and e["status"] is None),
        other=sorted(reason for reason in both if journalled[reason].method_id != method[reason]),
    )


UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
RANDOM = re.compile(r"sha256:[0-9a-f]{64}|\b\d{15,}\b|-----BEGIN .*|-[0-9a-f]{6}(?=@gcp-sa-cloud-sql)", re.DOTALL)
VOLATILE = re.compile(
    r"^(etag|.*[eE]tag|id|uid|uniqueId|oauth2ClientId|.*[fF]ingerprint|.*Time|.*Timestamp|generation|metageneration"
    r"|projectNumber|generateEtag|sha1Fingerprint|cert|.*Digest.*|payload|data|verifier|password.*|.*[kK]ey"
    r"|dnsName|pscServiceAttachmentLink|latestCreatedExecution|executionCount|observedGeneration|intent"
    r"|timing|effective|startTime|results|selfLinkWithId|currentDiskSize|.*[iI]d|numericId|requestId|mediaLink|timeCreated"
    r"|updated|timeStorageClassUpdated|md5Hash|crc32c|secondaryGceZone|gceZone|port|user_id|settingsVersion)$"
)
UNCOUNTED = ("logging/", "compute-request/", "iam-created/", "sqladmin-clock/", "project-number/")


def same_key(key: str) -> str:
    """A store key without what is random in it."""
    key = UUID.sub("<uuid>", key).split("#")[0]
    return re.sub(r"(executions/plant-[a-z]+)-[0-9a-z]+", r"\1", key)


def keys_of(resources: dict[str, dict[str, Any]]) -> Counter[str]:
    """How often each thing is there. Probes are left out: a run that was cut off may look once more."""
    return Counter(
        same_key(key) for key in resources if not key.startswith(UNCOUNTED) and "jobs/plant-ops/executions" not in key
    )


def bodies_of(resources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Bodies by key, without ids, times and secrets; executions and builds count only by their number."""
    left_out = ("/executions/", "/builds/", "/dockerImages", "/packages/", "secretmanager/projects")
    return {
        same_key(key): _same(body)
        for key, body in sorted(resources.items())
        if not key.startswith(UNCOUNTED) and not any(word in key for word in left_out)
    }


def _same(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _same(inner) for key, inner in value.items() if not VOLATILE.match(key)}
    if isinstance(value, list):
        return sorted((_same(inner) for inner in value), key=repr)
    if isinstance(value, str):
        text = TIME.sub("<time>", UUID.sub("<uuid>", value))
        return RANDOM.sub("<random>", text)
    return value


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Keys whose bodies differ, in words."""
    found = [f"only in the first: {key}" for key in one.keys() - other.keys()]
    found += [f"only in the second: {key}" for key in other.keys() - one.keys()]
    for key in one.keys() & other.keys():
        found += [f"{key}{path}: {a!r} != {b!r}" for path, a, b in _walk(one[key], other[key])]
    return sorted(found)


def _walk(a: Any, b: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict):
        return [hit for key in sorted(a.keys() | b.keys()) for hit in _walk(a.get(key), b.get(key), f"{path}.{key}")]
    return [] if a == b else [(path, a, b)]
