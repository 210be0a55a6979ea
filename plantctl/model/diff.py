"""Comparing a desired body with the live one: only what is desired counts, and server normalisation is no drift.

Rules from gcp-foundation 0.3: int64 as strings, durations, self links, sets in any order, floors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from plantctl.model.step import Change

_MISSING = object()
_LINK = re.compile(r"^https?://[^/]+/(?:(?:compute|sql|storage)/)?(?:v1beta4|v1beta1|v1|v2|v3|beta)/")
_DURATION = re.compile(r"^(\d+)(?:\.0+)?s$")
_NUMBER = re.compile(r"^-?\d+$")


def compare(
    desired: Mapping[str, Any],
    live: Mapping[str, Any],
    fields: Iterable[str] | None = None,
    *,
    sets: Mapping[str, str] | None = None,
    at_least: Iterable[str] = (),
    restarts: Iterable[str] = (),
    sensitive: Iterable[str] = (),
) -> tuple[Change, ...]:
    """What differs, one Change a leaf (or a whole list), in the order of the desired body.

    `fields`: only these dotted paths and what is below them. `sets`: path -> key by which list items are matched in any
    order (empty key: plain values; `*`: whole items). `at_least`: numbers that may be larger live (a disk that grew).
    `restarts`, `sensitive`: paths whose changes carry that mark.
    """
    wanted = None if fields is None else tuple(fields)
    rules = _Rules(dict(sets or {}), tuple(at_least))
    found = [
        Change(
            field=path,
            live=None if old is _MISSING else old,
            desired=new,
            restarts=under(path, tuple(restarts)),
            sensitive=under(path, tuple(sensitive)),
        )
        for path, old, new in _walk("", desired, live, rules)
    ]
    return tuple(change for change in found if wanted is None or under(change.field, wanted))


def under(path: str, roots: Iterable[str]) -> bool:
    """True when the dotted path is one of the roots or below one."""
    return any(path == root or path.startswith((f"{root}.", f"{root}[")) for root in roots)


class _Rules:
    def __init__(self, sets: dict[str, str], at_least: tuple[str, ...]) -> None:
        self.sets = sets
        self.at_least = at_least


def _walk(path: str, desired: Any, live: Any, rules: _Rules) -> Iterable[tuple[str, Any, Any]]:
    if isinstance(desired, Mapping):
        base = live if isinstance(live, Mapping) else {}
        if not desired and live is _MISSING:
            # `automatic: {}` and the like: an empty message that must be there
            yield path, live, desired
        for key, value in desired.items():
            yield from _walk(f"{path}.{key}" if path else str(key), value, base.get(key, _MISSING), rules)
    elif isinstance(desired, list | tuple):
        if not _same_list(path, list(desired), live, rules):
            yield path, live, list(desired)
    elif path in rules.at_least:
        if live is _MISSING or float(live) < float(desired):
            yield path, live, desired
    elif not same(desired, live):
        yield path, live, desired


def same(desired: Any, live: Any) -> bool:
    """Equality after normalisation; an absent live value equals false, zero and the empty string (proto3 defaults)."""
    if live is _MISSING:
        return desired in (False, 0, "", "0", None)
    if isinstance(desired, bool) or isinstance(live, bool):
        return bool(desired) == (live if isinstance(live, bool) else str(live).lower() == "true")
    return bool(normal(desired) == normal(live))


def normal(value: Any) -> Any:
    """One form for values that Google writes in several."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        if _NUMBER.match(value):
            return float(value)
        if duration := _DURATION.match(value):
            return f"{int(duration.group(1))}s"
        return _LINK.sub("", value)
    if isinstance(value, Mapping):
        return {key: normal(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [normal(inner) for inner in value]
    return value


def _same_list(path: str, desired: list[Any], live: Any, rules: _Rules) -> bool:
    if live is _MISSING or live is None:
        return not desired
    if not isinstance(live, list | tuple) or len(desired) != len(live):
        return False
    key = rules.sets.get(path)
    if key is None:
        return all(_same_item(path, wanted, there, rules) for wanted, there in zip(desired, live, strict=True))
    if key in ("", "*"):
        left = list(live)
        for wanted in desired:
            match = next((there for there in left if _same_item(path, wanted, there, rules)), _MISSING)
            if match is _MISSING:
                return False
            left.remove(match)
        return True
    by_key = {normal(item.get(key)): item for item in live if isinstance(item, Mapping)}
    return all(
        isinstance(wanted, Mapping)
        and normal(wanted.get(key)) in by_key
        and _same_item(path, wanted, by_key[normal(wanted.get(key))], rules)
        for wanted in desired
    )


def _same_item(path: str, desired: Any, live: Any, rules: _Rules) -> bool:
    return not list(_walk(path, desired, live, rules))
