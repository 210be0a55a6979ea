"""Compares a desired body with a live resource: only what is desired, after Google's normalisations. Pure.

Rules and their sources: gcp-foundation section 0.3 (what servers re-express), hazards T26 (JSON mapping) and R07.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from plantctl.model.step import Body, Change, Later

SetKey = str | tuple[str, str]
"""How a list is a set: "" of plain values, "*" of whole items, "name" of objects by that field, ("IPProtocol", "ports")
of pairs."""

_INDEX = re.compile(r"\[[^\]]*\]")
_DURATION = re.compile(r"-?\d+(?:\.\d{1,9})?s")
_INTEGER = re.compile(r"-?\d+")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGT]i?|)")
_UNITS = {"m": 0.001, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_UNITS |= {"Ki": 2.0**10, "ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_VERBATIM = frozenset({"value", "data", "args", "command", "password"})
"""Fields whose case means something, so that they are no enums."""
_MAPS = frozenset({"labels", "userLabels", "annotations"})
"""Maps whose keys are the user's: a mask names the map, never a key."""


@dataclass(frozen=True, kw_only=True)
class FixedChange(Change):
    """A difference in a field that cannot be changed in place: a conflict, never a silent re-creation."""


@dataclass(frozen=True)
class _Rules:
    sets: Mapping[str, SetKey]
    extras: frozenset[str]
    at_least: frozenset[str]


def compare(
    desired: Body,
    live: Body,
    fields: Iterable[str] | None = None,
    *,
    sets: Mapping[str, SetKey] | None = None,
    extras: Iterable[str] = (),
    immutable: Iterable[str] = (),
    at_least: Iterable[str] = (),
    restarts: Iterable[str] = (),
    sensitive: Iterable[str] = (),
) -> tuple[Change, ...]:
    """Fields of `desired` that `live` has not; empty when nothing is to be done.

    Paths are dotted, without indices (`settings.databaseFlags`, `template.containers.env`); a path means all below it.
    A list is one Change, so that every `field` of the result can be put into an update as it is.
    `fields`: look at these only. `sets`: lists without order. `extras`: sets in which live may hold more than desired.
    `at_least`: numbers that may be larger live. `immutable` differences come as FixedChange. A value that live leaves
    out equals false, 0 and empty: REST JSON omits defaults; but an empty message (`automatic: {}`) has to be there.
    `restarts` and `sensitive` mark changes. A Later always differs.
    """
    rules = _Rules(dict(sets or {}), frozenset(extras), frozenset(at_least))
    wanted = None if fields is None else tuple(fields)
    fixed, disruptive, secret = tuple(immutable), tuple(restarts), tuple(sensitive)
    found: list[Change] = []
    for change in _differences("", desired, live, rules):
        path = change.field
        if wanted is not None and not any(covers(field, path) for field in wanted):
            continue
        marked = replace(
            change,
            restarts=any(covers(each, path) for each in disruptive),
            sensitive=any(covers(each, path) for each in secret),
        )
        found.append(_fixed(marked) if any(covers(each, path) for each in fixed) else marked)
    return tuple(found)


def plain(path: str) -> str:
    """A path without its indices: `a.env[2].value` is `a.env.value`."""
    return _INDEX.sub("", path)


def covers(path: str, other: str) -> bool:
    """True when `other` is `path` or lies below it."""
    return other == path or other.startswith(f"{path}.")


def masks(changes: Iterable[Change]) -> tuple[str, ...]:
    """The paths that an update has to name, in order: cut at the first list or map of user keys."""
    found: dict[str, None] = {}
    for change in changes:
        path = change.field.split("[", 1)[0]
        words = path.split(".")
        cut = next((place + 1 for place, word in enumerate(words) if word in _MAPS), len(words))
        found[".".join(words[:cut])] = None
    return tuple(found)


def pick(body: Body, paths: Iterable[str]) -> Body:
    """The part of a body that the dotted paths name, nested as in the body; paths that it lacks are left out."""
    part: Body = {}
    for path in paths:
        source: object = body
        words = path.split(".")
        for word in words[:-1]:
            source = source.get(word) if isinstance(source, dict) else None
        if isinstance(source, dict) and words[-1] in source:
            target = part
            for word in words[:-1]:
                target = target.setdefault(word, {})
            target[words[-1]] = source[words[-1]]
    return part


def same(desired: object, live: object, path: str = "") -> bool:
    """True when two plain values mean the same to Google."""
    if desired == live and isinstance(desired, bool) == isinstance(live, bool):
        return True
    if live is None or desired is None:
        return (desired if live is None else live) in (None, False, 0, "", "0", [])
    if isinstance(desired, bool) or isinstance(live, bool):
        return False
    if isinstance(desired, int | float) or isinstance(live, int | float):
        return _numbers_agree(desired, live)
    if isinstance(desired, str) and isinstance(live, str):
        return _words_agree(desired, live, path)
    return False


def _fixed(change: Change) -> FixedChange:
    return FixedChange(
        field=change.field,
        live=change.live,
        desired=change.desired,
        restarts=change.restarts,
        sensitive=change.sensitive,
    )


def _differences(path: str, desired: object, live: object, rules: _Rules) -> Iterable[Change]:
    if isinstance(desired, dict) and (isinstance(live, dict) or live is None):
        if not desired and live is None and path:
            yield Change(field=path, desired=desired)
        for key, value in desired.items():
            inner = live.get(key) if isinstance(live, dict) else None
            yield from _differences(f"{path}.{key}" if path else str(key), value, inner, rules)
    elif isinstance(desired, list | tuple):
        if not _lists_agree(path, list(desired), live if isinstance(live, list | tuple) else [], rules):
            yield Change(field=path, live=live, desired=desired)
    elif plain(path) in rules.at_least and _is_larger(live, desired):
        return
    elif isinstance(desired, Later) or not same(desired, live, path):
        yield Change(field=path, live=live, desired=desired)


def _lists_agree(path: str, desired: list[object], live: Iterable[object], rules: _Rules) -> bool:
    key, have = rules.sets.get(plain(path)), list(live)
    open_ended = plain(path) in rules.extras
    if isinstance(key, tuple):
        wanted_pairs, live_pairs = _pairs(desired, key), _pairs(have, key)
        return wanted_pairs == live_pairs or (open_ended and wanted_pairs <= live_pairs)
    if len(desired) > len(have) or (len(desired) < len(have) and not open_ended):
        return False
    if key is None:
        pairs = zip(desired, have, strict=False)
        return all(_items_agree(f"{path}[{place}]", want, item, rules) for place, (want, item) in enumerate(pairs))
    if key in ("", "*"):
        for want in desired:
            match = next((place for place, item in enumerate(have) if _items_agree(path, want, item, rules)), None)
            if match is None:
                return False
            del have[match]
        return True
    by_name = _by(have, key)
    return all(
        name in by_name and _items_agree(f"{path}[]", want, by_name[name], rules)
        for name, want in _by(desired, key).items()
    )


def _items_agree(path: str, desired: object, live: object, rules: _Rules) -> bool:
    return not any(True for _ in _differences(path, desired, live, rules))


def _by(items: list[object], key: str) -> dict[str, object]:
    return {str(item.get(key, "")): item for item in items if isinstance(item, dict)}


def _pairs(items: list[object], key: tuple[str, str]) -> set[tuple[str, str]]:
    """`[{IPProtocol: tcp, ports: [80, 443]}]` as {(tcp, 80), (tcp, 443)}; no second part means all of the first."""
    found: set[tuple[str, str]] = set()
    for item in items:
        if isinstance(item, dict):
            first, seconds = str(item.get(key[0], "")).lower(), item.get(key[1]) or [""]
            found |= {(first, str(second)) for second in seconds}
    return found


def _number(value: object) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return None


def _numbers_agree(desired: object, live: object) -> bool:
    left, right = _number(desired), _number(live)
    return left is not None and left == right


def _is_larger(live: object, desired: object) -> bool:
    left, right = _number(live), _number(desired)
    return left is not None and right is not None and left >= right


def _words_agree(desired: str, live: str, path: str) -> bool:
    words = _INDEX.sub("", path).split(".")
    if _DURATION.fullmatch(desired) and _DURATION.fullmatch(live):
        return float(desired[:-1]) == float(live[:-1])
    if "limits" in words[:-1]:
        return _amount(desired) == _amount(live) is not None
    if "projects/" in desired or "projects/" in live or live.startswith("https://"):
        return _links_agree(desired, live)
    enum_like = words[-1] not in _VERBATIM and not _MAPS.intersection(words)
    return enum_like and desired.upper() == live.upper() and (desired.isupper() or live.isupper())


def _links_agree(desired: str, live: str) -> bool:
    """Full and relative self links are one (`projects/...` tail); a bare name equals the last part of a full link."""
    if "/" not in desired:
        return live.startswith("https://") and live.rsplit("/", 1)[-1] == desired
    tails = [word[word.index("projects/") :] if "projects/" in word else word for word in (desired, live)]
    return tails[0] == tails[1]


def _amount(quantity: str) -> float | None:
    found = _QUANTITY.fullmatch(quantity)
    return round(float(found[1]) * _UNITS[found[2]], 6) if found else None
