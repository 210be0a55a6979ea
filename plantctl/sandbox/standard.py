"""What standard methods share: paging, field masks, etags, ids (AIP-154, 158, 161)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any

from plantctl.sandbox import errors
from plantctl.sandbox.store import Body


def page(items: list[Body], params: dict[str, Any], key: str, *, size_param: str = "pageSize") -> Body:
    """`{key: [...], nextPageToken}` by `pageToken` and the size parameter; `key` is left out when empty (AIP-158)."""
    try:
        start = int(base64.urlsafe_b64decode(str(params.get("pageToken") or "MA==")))
    except ValueError:
        raise errors.invalid("The page token is not valid.", "pageToken") from None
    size = int(params.get(size_param) or 0) or 500
    chosen = items[start : start + size]
    answer: Body = {key: chosen} if chosen else {}
    if start + size < len(items):
        answer["nextPageToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return answer


def etag(body: Body) -> str:
    """A strong etag over the body without its own etag."""
    raw = json.dumps({k: v for k, v in body.items() if k != "etag"}, sort_keys=True).encode()
    return base64.b64encode(hashlib.sha256(raw).digest()[:9]).decode()


RECORDED_ETAG = "abcdef0123A="
"""Stands in for every etag and fingerprint in the recorded exchanges, requests included; no server ever gave it."""


URL_SAFE = str.maketrans("-_", "+/")


def stale(given: object, live: object) -> bool:
    """Whether an etag or fingerprint of a request no longer holds. A recording's stand-in is not compared.

    Most are bytes, which JSON carries in either alphabet of base64: gcloud reads them and writes them URL-safe (seen).
    """
    same = str(given).translate(URL_SAFE) == str(live).translate(URL_SAFE)
    return not same and str(given).strip('"') != RECORDED_ETAG


def merge(live: Body, change: Body) -> Body:
    """RFC 7396 merge patch: null removes, arrays replace."""
    merged = dict(live)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def camel(path: str) -> str:
    """`persistence_config.rdb_snapshot_period` -> `persistenceConfig.rdbSnapshotPeriod`; masks come in both forms."""

    def one(word: str) -> str:
        head, *rest = word.split("_")
        return head + "".join(part.capitalize() for part in rest)

    return ".".join(one(word) for word in path.split("."))


def masked(live: Body, change: Body, mask: str) -> Body:
    """The live body with the fields of `mask` (comma-separated, AIP-161) taken from `change`; absent there: cleared.

    `*` and an empty mask take every field that `change` has.
    """
    if not mask or mask == "*":
        return {**live, **change}
    result = json.loads(json.dumps(live))
    for path in (camel(p.strip()) for p in mask.split(",") if p.strip()):
        *parents, last = path.split(".")
        source: Any = change
        target: Any = result
        for part in parents:
            source = source.get(part, {}) if isinstance(source, dict) else {}
            target = target.setdefault(part, {})
        if isinstance(source, dict) and last in source:
            target[last] = source[last]
        else:
            target.pop(last, None)
    return dict(result)


def number_id() -> str:
    """A 19-digit id, as compute gives its resources."""
    return str(secrets.randbelow(9 * 10**18) + 10**18)
