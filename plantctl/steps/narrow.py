"""A list that differs, told by the entries that differ: a plan that shows two whole lists shows nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from plantctl.model.diff import SetKey, compare, plain
from plantctl.model.step import Change


def narrow(change: Change, sets: Mapping[str, SetKey]) -> tuple[Change, ...]:
    """`databaseFlags[max_connections]: 100 -> 200` instead of both lists; the change itself where that cannot be done.

    `sets` as `compare` takes them. Of a set by name the entries, of a list of one the fields; `masks` cuts both back to
    the list, which is what an update names.
    """
    live, desired = _objects(change.live), _objects(change.desired)
    if live is None or desired is None:
        return (change,)
    key = sets.get(plain(change.field))
    if isinstance(key, str) and key not in ("", "*"):
        return tuple(_by_name(change, key, live, desired)) or (change,)
    if len(live) == len(desired) == 1:
        inner = {path.removeprefix(f"{plain(change.field)}."): each for path, each in sets.items()}
        found = compare(desired[0], live[0], sets=inner)
        parts = [part for one in found for part in narrow(one, inner)]
        return tuple(replace(part, field=f"{change.field}[0].{part.field}") for part in parts) or (change,)
    return (change,)


def _objects(value: object) -> list[dict[str, object]] | None:
    if value is None:
        return []
    if isinstance(value, list | tuple) and all(isinstance(item, dict) for item in value):
        return list(value)
    return None


def _by_name(change: Change, key: str, live: list[dict[str, object]], desired: list[dict[str, object]]) -> list[Change]:
    have = {str(item.get(key)): item for item in live}
    want = {str(item.get(key)): item for item in desired}
    found: list[Change] = []
    for name in dict.fromkeys((*want, *have)):
        field = f"{change.field}[{name}]"
        if name not in want or name not in have:
            found.append(replace(change, field=field, live=_rest(have, name, key), desired=_rest(want, name, key)))
            continue
        for part in compare(want[name], have[name]):
            inner = "" if part.field == "value" else f".{part.field}"
            found.append(replace(change, field=f"{field}{inner}", live=part.live, desired=part.desired))
    return found


def _rest(items: dict[str, dict[str, object]], name: str, key: str) -> object:
    """An entry without its name: its value, where that is all; nothing where there is no such entry."""
    if name not in items:
        return None
    rest = {field: value for field, value in items[name].items() if field != key}
    return rest["value"] if list(rest) == ["value"] else rest
