"""When a tick of the past still counts: evidence is bound to the facts it was taken on, and to no write since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TypeVar

from plantctl.engine.catalog import Catalog
from plantctl.engine.records import PROOF, Entry, Kind
from plantctl.model.facts import Facts

C = TypeVar("C")

_VOIDING = (Kind.INTENT, Kind.FAILED, Kind.DRIFTED, Kind.FORGOTTEN)


def basis(catalog: Catalog[C], facts: Facts, item: str) -> str:
    """SHA-256 of the facts of an item and of all that it needs, directly or not: equal facts, equal basis."""
    of = {member: facts.of(member) for member in sorted({item, *catalog.all_needs(item)})}
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def last_proof(entries: Iterable[Entry]) -> Entry | None:
    """The last entry of an item that carries evidence, unless something after it makes it void."""
    proof: Entry | None = None
    for entry in entries:
        if entry.kind in PROOF:
            proof = entry
        elif entry.kind in _VOIDING:
            proof = None
    return proof


def valid_proof(
    entries: Iterable[Entry], *, basis: str, needs: Iterable[str], last_writes: Mapping[str, int]
) -> Entry | None:
    """The proof that makes a new look unnecessary, or None.

    It was taken on the same basis, and none of the item's transitive needs was written to after it. Its age does not
    matter: that makes `status` say stale, and `phase verify` renews it.
    """
    proof = last_proof(entries)
    if proof is None or proof.basis != basis:
        return None
    return None if any(last_writes.get(need, 0) > proof.seq for need in needs) else proof


def standing_word(entries: Iterable[Entry], kind: Kind) -> Entry | None:
    """The last ATTESTED or WAIVED entry, unless it was withdrawn since."""
    word: Entry | None = None
    for entry in entries:
        if entry.kind is kind:
            word = entry
        elif entry.kind is Kind.WITHDRAWN:
            word = None
    return word
